"""Read the parts that all study files have: every mistake with its line, what was found and what is allowed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from phasemap.study.axes import Axis, AxisRange
from phasemap.study.errors import KeyPath, Mistake, Problem, did_you_mean, stop_if_wrong
from phasemap.study.networks import NETWORK_RECORDED
from phasemap.study.parameters import Parameter
from phasemap.study.phases_section import OWN, PhasesReader
from phasemap.study.program_source import Place
from phasemap.study.settings import Recorded, Section, Setting
from phasemap.study.spec import PhaseRule, SearchSpec, Study
from phasemap.study.values import adapter, allowed, describe, with_limit
from phasemap.study.yaml_lines import Document

MAX_SEEDS = 100_000


@dataclass
class Reader:
    """Reads the parts that all studies have; mistakes are collected, and legal values stand in for what is wrong."""

    document: Document
    declared: Mapping[str, Setting]
    problems: list[Problem] = field(default_factory=list)
    files_allowed: bool = True
    recorded: Recorded = NETWORK_RECORDED
    parameters: Mapping[str, Parameter] = field(default_factory=dict)  # of a user's code
    kept: dict[KeyPath, list[int]] = field(default_factory=dict)  # where in the file the legal values of lists stand

    def __post_init__(self) -> None:
        self.problems.extend(self.document.problems)

    def required(self, *keys: str) -> None:
        """Report the keys that the file lacks."""
        for key in keys:
            if key not in self.document.content:
                self.wrong((key,), f"is missing; {', '.join(keys[:-1])} and {keys[-1]} are required")

    def folder_of(self, place: Place, stored: Any) -> Path:
        """Return the folder that code is in: the study's; of a run's own study file the one that it was run from."""
        folder = Path(self.document.source).absolute().parent
        former = stored.get("folder") if isinstance(stored, dict) else None
        if place.in_file and former and not (folder / place.code).is_file() and (Path(former) / place.code).is_file():
            return Path(former)
        return folder

    def parameter_value(self, path: KeyPath, parameter: Parameter, content: Any) -> Any:
        """Read the value of a parameter of a user's code; in error, report it and go on with its default."""
        try:
            return parameter.value_of(content)
        except ValueError:
            words = self.allowed_for(parameter.name, content)
            self.wrong(path, f"= {describe(content)} is not allowed; allowed: {words}")
            return parameter.default

    def parameter_values(self, axes: Sequence[Axis]) -> tuple[tuple[str, Any], ...]:
        """Read the parameters of a user's code that are no axes: the given ones and, resolved, the defaults."""
        given_axes, values = self.document.content.get("axes", {}), []
        for name, parameter in self.parameters.items():
            path = section, _ = self.declared[name].section, name
            given = self.document.content.get(section)
            if name in given_axes or name in (axis.name for axis in axes):
                continue
            if isinstance(given, dict) and name in given:
                values.append((name, self.parameter_value(path, parameter, given[name])))
            elif parameter.required:
                needed = f"{self.owner_of(name)} has no default for it"
                self.wrong(path, f"is missing: {needed}; allowed: {self.allowed_for(name, '')}")
            else:
                values.append((name, parameter.default))
        return tuple(values)

    def owner_of(self, name: str) -> str:
        """Name the code of a user that has a parameter."""
        return "the program"

    def stop_if_wrong(self, mistakes: Iterable[Mistake] = ()) -> None:
        """Report mistakes, and raise StudyError with what was found wrong so far, if anything was."""
        for path, message in mistakes:
            places = self.kept.get(path[:-1])
            self.wrong((*path[:-1], places[path[-1]]) if places else path, message)
        stop_if_wrong(self.problems)

    def wrong(self, path: KeyPath, message: str, *, also: KeyPath = ()) -> None:
        """Report a mistake at a path of the file."""
        self.problems.append(self.document.problem(path, message, also=also))

    def common(self, resources: type[Section]) -> dict[str, Any]:
        """Read what studies of all kinds say alike: the name, seeds, search, resources and so on."""
        content = self.document.content
        values = {
            "name": self.value(("name",), Study.model_fields["name"], content.get("name", "x")),
            "question": self.value(("question",), Study.model_fields["question"], content.get("question") or ""),
            "seeds": self.seeds(content.get("seeds", 1)),
            "search": self.section(("search",), SearchSpec, content.get("search", {})),
            "resources": self.section(("resources",), resources, content.get("resources", {})),
        }
        return values | {
            key: self.list_((key,), Study.model_fields[key], content.get(key, [])) for key in ("record", "claims")
        }

    def phases(
        self, path: KeyPath, content: Any, *, name: str = OWN, settings: Mapping[str, Setting] | None = None
    ) -> PhaseRule:
        """Read what a study with ``settings`` labels by; ``name`` is that of own labels that have none."""
        return PhasesReader(self, self.declared if settings is None else settings, name).read(path, content)

    def section(self, path: KeyPath, model: type[Section], content: Any) -> Any:
        """Validate one section; the keys in error are reported, and the rest is used for further checks."""
        fields = {key: info for key, info in model.model_fields.items() if not info.exclude}  # no file holds the others
        if content is None:
            content = {}
        if not isinstance(content, dict):
            self.wrong(path, f"is {describe(content)}; allowed: a mapping of {', '.join(fields)}")
            content = {}
        self.unknown_keys(path, content, list(fields))
        values = {}
        for key, info in fields.items():
            if key in content:
                values[key] = self.value((*path, key), info, content[key])
            elif info.is_required():
                if path and path[0] in self.document.content:
                    self.wrong((*path, key), f"is missing; allowed: {allowed(info)}")
                values[key] = _fallback(info)
        return model.model_construct(_fields_set=set(content), **values)

    def value(self, path: KeyPath, info: FieldInfo, content: Any) -> Any:
        """Validate one value; in error, report it and go on with the field's default."""
        try:
            return adapter(info).validate_python(content)
        except ValidationError:
            self.wrong(path, f"= {describe(content)} is not allowed; allowed: {with_limit(allowed(info), content)}")
            return _fallback(info)

    def list_(self, path: KeyPath, info: FieldInfo, content: Any) -> Any:
        """Validate a list, and leave all of it out where an item is wrong."""
        if content is None:
            return ()
        if not isinstance(content, list):
            self.wrong(path, f"= {describe(content)} is not allowed; allowed: a list")
            return ()
        try:
            return adapter(info).validate_python(content)
        except ValidationError as error:
            words = allowed(info).removeprefix("a list of ")
            for detail in error.errors():
                index = int(detail["loc"][0])
                found = content[index]
                self.wrong((*path, index), f"= {describe(found)} is not allowed; allowed: {with_limit(words, found)}")
            return ()

    def unknown_keys(self, path: KeyPath, content: Mapping[Any, Any], known: Sequence[str]) -> None:
        """Report the keys that a mapping may not have."""
        for key in content:
            if key not in known:
                self.wrong(
                    (*path, key),
                    f"is an unknown key; allowed: {', '.join(self.offered(path, known))}"
                    f"{self.hint(str(key), known, path)}",
                )

    def seeds(self, content: Any) -> tuple[int, ...]:
        """Read the seeds: a list, or their count."""
        path = ("seeds",)
        if isinstance(content, int) and not isinstance(content, bool) and 1 <= content <= MAX_SEEDS:
            return tuple(range(content))
        if isinstance(content, list) and content:
            seeds = self.list_(path, Study.model_fields["seeds"], content) or (0,)
        else:
            seeds = (0,)
            self.wrong(
                path,
                f"= {describe(content)} is not allowed; allowed: a count from 1 to {MAX_SEEDS}, "
                "or a list of whole numbers >= 0",
            )
        for index, seed in enumerate(seeds):
            if seed in seeds[:index]:
                self.wrong((*path, index), f"= {seed} is repeated; allowed: each seed once")
        return tuple(dict.fromkeys(seeds))

    def axes(self, content: Any) -> tuple[Axis, ...]:
        """Read the axes, each a declared setting with its values."""
        if not isinstance(content, dict) or not content:
            if "axes" in self.document.content:
                self.wrong(("axes",), f"is {describe(content)}; allowed: at least one axis with its values")
            return ()
        axes = []
        for name, values in content.items():
            path = ("axes", name)
            if name in self.parameters and self.parameters[name].listed:
                self.wrong(path, f"takes lists, which no axis can have; allowed: {self.declared[name].path}")
            if name not in self.declared:
                self.wrong(path, f"{self.no_setting()}{self.hint(str(name), self.declared)}")
            elif axis := self._axis(path, str(name), values):
                axes.append(axis)
        return tuple(axes)

    def _axis(self, path: KeyPath, name: str, content: Any) -> Axis | None:
        source = None
        if isinstance(content, dict):
            if not self.declared[name].numeric:
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

    def _axis_values(self, path: KeyPath, name: str, content: list[Any], *, ranged: bool) -> tuple[Any, ...]:
        info = self.declared[name].field
        validator, values, places = adapter(info), [], []
        for index, found in enumerate(content):
            value_path = path if ranged else (*path, index)
            try:
                value = validator.validate_python(found)
            except ValidationError:
                of_range = f" (value {index + 1} of the range)" if ranged else ""
                words = self.allowed_for(name, found)
                self.wrong(value_path, f"= {describe(found)}{of_range} is not allowed; allowed: {words}")
                continue
            resolved = self.resolved(value_path, name, value)
            if resolved is None and value is not None:
                continue
            value = resolved
            if value in values:
                self.wrong(value_path, f"= {describe(found)} is repeated; allowed: each value once")
            else:
                values.append(value)
                places.append(index)
        if not ranged:
            self.kept[path] = places
        return tuple(values)

    def overlap(self, content: Mapping[str, Any], axes: Sequence[Axis]) -> None:
        """Report what is given as an axis and in its section too."""
        for axis in axes:
            setting = self.declared[axis.name]
            section = content.get(setting.section)
            if isinstance(section, dict) and setting.key in section and axis.name != "task":
                self.wrong(
                    (setting.section, setting.key),
                    "is given here and as an axis; allowed: one of the two",
                    also=("axes", axis.name),
                )

    def resolved(self, path: KeyPath, name: str, value: Any) -> Any:
        """Return a setting's value as trials have it; None, and a mistake, where it can't be had."""
        return value

    def allowed_for(self, name: str, found: Any) -> str:
        """Say what a setting's values may be, and to quote what was to be text."""
        text, own = allowed(self.declared[name].field), self.parameters.get(name)
        to_quote = own is not None and "str" in own.types and not isinstance(found, str | list | dict | None)
        return f"{text} (quote it: '{describe(found)}')" if to_quote else with_limit(text, found)

    def no_setting(self) -> str:
        """Say of an axis that it is no setting, and which there are."""
        return f"is not a trial setting; allowed: {', '.join(self.offered(('axes',), list(self.declared)))}"

    def offered(self, path: KeyPath, known: Sequence[str]) -> Sequence[str]:
        """Return which of the known names at a path of the file are told as allowed."""
        return known

    def hint(self, key: str, known: Any, path: KeyPath = ()) -> str:
        """Hint at what a misspelt or misplaced key may be meant to be."""
        if key in self.declared and path[:1] != (self.declared[key].section,):
            return f" ({key} belongs under {self.declared[key].section}: or axes:)"
        return did_you_mean(key, known)


def _fallback(info: FieldInfo) -> Any:
    """Return a legal value to go on with after a mistake was reported."""
    if not info.is_required():
        return info.default
    return "modular_addition"
