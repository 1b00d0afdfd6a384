"""The PICTURES: figure specifications as data, then drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from phasemap.diagram import ChosenAxes
from phasemap.study.errors import UserError

PHASES = "phases"  # the phase diagram; the other kinds are charts
KINDS = (PHASES, "curves", "ipr", "neurons", "pruning", "norms", "logits")
SCALES = ("rank", "value")
"""Where unevenly spaced values of an axis stand in a map: one cell apart, or true to scale."""
SIZES = ("one-column", "two-column")
"""The sizes of figures for a page; without one, a figure is as large as its content needs."""


class Chosen(ChosenAxes, total=False):
    """What can be chosen of a figure beside its kind, as callers write it; see ``FigureRequest``."""

    metric: str | None
    band: bool
    cells: bool
    scale: str
    grid: Mapping[str, str | int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureRequest:
    """Which picture of a run is asked for; UserError for an unknown scale."""

    kind: str = PHASES
    x: str | None = None  # the axis to the right
    y: str | None = None
    fix: Mapping[str, Any] | None = None  # axes that are held, with their values
    facet: str | Sequence[str] = ()  # axes that vary between panels
    metric: str | None = None  # one quantity, where the kind has several
    band: bool = False  # of a phase diagram: the ribbon in which each frontier may lie
    cells: bool = False  # each cell's letter, and not each region's name
    scale: str = SCALES[0]  # where unevenly spaced values of an axis stand
    grid: Mapping[str, str | int] | None = None  # for points on none: values of an axis, 33 or "33:log"

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise UserError(f"--scale {self.scale} is unknown; allowed: {', '.join(SCALES)}")

    @property
    def axes(self) -> ChosenAxes:
        """Which axes go where."""
        facets = (self.facet,) if isinstance(self.facet, str) else tuple(self.facet)
        return {"x": self.x, "y": self.y, "fix": self.fix, "facet": facets}

    def over(self, axis: str) -> bool:
        """Tell whether an axis is drawn or held."""
        return axis in (self.x, self.y, *self.axes["facet"], *(self.fix or ()))
