"""Values that a study file may hold: rounded numbers; what each setting allows and what was found, in words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BeforeValidator, Field, TypeAdapter
from pydantic.fields import FieldInfo

from phasemap.study.errors import visible

SIGNIFICANT_DIGITS = 12


def rounded(value: float) -> float:
    """Round to 12 significant digits, so that 0.1 * 5 from a range is the 0.5 of a list; no negative zero."""
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}") + 0.0


def is_number(value: Any) -> bool:
    """Tell whether a value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def as_number(value: Any) -> float | None:
    """Return what a text or value says as a number; None where it says none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _not_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a boolean is not a number")
    return value


def _rounded_number(value: Any) -> Any:
    value = _not_boolean(value)
    try:
        return rounded(float(value))
    except (TypeError, ValueError, OverflowError):
        return value  # for pydantic to refuse


Real = Annotated[float, BeforeValidator(_rounded_number), Field(allow_inf_nan=False)]
LARGEST = 10**15  # what a float holds exactly, and more than any machine trains
Count = Annotated[int, BeforeValidator(_not_boolean), Field(ge=1, le=LARGEST)]
Natural = Annotated[int, BeforeValidator(_not_boolean), Field(ge=0, le=LARGEST)]


@dataclass(frozen=True)
class Worded:
    """What a type accepts, in words: beside a type whose own annotation does not say it."""

    words: str


NAME_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"


def adapter(field: FieldInfo) -> TypeAdapter[Any]:
    """Return a validator for one value of a field."""
    annotation: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    return _adapter(annotation)


@lru_cache(maxsize=512)
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    """Build a validator once: each takes a quarter of a millisecond, and a study has some sixty values."""
    return TypeAdapter(annotation)


def allowed(field: FieldInfo | Any) -> str:
    """Say in words what a field accepts, e.g. ``a number in [0, 1)`` or ``one of square, relu``."""
    annotation = field.annotation if isinstance(field, FieldInfo) else field
    if NAME_PATTERN in str(field):
        return "letters, digits, - and _, at most 64"
    metadata = list(field.metadata) if isinstance(field, FieldInfo) else []
    return " or ".join(dict.fromkeys(_alternatives(annotation, metadata)))


def _alternatives(annotation: Any, metadata: list[Any]) -> list[str]:
    if get_origin(annotation) is Annotated:
        inner, *extra = get_args(annotation)
        if told := [one.words for one in extra if isinstance(one, Worded)]:
            return told
        return _alternatives(inner, metadata + list(extra))
    if get_origin(annotation) is Literal:
        names = [str(value) for value in get_args(annotation)]
        return [names[0] if len(names) == 1 else "one of " + ", ".join(names)]
    if get_origin(annotation) is Union or type(annotation).__name__ == "UnionType":
        return [text for part in get_args(annotation) for text in _alternatives(part, metadata)]
    if annotation in (int, float):
        return [_number(annotation, metadata)]
    if get_origin(annotation) in (tuple, list):
        return ["a list of " + " and ".join(_alternatives(get_args(annotation)[0], []))]
    return {str: ["text"], bool: ["true or false"], type(None): ["nothing"], Any: ["values"]}.get(
        annotation, ["a mapping"]
    )


def _number(kind: type, metadata: list[Any]) -> str:
    parts = [part for item in metadata for part in (item.metadata if isinstance(item, FieldInfo) else [item])]
    bounds = {name: getattr(part, name) for part in parts for name in ("ge", "gt", "le", "lt") if hasattr(part, name)}
    noun = "a whole number" if kind is int else "a number"
    low, high = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
    if low is not None and high is not None and high < LARGEST:
        left, right = "[" if "ge" in bounds else "(", "]" if "le" in bounds else ")"
        return f"{noun} in {left}{low:g}, {high:g}{right}"
    if low is not None:
        return f"{noun} {'>=' if 'ge' in bounds else '>'} {low:g}"
    if high is not None:
        return f"{noun} {'<=' if 'le' in bounds else '<'} {high:g}"
    return noun


def with_limit(words: str, found: Any) -> str:
    """Add to what a count may be how large it may be, where a larger number was found."""
    too_large = is_number(found) and LARGEST < found < math.inf and "a whole number >=" in words
    return f"{words}, at most {LARGEST:.0e}" if too_large else words


def describe(value: Any) -> str:
    """Show a value that was found in a file, in one short line."""
    if value is None:
        return "empty"
    if isinstance(value, dict):
        if not value or any(isinstance(one, dict | list) for one in value.values()):
            return "a mapping" if value else "an empty mapping"
        text = ", ".join(f"{visible(str(key))}: {describe(one)}" for key, one in value.items())
        return f"{{{text}}}" if len(text) <= 60 else "a mapping"
    if isinstance(value, str):
        text = value if len(value) <= 60 else value[:57] + "..."
        return f"'{visible(text)}'"
    if isinstance(value, list):
        return "an empty list" if not value else "a list"
    return yaml.safe_dump(value).removesuffix("\n...\n").strip()
