"""The PICTURES: figure specifications as data, then drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from phasemap.study.errors import UserError

PHASES = "phases"  # the phase diagram; the other kinds are charts
KINDS = (PHASES, "curves", "ipr", "neurons", "pruning", "norms", "logits")
SCALES = ("rank", "value")
"""Where unevenly spaced values of an axis stand in a map: one cell apart, or true to scale."""
SIZES = ("one-column", "two-column")
"""The sizes of figures for a page; without one, a figure is as large as its content needs."""


class Axes(TypedDict):
    """Which axes of a study go where in a figure; see ``lay_out``."""

    x: str | None
    y: str | None
    fix: Mapping[str, Any]
    facet: Sequence[str]


class Chosen(TypedDict, total=False):
    """What can be chosen of a figure beside its kind, as callers write it."""

    x: str | None  # the axis to the right
    y: str | None
    fix: Mapping[str, Any] | None  # axes that are held, with their values
    facet: str | Sequence[str]  # axes that vary between panels
    metric: str | None  # one quantity, where the kind has several
    band: bool  # of a phase diagram: the ribbon in which each frontier may lie
    cells: bool  # each cell's letter, and not each region's name
    scale: str  # rank, or value: where unevenly spaced values of an axis stand


@dataclass(frozen=True, slots=True, kw_only=True)
class MapLook:
    """How a phase diagram is drawn."""

    band: bool = False
    cells: bool = False
    by_value: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureRequest:
    """Which picture of a run is asked for."""

    kind: str
    axes: Axes
    metric: str | None
    look: MapLook

    @classmethod
    def of(
        cls,
        kind: str = PHASES,
        *,
        x: str | None = None,
        y: str | None = None,
        fix: Mapping[str, Any] | None = None,
        facet: str | Sequence[str] = (),
        metric: str | None = None,
        band: bool = False,
        cells: bool = False,
        scale: str = SCALES[0],
    ) -> FigureRequest:
        """Return a request from what callers write; UserError for an unknown scale."""
        if scale not in SCALES:
            raise UserError(f"--scale {scale} is unknown; allowed: {', '.join(SCALES)}")
        facets = (facet,) if isinstance(facet, str) else tuple(facet)
        axes: Axes = {"x": x, "y": y, "fix": dict(fix or {}), "facet": facets}
        return cls(kind=kind, axes=axes, metric=metric, look=MapLook(band=band, cells=cells, by_value=scale == "value"))

    def over(self, axis: str) -> bool:
        """Tell whether an axis is drawn or held."""
        return axis in (self.axes["x"], self.axes["y"], *self.axes["facet"], *self.axes["fix"])
