"""A program as a study knows it: who calls it, its settings and what it records; its code is not needed for that."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from phasemap.study.conditions import KINDS, Kind
from phasemap.study.marking import Declared, declared_by
from phasemap.study.names import ACCURACIES, CORRUPTION, FACTS, QUANTITY_KINDS
from phasemap.study.parameters import Parameter
from phasemap.study.program_source import (
    Code,
    ProgramError,
    code_hash,
    file_of_function,
    import_program,
    known_of,
    place_of,
    program_name,
    source_files,
    staying_here,
)
from phasemap.study.settings import Recorded
from phasemap.study.signature import RESERVED_NAMES, ProgramKind, SignatureError, kind_of, parameters_of

ONE: Final[Mapping[Kind, str]] = {"accuracy": "an accuracy", "loss": "a loss", "number": "a number"}
OBJECTIVE = {"value": "number"}  # what an objective of Optuna returns, and reports on the way
IN_PYTHON = "python"
"""In place of a file or a module: the program was given as a function, and its code goes with the study."""


IMPORTED: Final = "imported"
"""In place of a program: the trials are those of a sweep that was made elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program(Code):
    """What is known of a program without its code; of objectives, settings are what a study says."""

    kind: ProgramKind = "phasemap"
    quantities: tuple[tuple[str, Kind], ...] = ()  # none: the first trial tells
    facts: tuple[str, ...] = ()
    finals: tuple[str, ...] = ()
    code: bytes | None = field(default=None, compare=False, repr=False)  # of a function that is sent by value

    @property
    def name(self) -> str:
        """What the trials' ids call it."""
        return self.reference if self.kind == IMPORTED else program_name(self.reference)

    @property
    def open(self) -> bool:
        """Whether its settings are what a study says: an objective has no signature."""
        return self.kind not in ("phasemap", IMPORTED)

    @property
    def recorded(self) -> Recorded:
        """What it records of every trial."""
        return Recorded(
            quantities=dict(self.quantities),
            facts=self.facts,
            finals=self.finals,
            texts=("source_id", "source_state") if self.kind == IMPORTED else ("source",),
            whole=frozenset(self.facts) - {CORRUPTION, "corruption_effective"},
        )

    def content(self) -> dict[str, Any]:
        """Return what is known as plain values, from which ``program_of`` makes it again."""
        return {
            "kind": self.kind,
            **self.known(),
            "quantities": dict(self.quantities),
            "facts": list(self.facts),
            **({"finals": list(self.finals)} if self.finals else {}),
        }


def program_of(reference: str, content: Mapping[str, Any]) -> Program:
    """Make a program from what ``Program.content`` returned; ValueError, KeyError or TypeError where it is none."""
    return Program(
        reference=reference,
        kind=content["kind"],
        **known_of(content),
        quantities=tuple((str(name), kind) for name, kind in content["quantities"].items()),
        facts=tuple(content["facts"]),
        finals=tuple(content.get("finals", ())),
    )


def imported_program(reference: Any, folder: Path) -> Program:
    """Import a program and read its signature; ProgramError and SignatureError where it can't be one."""
    place = place_of(reference)
    with staying_here():
        function = import_program(place, folder)
    read = read_function(function, reference)
    folder_path = str(folder.resolve()) if place.in_file else ""
    return replace(read, folder=folder_path, source=code_hash(place, folder, function))


def read_function(function: Callable[..., Any], reference: str) -> Program:
    """Read a function's signature, and what its author declares; SignatureError with all that is wrong."""
    declared = declared_by(function) or Declared()
    kind = kind_of(function, decorated=declared_by(function) is not None)
    parameters = parameters_of(function, declared.since) if kind == "phasemap" else ()
    quantities = dict(declared.quantities)
    wrong = [*quantity_mistakes(quantities), *_clashes(parameters, quantities)]
    if wrong:
        raise SignatureError(wrong)
    uses = _uses(function) if kind == "phasemap" else frozenset()
    if "score" in uses and quantities:
        quantities |= {name: QUANTITY_KINDS[name] for name in ACCURACIES if name not in quantities}
    return Program(
        reference=reference,
        kind=kind,
        parameters=parameters,
        quantities=tuple((OBJECTIVE if kind == "optuna" else quantities).items()),  # type: ignore[arg-type]
        facts=_facts(parameters) if "corrupt" in uses else (),
    )


def _facts(parameters: tuple[Parameter, ...]) -> tuple[str, ...]:
    """Return what ``trial.corrupt`` records: also the share asked for, unless a parameter has its name."""
    return FACTS if any(one.name == CORRUPTION for one in parameters) else (CORRUPTION, *FACTS)


def quantity_mistakes(quantities: Mapping[Any, Any]) -> list[str]:
    """List what is wrong with declared quantities."""
    mistakes = []
    for name, kind in quantities.items():
        if not isinstance(name, str) or not re.fullmatch(r"[^\W\d]\w{0,63}", name):
            mistakes.append(f"declares the quantity {name!r}; allowed: letters, digits and _, at most 64")
        elif name in RESERVED_NAMES and name not in QUANTITY_KINDS:
            mistakes.append(f"declares the quantity {name}, which is a reserved name; allowed: another name")
        if kind not in KINDS:
            mistakes.append(f"declares {name} as {kind!r}; allowed: {', '.join(KINDS)}")
        elif QUANTITY_KINDS.get(name, kind) != kind:
            mistakes.append(f"declares {name} as {kind}, but it is {ONE[QUANTITY_KINDS[name]]} everywhere in phasemap")
    return mistakes


def _clashes(parameters: tuple[Parameter, ...], quantities: Mapping[str, Kind]) -> list[str]:
    taken = {*quantities, *(f"{name}_std" for name in quantities), *FACTS}
    return [
        f"has a parameter {parameter.name}, which is the name of a quantity or fact too; allowed: another name"
        for parameter in parameters
        if parameter.name in taken
    ]


def _uses(function: Callable[..., Any]) -> frozenset[str]:
    """Return which methods of its trial a function calls, ``corrupt`` by a helper too; of one without a text none."""
    first = next(iter(inspect.signature(function).parameters))
    try:
        text = inspect.getsource(function)
    except (OSError, TypeError):
        return frozenset()
    path = file_of_function(function)
    files = source_files(path) if path and path.is_file() else []  # a notebook's function has none
    corrupts = {"corrupt"} if _calls(text) & _corrupting(files) else set()
    return frozenset({*re.findall(rf"\b{first}\.(score)\(", text), *corrupts})


def _corrupting(files: Sequence[Path]) -> set[str]:
    """Return the names of the functions and classes in files that call ``corrupt``, or another one that does."""
    nodes: list[ast.stmt] = []
    for file in files:
        with suppress(SyntaxError, ValueError):  # a file that the program never imports may be broken
            nodes += ast.parse(file.read_bytes()).body
    calls = {
        node.name: _calls(ast.unparse(node)) for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))
    }
    names = {"corrupt"}
    while more := {name for name, called in calls.items() if called & names} - names:
        names |= more
    return names


def _calls(text: str) -> set[str]:
    return set(re.findall(r"(\w+)\(", text))


def refuse_code(reference: Any, allowed: tuple[str, ...]) -> None:
    """ProgramError unless a program is one of those that a service was given by their names; nothing is imported."""
    if reference in allowed and not place_of(reference).in_file:
        return
    given = f"; given: {', '.join(allowed)}" if allowed else ""
    raise ProgramError(
        f"= {str(reference)[:60]!r} would run code of a study that was sent; allowed: a module that the service was "
        f"started with (--allow-program module:function){given}"
    )
