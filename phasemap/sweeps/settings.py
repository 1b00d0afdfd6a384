"""Settings of a sweep: a type for each by its values, and values as a study has them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from phasemap.study.errors import UserError, visible
from phasemap.study.parameters import Parameter
from phasemap.study.values import as_number, rounded

KINDS = {bool: "bool", int: "int", float: "float", str: "str"}
LARGEST_INT = 2**63


def plain(value: Any) -> Any:
    """Return a setting as one plain value: a list or mapping as JSON text, nothing for what is no number.

    Control characters of a text are written out: they would act on terminals and be no XML.
    """
    if hasattr(value, "item") and not isinstance(value, str):
        value = value.item() if getattr(value, "size", 1) == 1 else value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= LARGEST_INT:
        return float(value)
    if isinstance(value, str):
        return visible(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    try:
        return json.dumps(value, sort_keys=True)
    except (TypeError, ValueError):
        return str(value)


def from_texts(values: Sequence[str | None]) -> list[Any]:
    """Read the values of one setting that a source keeps as text: numbers or truths where all are, else text."""
    there = [value for value in values if value is not None and value not in ("None", "null", "nan", "")]
    for read in (_whole, as_number, _truth):
        known = {value: read(value) for value in set(there)}
        if there and None not in known.values():
            return [known.get(value) if value is not None else None for value in values]
    return [None if value in ("None", "null", "") else value for value in values]


def _whole(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _truth(text: str) -> bool | None:
    return {"True": True, "False": False, "true": True, "false": False}.get(text)


def parameter_for(name: str, values: Iterable[Any], known: Parameter | None = None) -> Parameter:
    """Return a setting with the type that all its values have; UserError where the run has it with another type."""
    kinds = {type(value) for value in values if value is not None}
    if known is not None:
        kinds |= {kind for kind, text in KINDS.items() if text in known.types}
    kind = _common(kinds)
    if known is not None and kind not in known.types and known.types != ("none",):
        raise UserError(
            f"{name} holds {' | '.join(known.types)} in the run, and {kind} in the source; allowed: a run of its own "
            "(another name after -o)"
        )
    return Parameter(name=name, types=(kind, "none") if kind != "none" else ("none",), default=None)


def _common(kinds: set[type]) -> str:
    if not kinds:
        return "none"
    if kinds == {int, float}:
        return "float"
    return KINDS[kinds.pop()] if len(kinds) == 1 else "str"


def converted(parameter: Parameter, values: Sequence[Any]) -> list[Any]:
    """Return values as their setting holds them; numbers with 12 digits, as in every study."""
    kind = parameter.types[0]
    if kind == "float":
        return [None if value is None else rounded(float(value)) for value in values]
    if kind == "str":
        return [None if value is None else str(value) for value in values]
    return list(values)
