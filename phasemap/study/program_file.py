"""Read the file of a study of a program: its axes and fixed values are checked against the function's signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from phasemap.study.axes import Axis
from phasemap.study.checks import check_any
from phasemap.study.errors import KeyPath
from phasemap.study.names import NO_RULE, STATE
from phasemap.study.parameters import FIXED, LISTS, Parameter
from phasemap.study.program_source import REFERENCE, ProgramError, place_of
from phasemap.study.program_study import ProgramResources, ProgramStudy, unknown_to_rules, usual_phases
from phasemap.study.programs import (
    IMPORTED,
    IN_PYTHON,
    Program,
    imported_program,
    program_of,
    quantity_mistakes,
    refuse_code,
)
from phasemap.study.reader import Reader
from phasemap.study.settings import Setting
from phasemap.study.signature import RESERVED_NAMES, SignatureError
from phasemap.study.spec import PhaseRule
from phasemap.study.values import describe


@dataclass
class ProgramReader(Reader):
    """Turns a document into a study of a program.

    With ``stored`` the program is what the document says of it, and nothing is imported. ``given`` is a program that
    was handed over in Python. ``allowed`` are the only ones that may be imported where files are not allowed.
    """

    declared: Mapping[str, Setting] = field(default_factory=dict)
    stored: bool = False
    given: Program | None = None
    allowed: tuple[str, ...] = ()
    made: type[ProgramStudy] = ProgramStudy

    def study(self) -> ProgramStudy:
        """Return the study; StudyError names every mistake in it."""
        content = self.document.content
        self.required("name", "program", "axes")
        program = self.program(content.get("program"))
        program = self.with_quantities(program, content.get("quantities"))
        if program.open:
            program = replace(program, parameters=self.told_parameters(content))
        self.parameters = {parameter.name: parameter for parameter in program.parameters}
        self.declared = {name: parameter.setting for name, parameter in self.parameters.items()}
        self.unknown_keys((), content, [key for key in self.made.file_keys if key != "signature" or key in content])
        axes = self.axes(content.get("axes", {}))
        self.overlap(content, axes)
        values = self.common(ProgramResources) | {"signature": program, "axes": axes}
        for index, record in enumerate(values["record"]):
            if record != STATE and not self.stored:
                self.wrong(("record", index), f"= {record} looks into phasemap's own networks; allowed: {STATE}")
        values["version"] = self.value(("version",), ProgramStudy.model_fields["version"], content.get("version", 1))
        values["fixed"] = self.fixed(content.get(FIXED), axes)
        self.unquoted()
        self.recorded = program.recorded
        values["phases"] = self.labels(content.get("phases"))
        study = self.made.model_construct(**values, **self.further())
        self.stop_if_wrong(check_any(study, frozenset(p.path for p in self.problems)))
        return study

    def further(self) -> dict[str, Any]:
        """Return what else such a study has."""
        return {}

    def program(self, reference: Any) -> Program:
        """Return what is known of the program; without it nothing else of the study can be checked."""
        try:
            if self.given is not None:
                return self.given
            if self.stored:
                return program_of(str(reference), self.document.content["signature"])
            if reference == IMPORTED:
                raise ProgramError(
                    f"= imported names no code: the run was made by phasemap import; allowed: {REFERENCE}"
                )
            if not self.files_allowed:
                refuse_code(reference, self.allowed)
            place = place_of(reference)
            if place.code == IN_PYTHON:
                raise ProgramError(f"= {reference} was given as a function; allowed: pm.run with that function")
            return imported_program(reference, self.folder_of(place, self.document.content.get("signature")))
        except SignatureError as error:
            for message in error.messages:
                self.wrong(("program",), f"= {reference}: {message}")
        except ProgramError as error:
            self.wrong(("program",), str(error))
        except (KeyError, TypeError, ValueError) as error:
            self.wrong(("signature",), f"is not what a run stores of its program: {error!r}")
        self.stop_if_wrong()
        raise AssertionError

    def with_quantities(self, program: Program, quantities: Any) -> Program:
        """Add the quantities that a study declares for a program that declares none itself."""
        if quantities is None or self.stored:
            return program
        if not isinstance(quantities, dict):
            self.wrong(
                ("quantities",), f"is {describe(quantities)}; allowed: a mapping of names to accuracy, loss or number"
            )
            return program
        for message in quantity_mistakes(quantities):
            self.wrong(("quantities",), message)
        own = dict(program.quantities)
        for name, kind in quantities.items():
            if own and own.get(name) != kind:
                declared = f"{name} as {own[name]}" if name in own else ", ".join(own)
                self.wrong(("quantities", name), f"= {describe(kind)}, but the program declares {declared}")
        return program if own else replace(program, quantities=tuple(quantities.items()))

    def told_parameters(self, content: Mapping[str, Any]) -> tuple[Parameter, ...]:
        """Return as parameters what a study gives to an objective, which has no signature."""
        parameters = []
        for section in ("axes", FIXED):
            given = content.get(section)
            for name, value in given.items() if isinstance(given, dict) else ():
                if name in RESERVED_NAMES and not self.stored:
                    self.wrong((section, name), "is a reserved name; allowed: another name")
                values = value if section == "axes" else [value]
                parameters.append(Parameter(name=str(name), types=_types_of(values), required=True))
        return tuple({parameter.name: parameter for parameter in parameters}.values())

    def fixed(self, content: Any, axes: Sequence[Axis]) -> tuple[tuple[str, Any], ...]:
        """Read the values that are no axes: the given ones and, resolved, the defaults."""
        content = {} if content is None else content
        if not isinstance(content, dict):
            self.wrong((FIXED,), f"is {describe(content)}; allowed: a mapping of {', '.join(self.parameters)}")
            return ()
        for name in content:
            if name not in self.parameters:
                self.wrong((FIXED, name), f"{self.no_setting()}{self.hint(str(name), self.parameters)}")
        return self.parameter_values(axes)

    def unquoted(self) -> None:
        """Report text that other readers of YAML take for true or false."""
        for path, text in self.document.ambiguous.items():
            name = path[1] if len(path) > 1 and path[0] in ("axes", FIXED) else None
            parameter = self.parameters.get(str(name))
            if parameter is not None and {"str", "choice", "list[str]"} & set(parameter.types):
                self.wrong(path, f"= {text} is true or false to many readers of YAML; allowed: quote it, '{text}'")

    def labels(self, content: Any) -> PhaseRule:
        """Read what a study labels by; without it the built-in rule where what it needs is recorded, else none."""
        if content is None:
            return usual_phases(self.recorded)
        if not self.recorded.quantities and not self.stored and content != {"rule": NO_RULE}:
            self.wrong(("phases",), "needs to know what is recorded; needed: quantities of the study, or of pm.program")
            return PhaseRule.none()
        before = len(self.problems)
        rule = self.phases(("phases",), content)
        if len(self.problems) > before:
            return PhaseRule.none()
        missing = unknown_to_rules(self.recorded)
        if rule.own is None and missing:
            needs = f"needs {', '.join(missing)} of every trial (trial.corrupt, trial.score)"
            self.wrong(("phases",), f"= {rule.rule} {needs}; allowed: labels of your own, or {NO_RULE}")
        return rule

    def no_setting(self) -> str:
        """Say of an axis that the program lacks it, and what it has."""
        known = ", ".join(self.parameters) or "none"
        return f"is not a parameter of {self.document.content.get('program')}; allowed: {known}"

    def hint(self, key: str, known: Any, path: KeyPath = ()) -> str:
        """Hint at what a misspelt or misplaced key may be meant to be."""
        if not path and key in self.parameters:
            return f" ({key} belongs under {FIXED}: or axes:)"
        return super().hint(key, known, (FIXED,))


def _types_of(values: Any) -> tuple[str, ...]:
    """Return the types of an objective's setting by the values that a study gives."""
    if isinstance(values, dict):
        return ("float",)
    kinds: dict[str, None] = {}
    for value in values if isinstance(values, list) else [values]:
        if isinstance(value, list):
            inner = _types_of(value)
            kind = f"list[{'float' if 'float' in inner else inner[0]}]"
            kinds[kind if kind in LISTS else "list[str]"] = None
        else:
            names = {bool: "bool", int: "int", float: "float", str: "str"}
            kinds[names.get(type(value), "none")] = None
    if "float" in kinds:
        kinds.pop("int", None)
    return tuple(kinds) or ("none",)
