"""What a program reports, checked: one number for each quantity of a step."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any

from phasemap.study.conditions import Kind
from phasemap.study.names import QUANTITY_KINDS
from phasemap.study.signature import RESERVED_NAMES

LAST_STEP = 2**53  # further whole numbers are no floats, which step times are


class ReportError(ValueError):
    """A program reported what can't be recorded; the message names it."""


class DivergedError(BaseException):
    """A loss is not finite: the trial ends. No ``except Exception`` of a program holds it up."""


def usual_kinds(names: Iterable[str], settings: Collection[str] = ()) -> dict[str, Kind]:
    """Return the kinds of quantities that nobody declared: those of the built-in names, else number.

    ReportError for names that a setting or a column of the tables has.
    """
    found = list(names)
    if taken := [name for name in found if is_taken(name, settings)]:
        raise ReportError(f"report has {', '.join(taken)}, which a setting or a column is called; allowed: other names")
    return {name: QUANTITY_KINDS.get(name, "number") for name in found}


def is_taken(name: str, settings: Collection[str]) -> bool:
    """Whether a quantity can't be called so, since a setting or a column of the tables is."""
    return name in settings or (name in RESERVED_NAMES and name not in QUANTITY_KINDS)


def checked_step(step: Any, last: int | None) -> int:
    """Return a step as a whole number from 1, after the last one."""
    whole = _whole(step)
    if whole is None or not 1 <= whole <= LAST_STEP:
        raise ReportError(f"report: step = {_shown(step)} is not allowed; allowed: a whole number from 1 to 2**53")
    if last is not None and whole <= last:
        raise ReportError(f"report: step {whole} comes after step {last}; allowed: steps that rise")
    return whole


def checked_values(found: Mapping[str, Any], declared: Mapping[str, Kind], step: int) -> dict[str, float]:
    """Return a record's numbers in the order of what is declared; DivergedError for a loss that is not finite."""
    if not found:
        raise ReportError(f"report at step {step} has no quantity; needed: {', '.join(declared)}")
    undeclared = [name for name in found if name not in declared]
    if undeclared:
        raise ReportError(
            f"report at step {step} has {', '.join(undeclared)}, which the program does not declare; "
            f"declared: {', '.join(declared)} (quantities of pm.program, or of the study)"
        )
    missing = [name for name in declared if name not in found]
    if missing:
        raise ReportError(
            f"report at step {step} lacks {', '.join(missing)}; needed: all that is declared ({', '.join(declared)}), "
            "nan where there is none"
        )
    values = {name: checked_number(name, found[name], step) for name in declared}
    for name, kind in declared.items():
        _check_kind(name, values[name], kind, step)
    return values


def checked_number(name: str, value: Any, step: int) -> float:
    """Return a reported value as a float; ReportError unless it is one number."""
    if type(value).__module__.split(".")[0] == "torch":
        raise ReportError(f"report at step {step}: {name} is a tensor; allowed: a number ({name}.item())")
    inner, shape = _inner(value), getattr(value, "shape", None)
    if isinstance(inner, int | float) and not isinstance(inner, bool):
        with suppress(OverflowError):
            return float(inner)
    what = f"an array of shape {tuple(shape)}" if shape else _shown(value)
    raise ReportError(f"report at step {step}: {name} = {what} is not allowed; allowed: one number")


def _check_kind(name: str, value: float, kind: Kind, step: int) -> None:
    if kind == "loss" and not math.isfinite(value):
        raise DivergedError(f"{name} = {value} at step {step}")
    if kind == "loss" and value < 0:
        raise ReportError(
            f"report at step {step}: {name} = {value:g} is not a loss; allowed: >= 0, or declare it as a number"
        )
    if kind == "accuracy" and not (math.isnan(value) or 0 <= value <= 1):
        raise ReportError(
            f"report at step {step}: {name} = {value:g} is not an accuracy; allowed: a share in [0, 1], or declare it "
            "as a number"
        )


def _whole(value: Any) -> int | None:
    inner = _inner(value)
    whole = isinstance(inner, int) or (isinstance(inner, float) and inner.is_integer())
    return int(inner) if whole and not isinstance(inner, bool) else None


def _inner(value: Any) -> Any:
    """Return what a NumPy scalar, or an array or tensor without axes, holds; anything else as it is."""
    return value.item() if getattr(value, "shape", None) == () and hasattr(value, "item") else value


def _shown(value: Any) -> str:
    return f"{type(value).__name__} {str(value)[:60]!r}"
