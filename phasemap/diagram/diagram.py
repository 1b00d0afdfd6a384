"""The phase diagram as data: points laid out over two axes, in panels, with their frontiers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Unpack

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import TypeAdapter

from phasemap.diagram import ChosenAxes
from phasemap.diagram.coordinates import Coordinates, show_value
from phasemap.diagram.frontier import Floats, MapFrontier, frontier_lines, inside_bound, map_frontiers, surface
from phasemap.study.axes import Axis
from phasemap.study.errors import UserError, did_you_mean
from phasemap.study.spec import Study

STEP = "step"  # the horizon, where it is an axis
STRIP = Axis(name="", values=(0,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One map: the points at one combination of facet values, as arrays of (ny, nx)."""

    facet: Mapping[str, Any]
    grid: Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagram:
    """Panels over the axes x and y (y is None for a strip); ``facets`` vary between panels."""

    study: Study
    x: Coordinates
    y: Coordinates
    facets: tuple[Axis, ...]
    fixed: Mapping[str, Any]
    panels: tuple[Panel, ...]
    frontiers: tuple[MapFrontier, ...] = ()
    left_out: int = 0  # panels that are not drawn

    @property
    def strip(self) -> bool:
        """Whether there is only one axis."""
        return self.y.axis is STRIP

    def frontier_positions(self, panel: Panel, frontier: MapFrontier, *, to_frame: bool = False) -> list[Floats]:
        """Return a frontier's lines (n, 2) where it is drawn, in positions; ``to_frame`` extends them to the frame."""
        lines = self._whole_lines(panel, frontier, to_frame=to_frame)
        return [piece for line in lines for piece in inside_bound(line, frontier, panel.grid, self.x, self.y)]

    def _whole_lines(self, panel: Panel, frontier: MapFrontier, *, to_frame: bool) -> list[Floats]:
        """Return a frontier's lines, also where it is not drawn.

        At each value of a categorical axis crossings are marked on their own, never joined to those of another.
        """
        z, level = surface(frontier, panel.grid, self.x, self.y)
        return frontier_lines(self.x, self.y, z, level, to_frame=to_frame)

    def crossings(self, name: str) -> list[float]:
        """Return where a frontier crosses the first axis of the first panel, also where it is not drawn."""
        lines = self._whole_lines(self.panels[0], self.named(name), to_frame=False)
        return [float(self.x.to_values(line[:1, 0])[0]) for line in lines]

    def named(self, name: str | None = None) -> MapFrontier:
        """Return the frontier of a name, by default the first; UserError if there is none."""
        names = [frontier.name for frontier in self.frontiers]
        if name not in names and (name is not None or not names):
            known = f"allowed: {', '.join(names)}" if names else "the rule of the study declares none"
            raise UserError(f"{name!r} is not a frontier{did_you_mean(str(name), names)}; {known}")
        return self.frontiers[0 if name is None else names.index(name)]

    def frontier(self, name: str | None = None, panel: int = 0) -> list[Floats]:
        """Return a frontier's lines in one panel, each (n, 2), in values of the axes."""
        lines = self.frontier_positions(self.panels[panel], self.named(name))
        return [np.stack([self.x.to_values(line[:, 0]), self.y.to_values(line[:, 1])], axis=1) for line in lines]


MOST_PANELS = 36


def first_panels(diagram: Diagram) -> Diagram:
    """Cut a diagram with very many panels to its first, so that it can be drawn and looked at."""
    return replace(diagram, panels=diagram.panels[:MOST_PANELS], left_out=len(diagram.panels[MOST_PANELS:]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Which axes of a study go where in a figure; x and y are None where no axis is left for them."""

    x: Axis | None
    y: Axis | None
    facets: tuple[Axis, ...]
    fixed: Mapping[str, Any]


def lay_out(
    study: Study,
    *,
    x: str | None = None,
    y: str | None = None,
    fix: Mapping[str, Any] | None = None,
    facet: Sequence[str] = (),
) -> Layout:
    """Choose the axes of a figure: x and y by default the study's first two that are not fixed; the rest are facets.

    UserError where an axis or a fixed value is not the study's, or an axis is used twice.
    """
    fixed = {name: _fixed_value(study, name, value) for name, value in (fix or {}).items()}
    free = [name for name in study.axis_names if name not in fixed and name not in facet]
    for name in filter(None, (x, y, *facet)):
        _check_axis(study, name, fixed)
    x = x or next((name for name in free if name != y), None)
    y = y or next((name for name in free if name != x), None)
    used = [name for name in (x, y, *facet) if name]
    if len(set(used)) < len(used):
        raise UserError(f"an axis is used twice among x, y and facets: {', '.join(used)}")
    rest = [name for name in study.axis_names if name not in fixed and name not in (x, y)]
    return Layout(
        x=study.axis(x) if x else None,
        y=study.axis(y) if y else None,
        facets=tuple(study.axis(name) for name in [*facet, *(n for n in rest if n not in facet)]),
        fixed=fixed,
    )


def make_diagram(study: Study, points: pd.DataFrame, *, by_value: bool = False, **axes: Unpack[ChosenAxes]) -> Diagram:
    """Lay points out over two axes as ``lay_out`` chooses them; UserError also where no axis is left to draw.

    The rows of ``points`` stand in the order of ``study.points()``.
    ``by_value`` places unevenly spaced numbers true to scale, and not one cell apart.
    """
    layout = lay_out(study, **axes)
    if layout.x is None:
        raise UserError("no axis is left to draw; allowed: leave at least one axis free")
    across, along = Coordinates(layout.x, by_value), Coordinates(layout.y or STRIP, by_value)
    names = [axis.name for axis in layout.facets]
    panels = []
    for values in itertools.product(*(axis.values for axis in layout.facets)):
        facet = dict(zip(names, values, strict=True))
        rows = panel_rows(study, across, along, {**layout.fixed, **facet})
        panels.append(Panel(facet=facet, grid={name: points[name].to_numpy()[rows] for name in points.columns}))
    return Diagram(
        study=study,
        x=across,
        y=along,
        facets=layout.facets,
        fixed=layout.fixed,
        panels=tuple(panels),
        frontiers=map_frontiers(study),
    )


def panel_rows(study: Study, x: Coordinates, y: Coordinates, held: Mapping[str, Any]) -> NDArray[np.int64]:
    """Return which point of ``study.points()`` stands in each cell (ny, nx) of the panel that holds some axes."""
    sizes = [len(axis.values) for axis in study.axes]
    places = np.arange(math.prod(sizes)).reshape(sizes)
    for number, axis in enumerate(study.axes):
        if axis.name in held:
            places = places.take([axis.values.index(held[axis.name])], axis=number)
        else:
            wanted = x if axis.name == x.axis.name else y
            places = places.take([axis.values.index(value) for value in wanted.values], axis=number)
    rank = {y.axis.name: 1, x.axis.name: 2}
    order = sorted(range(len(sizes)), key=lambda number: rank.get(study.axes[number].name, 0))
    return np.transpose(places, order).reshape(len(y.values), len(x.values))


def _check_axis(study: Study, name: str, fixed: Mapping[str, Any]) -> None:
    if name not in study.axis_names:
        raise UserError(f"{name} is not an axis of {study.name}; allowed: {', '.join(study.axis_names)}")
    if name in fixed:
        raise UserError(f"{name} is fixed and drawn at once; allowed: one of the two")


def _fixed_value(study: Study, name: str, value: Any) -> Any:
    _check_axis(study, name, {})
    allowed = study.axis(name).values
    wanted: Any = value
    if name in study.declared or name == STEP:
        validator = study.declared[name].adapter if name in study.declared else TypeAdapter(int)
        with suppress(ValueError):
            wanted = validator.validate_python(value)
    if wanted not in allowed:
        text = "none" if str(value).lower() == "null" else str(value)
        named = [v for v in allowed if text in (show_value(v), str(v))]
        if len(named) == 1:
            return named[0]
        shown = ", ".join(show_value(v) for v in allowed)
        raise UserError(f"{name} = {value} is not a value of the study; allowed: {shown}")
    return wanted
