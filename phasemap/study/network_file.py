"""Read the file of a study of phasemap's own networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from phasemap.study.checks import check_study
from phasemap.study.data_files import absolute, read_matrix
from phasemap.study.errors import BadFileError, KeyPath
from phasemap.study.networks import INTERVENTIONS, NETWORK_SETTINGS, SCHEDULED, SECTIONS
from phasemap.study.operations import TABLES, wrong_table
from phasemap.study.own_code import is_reference
from phasemap.study.own_parts import ROLES
from phasemap.study.reader import Reader
from phasemap.study.settings import Setting, applying
from phasemap.study.spec import NetworkStudy, ResourceSpec, Study
from phasemap.study.task_checks import check_task
from phasemap.study.values import describe

BESIDE = "provenance.json"
"""What lies beside a run's study file, which may come from a release that wrote the settings of all tasks there."""
NAMING_FILES = ("path", "matrix", "table")
"""The settings that may name a file."""
MOST_MISTAKES = 5
"""Of one table's mistakes, that many are named."""

NetworkStudyT = TypeVar("NetworkStudyT", bound=NetworkStudy)


@dataclass
class NetworkReader(Reader):
    """Turns a document into a study of networks."""

    declared: Mapping[str, Setting] = field(default_factory=lambda: NETWORK_SETTINGS)

    def __post_init__(self) -> None:
        super().__post_init__()
        content = self.document.content
        if isinstance(content, dict) and isinstance(content.get("interventions"), list):
            content["interventions"] = self._interventions(content["interventions"])
        if isinstance(content, dict) and isinstance(content.get("schedule"), dict):
            content["schedule"] = {key: self._from_the_start(key, one) for key, one in content["schedule"].items()}

    def _from_the_start(self, key: str, schedule: Any) -> Any:
        """Return a schedule without step 0: its value there is the setting's own, and goes where that stands."""
        start = (
            next((step for step in schedule if str(step).strip() == "0"), None) if isinstance(schedule, dict) else None
        )
        if start is None or key not in SCHEDULED:
            return schedule
        setting, content = NETWORK_SETTINGS[key], self.document.content
        section = content.setdefault(setting.section, {})
        if isinstance(section, dict) and setting.key in section:
            self.wrong(("schedule", key, start), f"is given here and as {setting.path}; allowed: one of the two")
        elif isinstance(axes := content.get("axes"), dict) and key in axes:
            self.wrong(
                ("schedule", key, start), f"is given here and as an axis; allowed: leave out step 0, or axes.{key}"
            )
        elif isinstance(section, dict):
            section[setting.key] = schedule[start]
        return {step: value for step, value in schedule.items() if step != start} or None

    def _interventions(self, listed: list[Any]) -> dict[str, Any]:
        """Return a list of interventions, each {at: step, KIND: amount}, as the settings that it stands for."""
        settings: dict[str, Any] = {}
        for number, one in enumerate(listed):
            path = ("interventions", number)
            kinds = [kind for kind in INTERVENTIONS if isinstance(one, dict) and kind in one]
            if isinstance(one, dict):
                self.unknown_keys(path, one, ("at", *(kinds or INTERVENTIONS)))
            if not isinstance(one, dict) or len(kinds) > 1 or one.keys() <= {"at"}:
                allowed = "at with a step, and one of " + ", ".join(INTERVENTIONS)
                self.wrong(path, f"is {describe(one)} with {len(kinds)} amounts; allowed: {allowed}")
            if len(kinds) != 1:
                continue
            kind, setting = kinds[0], INTERVENTIONS[kinds[0]]
            if setting in settings:
                self.wrong(path, f"is a second {kind}; allowed: one of each kind")
            settings[setting] = one[kind]
            if "at" in one:
                settings[f"{kind}_at"] = one["at"]
        return settings

    def study(self, *, data_needed: bool) -> Study:
        """Return the study; StudyError names every mistake in it and, if needed, in the data it names."""
        content = self.document.content
        if not isinstance(content, dict):
            self.wrong((), f"is {describe(content)}, not a mapping of name, task, axes, ...")
            self.stop_if_wrong()
        values = self.values(NetworkStudy.file_keys)
        study = self.labelled(NetworkStudy.model_construct(**values), stored=not data_needed)
        reported = frozenset(p.path for p in self.problems)
        self.stop_if_wrong((*check_study(study, reported), *check_task(study, reported, data_needed=data_needed)))
        return study

    def values(self, known: Sequence[str]) -> dict[str, Any]:
        """Read what studies of networks say alike, of the ``known`` keys."""
        content = self.document.content
        self.unknown_keys((), content, known)
        self.required("name", "task", "axes")
        sections = {key: self.settings_of(key) for key in SECTIONS}
        axes = self.axes(content.get("axes", {}))
        self.overlap(content, axes)
        sections["task"] = self.with_files(sections["task"])
        return self.common(ResourceSpec) | sections | {"axes": axes}

    def settings_of(self, section: str) -> Any:
        """Read phasemap's settings of a section."""
        return self.section((section,), SECTIONS[section], self.document.content.get(section, {}))

    def labelled(self, study: NetworkStudyT, *, stored: bool) -> NetworkStudyT:
        """Return a study with its labels, and what it names of others where an earlier release wrote it."""
        if stored or Path(self.document.source).with_name(BESIDE).is_file():
            others = {name: one for name, one in study.possible.items() if name not in study.declared}
            unused = tuple(name for name, one in others.items() if study.names(one))
            study = study.model_copy(update={"unused": unused})
        rule = self.phases(("phases",), self.document.content.get("phases", {}), settings=study.declared)
        return study.model_copy(update={"phases": rule})

    def with_files(self, task: Any) -> Any:
        """Return a task with absolute paths, and with a matrix or a table in place of its file."""
        given = {name: value for name in NAMING_FILES if (value := getattr(task, name)) is not None}
        named = {name: self.resolved(("task", name), name, value) for name, value in given.items()}
        return task.model_copy(update=named)

    def offered(self, path: KeyPath, known: Sequence[str]) -> Sequence[str]:
        """Return what a section, or the axes, may hold in such a study."""
        there = applying(self.declared, {name: self._taken(one) for name, one in self.declared.items()})
        if path == ("axes",):
            return list(there)
        others = {one.key for name, one in self.declared.items() if path == (one.section,) and name not in there}
        return [key for key in known if key not in others]

    def _taken(self, setting: Setting) -> list[str]:
        """Return the words that a setting is in the file, before anything is checked."""
        axes, section = (self.document.content.get(key) for key in ("axes", setting.section))
        one = section.get(setting.key, setting.default) if isinstance(section, dict) else setting.default
        values = axes.get(setting.name, [one]) if isinstance(axes, dict) else [one]
        return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []

    def allowed_for(self, name: str, found: Any) -> str:
        """Say what an axis's values may be; code of a user is none."""
        text = super().allowed_for(name, found)
        if name not in ROLES or not is_reference(found):
            return text
        return f"{text} (code of yours stands under {'.'.join(ROLES[name])}, in a study for each)"

    def resolved(self, path: KeyPath, name: str, value: Any) -> Any:
        """Make a data file's path absolute, and put rows in place of their file; other values stay as they are."""
        if name not in NAMING_FILES or value is None or (name == "table" and value in TABLES):
            return value
        if isinstance(value, str):
            value = self._from_file(path, name, value)
        return self._operation(path, value) if name == "table" and value is not None else value

    def _from_file(self, path: KeyPath, name: str, value: str) -> Any:
        if not self.files_allowed:
            way = "another kind of task" if name == "path" else f"the rows of the {name} in the study itself"
            self.wrong(path, f"names a file, which a study sent to a service can't; allowed: {way}")
            return None
        file = absolute(Path(self.document.source).parent, value)
        try:
            return file if name == "path" else read_matrix(file)
        except BadFileError as error:
            names = f"; or a name: {', '.join(TABLES)}" if name == "table" else ""
            for message in error.messages:
                self.wrong(path, f"= {error.path}: {message}{names}")
            return None

    def _operation(self, path: KeyPath, rows: Any) -> Any:
        """Return the rows of an operation in whole numbers; None, and mistakes, where they are none."""
        wrong = list(wrong_table(rows))
        for inside, message in wrong[:MOST_MISTAKES]:
            self.wrong((*path, *inside), message)
        return None if wrong else tuple(tuple(int(value) for value in row) for row in rows)
