"""Read the file of a study of networks that names code of a user: its settings are checked against the signatures."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from phasemap.study.axes import Axis
from phasemap.study.checks import check_study
from phasemap.study.errors import KeyPath, UnreachableError
from phasemap.study.network_file import NetworkReader
from phasemap.study.networks import SECTIONS
from phasemap.study.own_code import imported_part, is_reference, load_own
from phasemap.study.own_parts import ROLES, DataSize, Part, Parts, built_in_settings, data_size_of, part_of
from phasemap.study.own_study import OWN_RECORDED, OwnStudy
from phasemap.study.program_source import ProgramError, place_of
from phasemap.study.program_study import ProgramStudy
from phasemap.study.programs import refuse_code
from phasemap.study.settings import Recorded
from phasemap.study.signature import SignatureError
from phasemap.study.spec import Study
from phasemap.study.task_checks import check_task
from phasemap.study.trials import values_of

STAND_INS = {"task": "images", "model": "mlp", "optimizer": "adamw", "loss": "mse"}  # in sections, for a user's part
MOST_DATA = 100
"""Different values of own data's settings in a study: for each the data are loaded when the study is read."""


def names_code(content: Any) -> bool:
    """Whether a study's file names code of a user as its task, network, optimizer or loss."""
    return isinstance(content, dict) and bool(references(content))


def references(content: Mapping[str, Any]) -> dict[str, str]:
    """Return what a study's file names as code of a user, by its role."""
    named = {}
    for role, (section, key) in ROLES.items():
        inside = content.get(section)
        if isinstance(inside, dict) and is_reference(inside.get(key)):
            named[role] = inside[key]
    return named


@dataclass
class OwnReader(NetworkReader):
    """Turns a document into a study of networks with parts of a user.

    With ``stored`` these are what the document says of them, and nothing is imported. ``allowed`` are the only ones
    that may be imported where files are not allowed.
    """

    stored: bool = False
    allowed: tuple[str, ...] = ()
    recorded: Recorded = OWN_RECORDED
    parts: Parts = field(default_factory=Parts)

    def study(self, *, data_needed: bool) -> Study:
        """Return the study; StudyError names every mistake in it and, if needed, in the data it names."""
        content = self.document.content
        version = self.value(("version",), ProgramStudy.model_fields["version"], content.get("version", 1))
        self.parts = Parts(version=version, parts=self.read_parts(content))
        self.declared = self.parts.declared
        self.parameters = {one.name: one for part in self.parts.parts for one in part.parameters}
        known = [key for key in OwnStudy.file_keys if key != "signature" or key in content]
        values = self.values(known)
        own = self.parameter_values(values["axes"])
        study = self.labelled(OwnStudy.model_construct(**values, own=own, parts=self.parts), stored=self.stored)
        self.stop_if_wrong()
        study = study.model_copy(update={"parts": self.with_data(study)})
        self.stop_if_wrong((*check_study(study, frozenset()), *check_task(study, (), data_needed=data_needed)))
        return study

    def read_parts(self, content: Mapping[str, Any]) -> tuple[Part, ...]:
        """Return what is known of the user's parts; without it nothing else of the study can be checked."""
        parts = []
        for role, reference in references(content).items():
            try:
                parts.append(self._part(role, reference))
            except SignatureError as error:
                for message in error.messages:
                    self.wrong(ROLES[role], f"= {reference}: {message}")
            except ProgramError as error:
                self.wrong(ROLES[role], str(error))
            except (KeyError, TypeError, ValueError) as error:
                self.wrong(("signature", role), f"is not what a run stores of a user's code: {error!r}")
        self.stop_if_wrong()
        taken: dict[str, str] = {name: setting.path for name, setting in built_in_settings(parts).items()}
        for part in parts:
            for name in part.names:
                if name in taken:
                    clash = f"has a parameter {name}, which is {taken[name]} too"
                    self.wrong(ROLES[part.role], f"= {part.reference}: {clash}; allowed: another name")
                taken[name] = f"a parameter of {part.reference}"
        self.stop_if_wrong()
        return tuple(parts)

    def _part(self, role: str, reference: str) -> Part:
        if self.stored:
            return part_of(role, reference, self.document.content["signature"][role])
        if not self.files_allowed:
            refuse_code(reference, self.allowed)
        signature = self.document.content.get("signature")
        former = signature.get(role) if isinstance(signature, dict) else None
        return imported_part(role, reference, self.folder_of(place_of(reference), former))

    def settings_of(self, section: str) -> Any:
        """Read phasemap's settings of a section, where a part of the user stands a legal kind in its place."""
        content = self.document.content.get(section)
        if not isinstance(content, dict):
            return self.section((section,), SECTIONS[section], content)
        kinds = {
            key: STAND_INS[role] for role, (where, key) in ROLES.items() if where == section and self.parts.get(role)
        }
        heard = [
            one.key for name, one in self.declared.items() if one.section == section and name not in self.parameters
        ]
        self.unknown_keys((section,), content, [one.key for one in self.declared.values() if one.section == section])
        return self.section((section,), SECTIONS[section], {k: content[k] for k in heard if k in content} | kinds)

    def axes(self, content: Any) -> tuple[Axis, ...]:
        """Read the axes; a user's code is no value of one."""
        for name in content if isinstance(content, dict) else ():
            if self.parts.get(str(name)):
                self.wrong(("axes", name), "is code of yours, which can't be an axis; allowed: one study for each")
        return super().axes(content)

    def owner_of(self, name: str) -> str:
        """Name the part that has a parameter."""
        return self.parts.owner[name].reference

    def with_data(self, study: OwnStudy) -> Parts:
        """Return the parts with the sizes and hashes of own data, loaded for all values of their settings."""
        part = self.parts.get("task")
        if part is None:
            return self.parts
        if self.stored:
            stored = self.document.content["signature"].get("data", ())
            data = tuple(data_size_of(one, part) for one in stored)
        else:
            data = tuple(self._loaded(study, part))
            self.stop_if_wrong()
        return Parts(version=self.parts.version, parts=self.parts.parts, data=data)

    def _loaded(self, study: OwnStudy, part: Part) -> Iterator[DataSize]:
        choices = [values_of(study, name) for name in part.names]
        combinations = list(itertools.product(*choices))
        if len(combinations) > MOST_DATA:
            self.wrong(ROLES["task"], f"= {part.reference}: {len(combinations)} data sets; allowed: up to {MOST_DATA}")
            return
        for combination in combinations:
            values = tuple((name, value) for name, (_, value) in zip(part.names, combination, strict=True))
            try:
                yield load_own(part, values).size(values)
            except (ProgramError, UnreachableError) as error:
                self.wrong(ROLES["task"], f"= {part.reference}{error}")

    def resolved(self, path: KeyPath, name: str, value: Any) -> Any:
        """Make a data file's path absolute, and put a matrix in place of its file; a part's settings stay."""
        return value if name in self.parameters else super().resolved(path, name, value)
