"""Parameters of a program: each with the types of its values, its choices and its default, as a setting of trials."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Union

from pydantic import PlainValidator
from pydantic.fields import FieldInfo

from phasemap.study.settings import Setting
from phasemap.study.values import rounded

FIXED = "fixed"
"""The section of a study in which a program's settings stand that are no axes."""
SCALARS: Mapping[str, Any] = {"none": None, "bool": bool, "int": int, "float": float, "str": str}
LISTS = tuple(f"list[{kind}]" for kind in ("bool", "int", "float", "str"))
CHOICE = "choice"
TYPES = (CHOICE, *SCALARS, *LISTS)
"""What a parameter's values may be, in the order in which a value is tried."""
Scalar = bool | int | float | str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One keyword parameter of a program."""

    name: str
    types: tuple[str, ...]  # of TYPES
    choices: tuple[Scalar, ...] = ()
    required: bool = False
    default: Any = None
    since: int | None = None  # the version that added it: its default is left out of the ids

    @property
    def listed(self) -> bool:
        """Whether its values are lists, which no axis can have."""
        return any(kind in LISTS for kind in self.types)

    @property
    def setting(self) -> Setting:
        """The parameter as a setting of trials."""
        field = FieldInfo(annotation=self._annotation(), default=self.default)
        if self.required:
            field = FieldInfo(annotation=self._annotation())
        field.metadata = [PlainValidator(self.value_of)]
        return Setting(name=self.name, section=FIXED, key=self.name, field=field)

    def value_of(self, found: Any) -> Any:
        """Return a value as the program gets it; ValueError where none of the types takes it."""
        text = isinstance(found, str) and "str" in self.types  # which no number may take
        for kind in TYPES:
            if kind in self.types and not (text and kind in ("int", "float", "bool")):
                try:
                    return self._as_choice(found) if kind == CHOICE else _as(kind, found, floats="float" in self.types)
                except ValueError:
                    continue
        raise ValueError(f"{found!r} is none of {', '.join(self.types)}")

    def _as_choice(self, found: Any) -> Scalar:
        for choice in self.choices:
            if choice == found and isinstance(choice, bool) == isinstance(found, bool):
                return choice
        raise ValueError

    def _annotation(self) -> Any:
        """Return the types as an annotation, which messages are worded from."""
        parts: list[Any] = []
        for kind in self.types:
            if kind == CHOICE:
                parts.append(Literal[self.choices])
            elif kind in LISTS:
                parts.append(types.GenericAlias(list, (SCALARS[kind[5:-1]],)))
            elif kind != "none":
                parts.append(SCALARS[kind])
        if "none" in self.types:
            parts.append(type(None))
        return Union[tuple(parts)]  # noqa: UP007

    def content(self) -> dict[str, Any]:
        """Return the parameter as plain values, from which ``parameter_of`` makes it again."""
        content: dict[str, Any] = {"type": " | ".join(self.types)}
        if self.choices:
            content["choices"] = list(self.choices)
        if not self.required:
            content["default"] = list(self.default) if isinstance(self.default, tuple) else self.default
        if self.since is not None:
            content["since"] = self.since
        return content


def parameter_of(name: str, content: Mapping[str, Any]) -> Parameter:
    """Make a parameter from what ``Parameter.content`` returned; ValueError or KeyError where it is none."""
    types = tuple(str(content["type"]).split(" | "))
    if not set(types) <= set(TYPES):
        raise ValueError(f"{content['type']} is not a type of parameter")
    parameter = Parameter(
        name=name,
        types=types,
        choices=tuple(content.get("choices", ())),
        required="default" not in content,
        since=content.get("since"),
    )
    return parameter if parameter.required else replace(parameter, default=parameter.value_of(content["default"]))


def _as(kind: str, found: Any, *, floats: bool) -> Any:
    """Return a value as one of a type; ValueError where it is none. A whole 3.0 serves an int; 1e-4 may be text."""
    if kind in LISTS:
        if not isinstance(found, list | tuple):
            raise ValueError
        return tuple(_as(kind[5:-1], item, floats=kind == "list[float]") for item in found)
    if kind == "none":
        if found is not None:
            raise ValueError
        return None
    if isinstance(found, bool) or kind == "bool":
        if kind != "bool" or not isinstance(found, bool):
            raise ValueError
        return found
    if kind == "int":
        whole = isinstance(found, int) or (isinstance(found, float) and found.is_integer() and not floats)
        if not whole:
            raise ValueError
        return int(found)
    if kind == "float":
        return _number(found)
    if not isinstance(found, str):
        raise ValueError
    return found


def _number(found: Any) -> float:
    if not isinstance(found, int | float | str):
        raise ValueError
    try:
        value = rounded(float(found))
    except OverflowError:
        raise ValueError from None
    if value - value != 0:  # not finite
        raise ValueError
    return value
