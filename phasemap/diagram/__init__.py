"""The MAP: points to phase diagrams, frontiers and their statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict


class ChosenAxes(TypedDict, total=False):
    """Which axes of a study go where in a figure; see ``lay_out``."""

    x: str | None  # the axis to the right
    y: str | None
    fix: Mapping[str, Any] | None  # axes that are held, with their values
    facet: Sequence[str]  # axes that vary between panels, or one
