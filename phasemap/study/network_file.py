"""Read the file of a study of phasemap's own networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phasemap.study.checks import check_study
from phasemap.study.data_files import absolute, read_matrix
from phasemap.study.errors import BadFileError
from phasemap.study.networks import NETWORK_SETTINGS, SECTIONS
from phasemap.study.own_code import is_reference
from phasemap.study.own_parts import ROLES
from phasemap.study.reader import Reader
from phasemap.study.settings import Setting
from phasemap.study.spec import NetworkStudy, ResourceSpec, Study
from phasemap.study.task_checks import check_task
from phasemap.study.values import describe

NAMING_FILES = ("path", "matrix")
"""The settings that may name a file."""


@dataclass
class NetworkReader(Reader):
    """Turns a document into a study of networks."""

    declared: Mapping[str, Setting] = field(default_factory=lambda: NETWORK_SETTINGS)

    def study(self, *, data_needed: bool) -> Study:
        """Return the study; StudyError names every mistake in it and, if needed, in the data it names."""
        content = self.document.content
        if not isinstance(content, dict):
            self.wrong((), f"is {describe(content)}, not a mapping of name, task, axes, ...")
            self.stop_if_wrong()
        self.unknown_keys((), content, NetworkStudy.file_keys())
        for key in ("name", "task", "axes"):
            if key not in content:
                self.wrong((key,), "is missing; name, task and axes are required")
        sections = {key: self.section((key,), model, content.get(key, {})) for key, model in SECTIONS.items()}
        axes = self.axes(content.get("axes", {}))
        self.overlap(content, axes)
        sections["task"] = self.with_files(sections["task"])
        values = self.common(ResourceSpec) | sections | {"axes": axes}
        values["phases"] = self.phases(("phases",), content.get("phases", {}))
        study = NetworkStudy.model_construct(**values)
        reported = frozenset(p.path for p in self.problems)
        for path, message in (
            *check_study(study, reported),
            *check_task(study, reported, data_needed=data_needed),
        ):
            self.wrong(path, message)
        self.stop_if_wrong()
        return study

    def with_files(self, task: Any) -> Any:
        """Return a task with absolute paths, and with a matrix in place of its file."""
        named = {name: self.resolved(("task", name), name, getattr(task, name)) for name in NAMING_FILES}
        return task.model_copy(update=named)

    def allowed_for(self, name: str, found: Any) -> str:
        """Say what an axis's values may be; code of a user is none."""
        text = super().allowed_for(name, found)
        if name not in ROLES or not is_reference(found):
            return text
        return f"{text} (code of yours stands under {'.'.join(ROLES[name])}, in a study for each)"

    def resolved(self, path: tuple[Any, ...], name: str, value: Any) -> Any:
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
