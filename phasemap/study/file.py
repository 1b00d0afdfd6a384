"""Read a study file: every mistake reported together, each with its line, what was found and what is allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from phasemap.study.axes import Axis, AxisRange
from phasemap.study.checks import check_rule, check_study
from phasemap.study.data_files import absolute, read_matrix
from phasemap.study.errors import BadFileError, Problem, StudyError, did_you_mean
from phasemap.study.networks import NETWORK_SETTINGS, SECTIONS
from phasemap.study.phases_section import OWN, PhasesReader
from phasemap.study.settings import Section
from phasemap.study.spec import NetworkStudy, PhaseRule, Study
from phasemap.study.task_checks import check_task
from phasemap.study.values import adapter, allowed, describe
from phasemap.study.yaml_lines import Document, read_document, set_value

MAX_SEEDS = 100_000
NAMING_FILES = ("path", "matrix")  # the settings that may name a file


def load_study(path: str | Path, overrides: Sequence[str] = ()) -> Study:
    """Read, check and resolve a study file.

    ``overrides`` are ``KEY=VALUE`` texts with a dotted key and a YAML value (``training.steps=500``). Data files that
    the study names are read and checked too; their paths are relative to the study file's folder.
    Raises StudyError with every mistake that was found.
    """
    document = read_document(path)
    for text in overrides:
        set_value(document, text)
    return parse_study(document)


def study_of(content: Mapping[str, Any]) -> Study:
    """Check and resolve a study that is given as a mapping with the content of a study file.

    Paths in it are relative to the working directory. Raises StudyError with every mistake that was found.
    """
    plain = _plain(content)
    if isinstance(name := plain.get("name"), int) and not isinstance(name, bool):
        plain["name"] = str(name)
    return parse_study(Document("the given mapping", plain))


def _plain(value: Any) -> Any:
    """Turn what Python has for lists and mappings (tuples, ranges, arrays, NumPy's numbers) into those of YAML."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | range):
        return [_plain(inner) for inner in value]
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value) if isinstance(value, Path) else value


def load_resolved(path: str | Path) -> Study:
    """Read the study of a run's folder, also where the data that it was trained on are not at hand."""
    return parse_study(read_document(path), data_needed=False)


def parse_study(document: Document, *, data_needed: bool = True, files_allowed: bool = True) -> Study:
    """Turn a document into a Study; StudyError names every mistake in it and, if needed, in the data it names.

    Without ``files_allowed`` a study from elsewhere may name no file of this machine: none is opened.
    """
    return _Parser(document, files_allowed=files_allowed).study(data_needed=data_needed)


def load_rule(path: str | Path) -> PhaseRule:
    """Read a labelling rule from a file with the content of a study's ``phases`` section."""
    document = read_document(path)
    parser = _Parser(document)
    rule = parser.phases((), document.content, name=Path(path).stem)
    for key, message in check_rule(rule):
        parser.wrong((key,), message)
    parser.stop_if_wrong()
    return rule


@dataclass
class _Parser:
    document: Document
    problems: list[Problem] = field(default_factory=list)
    files_allowed: bool = True

    def __post_init__(self) -> None:
        self.problems.extend(self.document.problems)

    def stop_if_wrong(self) -> None:
        if self.problems:
            raise StudyError(sorted(set(self.problems), key=lambda p: (p.line or 0, p.path)))

    def wrong(self, path: tuple[Any, ...], message: str, *, also: tuple[Any, ...] = ()) -> None:
        self.problems.append(self.document.problem(path, message, also=also))

    def study(self, *, data_needed: bool) -> Study:
        content = self.document.content
        if not isinstance(content, dict):
            self.wrong((), f"is {describe(content)}, not a mapping of name, task, axes, ...")
            self.stop_if_wrong()
        self._unknown_keys((), content, NetworkStudy.file_keys())
        for key in ("name", "task", "axes"):
            if key not in content:
                self.wrong((key,), "is missing; name, task and axes are required")
        sections = {key: self.section((key,), model, content.get(key, {})) for key, model in SECTIONS.items()}
        axes = self._axes(content.get("axes", {}))
        self._overlap(content, axes)
        sections["task"] = sections["task"].model_copy(
            update={
                name: self._resolved(("task", name), name, getattr(sections["task"], name)) for name in NAMING_FILES
            }
        )
        values = {
            "name": self._value(("name",), Study.model_fields["name"], content.get("name", "x")),
            "question": self._value(("question",), Study.model_fields["question"], content.get("question") or ""),
            **sections,
            "axes": axes,
            "seeds": self._seeds(content.get("seeds", 1)),
        }
        values["phases"] = self.phases(("phases",), content.get("phases", {}))
        for key in ("search", "resources"):
            values[key] = self.section((key,), _annotation(key), content.get(key, {}))
        for key in ("record", "claims"):
            values[key] = self._list((key,), Study.model_fields[key], content.get(key, []))
        study = NetworkStudy.model_construct(**values)
        reported = frozenset(p.path for p in self.problems)
        for path, message in (
            *check_study(study, reported),
            *check_task(study, reported, data_needed=data_needed),
        ):
            self.wrong(path, message)
        self.stop_if_wrong()
        return study

    def phases(self, path: tuple[Any, ...], content: Any, *, name: str = OWN) -> PhaseRule:
        """Read what a study labels by; ``name`` is that of own labels that have none."""
        reader = PhasesReader(self.document, self.section, files_allowed=self.files_allowed, name=name)
        rule = reader.read(path, content)
        self.problems.extend(reader.problems)
        return rule

    def section(self, path: tuple[Any, ...], model: type[Section], content: Any) -> Any:
        """Validate one section; the keys in error are reported, and the rest is used for further checks."""
        fields = {key: info for key, info in model.model_fields.items() if not info.exclude}  # no file holds the others
        if content is None:
            content = {}
        if not isinstance(content, dict):
            self.wrong(path, f"is {describe(content)}; allowed: a mapping of {', '.join(fields)}")
            content = {}
        self._unknown_keys(path, content, list(fields))
        values = {}
        for key, info in fields.items():
            if key in content:
                values[key] = self._value((*path, key), info, content[key])
            elif info.is_required():
                if path and path[0] in self.document.content:
                    self.wrong((*path, key), f"is missing; allowed: {allowed(info)}")
                values[key] = _fallback(info)
        return model.model_construct(_fields_set=set(content), **values)

    def _value(self, path: tuple[Any, ...], info: FieldInfo, found: Any) -> Any:
        """Validate one value; in error, report it and go on with the field's default."""
        try:
            return adapter(info).validate_python(found)
        except ValidationError:
            self.wrong(path, f"= {describe(found)} is not allowed; allowed: {allowed(info)}")
            return _fallback(info)

    def _list(self, path: tuple[Any, ...], info: FieldInfo, found: Any) -> Any:
        if found is None:
            return ()
        if not isinstance(found, list):
            self.wrong(path, f"= {describe(found)} is not allowed; allowed: a list")
            return ()
        try:
            return adapter(info).validate_python(found)
        except ValidationError as error:
            for detail in error.errors():
                index = detail["loc"][0]
                self.wrong((*path, index), f"= {describe(found[int(index)])} is not allowed; allowed: {_item(info)}")
            return ()

    def _unknown_keys(self, path: tuple[Any, ...], content: Mapping[Any, Any], known: Sequence[str]) -> None:
        for key in content:
            if key not in known:
                self.wrong(
                    (*path, key),
                    f"is an unknown key; allowed: {', '.join(known)}{_hint(str(key), known, path)}",
                )

    def _seeds(self, found: Any) -> tuple[int, ...]:
        path = ("seeds",)
        if isinstance(found, int) and not isinstance(found, bool) and 1 <= found <= MAX_SEEDS:
            return tuple(range(found))
        try:
            seeds = adapter(Study.model_fields["seeds"]).validate_python(found) if isinstance(found, list) else ()
        except ValidationError:
            seeds = ()
        if not seeds:
            self.wrong(
                path,
                f"= {describe(found)} is not allowed; allowed: a count from 1 to {MAX_SEEDS}, "
                "or a list of whole numbers >= 0",
            )
            return (0,)
        for index, seed in enumerate(seeds):
            if seed in seeds[:index]:
                self.wrong((*path, index), f"= {seed} is repeated; allowed: each seed once")
        return tuple(dict.fromkeys(seeds))

    def _axes(self, found: Any) -> tuple[Axis, ...]:
        if not isinstance(found, dict) or not found:
            if "axes" in self.document.content:
                self.wrong(("axes",), f"is {describe(found)}; allowed: at least one axis with its values")
            return ()
        axes = []
        for name, content in found.items():
            path = ("axes", name)
            if name not in NETWORK_SETTINGS:
                self.wrong(
                    path,
                    f"is not a trial setting; allowed: {', '.join(NETWORK_SETTINGS)}"
                    f"{_hint(str(name), NETWORK_SETTINGS)}",
                )
            elif axis := self._axis(path, str(name), content):
                axes.append(axis)
        return tuple(axes)

    def _axis(self, path: tuple[Any, ...], name: str, content: Any) -> Axis | None:
        source = None
        if isinstance(content, dict):
            if not NETWORK_SETTINGS[name].numeric:
                self.wrong(path, f"is a range, but {name} has no scale; allowed: a list of its values")
                return None
            before = len(self.problems)
            checked = self.section(path, AxisRange, content)  # type: ignore[arg-type]
            if len(self.problems) > before:
                return None
            source = checked
            try:
                content = source.values()
            except ValueError as error:
                self.wrong(path, str(error))
                return None
        if not isinstance(content, list):
            self.wrong(
                path,
                f"= {describe(content)} is not allowed; allowed: a list of values, or start, stop, num and scale",
            )
            return None
        if not content:
            self.wrong(path, "has no values; allowed: at least one")
            return None
        values = self._axis_values(path, name, content, ranged=source is not None)
        return Axis(name=name, values=values, source=source) if values else None

    def _axis_values(self, path: tuple[Any, ...], name: str, content: list[Any], *, ranged: bool) -> tuple[Any, ...]:
        info = NETWORK_SETTINGS[name].field
        validator, values = adapter(info), []
        for index, found in enumerate(content):
            place = path if ranged else (*path, index)
            try:
                value = validator.validate_python(found)
            except ValidationError:
                of_range = f" (value {index + 1} of the range)" if ranged else ""
                self.wrong(place, f"= {describe(found)}{of_range} is not allowed; allowed: {allowed(info)}")
                continue
            resolved = self._resolved(place, name, value)
            if resolved is None and value is not None:
                continue
            value = resolved
            if value in values:
                self.wrong(place, f"= {describe(found)} is repeated; allowed: each value once")
            else:
                values.append(value)
        return tuple(values)

    def _resolved(self, path: tuple[Any, ...], name: str, value: Any) -> Any:
        """Make a data file's path absolute, and put a matrix in place of its file; other values stay as they are."""
        if name not in NAMING_FILES or not isinstance(value, str):
            return value
        if not self.files_allowed:
            self.wrong(path, "names a file, which a study sent to a service can't; allowed: a matrix by its rows")
            return None
        file = absolute(Path(self.document.source).parent, value)
        try:
            return file if name == "path" else read_matrix(file)
        except BadFileError as error:
            for message in error.messages:
                self.wrong(path, f"= {error.path}: {message}")
            return None

    def _overlap(self, content: Mapping[str, Any], axes: Sequence[Axis]) -> None:
        for axis in axes:
            setting = NETWORK_SETTINGS[axis.name]
            section = content.get(setting.section)
            if isinstance(section, dict) and setting.key in section and axis.name != "task":
                self.wrong(
                    (setting.section, setting.key),
                    "is given here and as an axis; allowed: one of the two",
                    also=("axes", axis.name),
                )


def _annotation(key: str) -> Any:
    return Study.model_fields[key].annotation


def _fallback(info: FieldInfo) -> Any:
    """Return a legal value to go on with after a mistake was reported."""
    if not info.is_required():
        return info.default
    return "modular_addition"


def _item(info: FieldInfo) -> str:
    return allowed(info).removeprefix("a list of ")


def _hint(key: str, known: Any, path: tuple[Any, ...] = ()) -> str:
    if key in NETWORK_SETTINGS and path[:1] != (NETWORK_SETTINGS[key].section,):
        return f" ({key} belongs under {NETWORK_SETTINGS[key].section}: or axes:)"
    return did_you_mean(key, known)
