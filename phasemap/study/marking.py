"""The mark of a program: what its author declares beside its signature."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from phasemap.study.conditions import Kind

MARK = "__phasemap_program__"
Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What a program's author says of it."""

    quantities: Mapping[str, Kind] = field(default_factory=dict)
    since: Mapping[str, int] = field(default_factory=dict)


def program(
    *, quantities: Mapping[str, Kind] | None = None, since: Mapping[str, int] | None = None
) -> Callable[[Function], Function]:
    """Declare what a training function records, so that a study can name it as its ``program: file.py:function``.

    ``quantities`` gives the kind of each quantity: accuracy (in [0, 1]), loss (at least 0) or number. ``since`` names
    parameters that were added in a later version: at their defaults they don't change the trials' ids.
    """

    def mark(function: Function) -> Function:
        setattr(function, MARK, Declared(quantities=dict(quantities or {}), since=dict(since or {})))
        return function

    return mark


def declared_by(function: Any) -> Declared | None:
    """Return what a function's author declared; None where it bears no mark."""
    mark = getattr(function, MARK, None)
    return mark if isinstance(mark, Declared) else None
