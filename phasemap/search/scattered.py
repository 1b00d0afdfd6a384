"""The map that points on no grid give: what their model expects at the points of a grid that a user asks for."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phasemap.diagram.tables import Tables, derive
from phasemap.results.folder import RunFolder
from phasemap.search.belief import map_belief
from phasemap.search.inference import complete
from phasemap.study.axes import Axis, AxisRange
from phasemap.study.errors import UserError, did_you_mean
from phasemap.study.spec import SearchSpec, Study

MOST_POINTS = 100_000  # of a grid
MOST_KEPT = 6  # values of an axis that stays as it is without being asked for
FEWEST_SURE = 0.5  # what the likeliest label must have, at least, so that it is told
GRID_PATTERN = r"(\d{1,5})(?::(log|linear))?"

Grid = Mapping[str, str | int]
"""By axis: how many values it gets, and on which scale: 33, "33" or "33:log"."""


def axis_range(name: str, measured: Axis, asked: str | int) -> AxisRange:
    """Return the range of an axis that a grid asks for, from its least to its largest measured value."""
    match = re.fullmatch(GRID_PATTERN, str(asked))
    if not match or int(match[1]) < 2:
        raise UserError(f"--grid {name}={asked} is not allowed; allowed: a number of at least 2, such as 33 or 33:log")
    if measured.categorical:
        raise UserError(f"--grid {name}={asked}: {name} has no numbers; allowed: leave it out, it keeps its values")
    low, high = min(measured.values), max(measured.values)
    usual = "log" if measured.scale == "log" else "linear"
    scale: Any = match[2] or usual
    if scale == "log" and low <= 0:
        raise UserError(f"--grid {name}={asked}: a log scale needs values above 0, and the least is {low:g}")
    num = int(match[1]) if high > low else 1
    return AxisRange(start=low, stop=high, num=num, scale=scale)


def check_axes(asked: Grid, names: Sequence[str]) -> None:
    """UserError where a grid names what is no axis."""
    for name in asked:
        if name not in names:
            raise UserError(f"--grid {name}: no such axis{did_you_mean(name, names)}; allowed: {', '.join(names)}")


def gridded_axes(study: Study, asked: Grid) -> tuple[Axis, ...]:
    """Return a study's axes with those on a grid that are asked for; UserError where another has too many values."""
    check_axes(asked, study.axis_names)
    axes = []
    for axis in study.axes:
        if axis.name in asked:
            axes.append(_gridded(study, axis, asked[axis.name]))
        elif len(axis.values) <= MOST_KEPT or axis.categorical:
            axes.append(Axis(name=axis.name, values=axis.values))
        else:
            raise UserError(
                f"{axis.name} has {len(axis.values)} values on no grid; needed: --grid {axis.name}=N, or N:log"
            )
    n_points = math.prod(len(axis.values) for axis in axes)
    if n_points > MOST_POINTS:
        raise UserError(f"--grid makes {n_points} points; allowed: at most {MOST_POINTS}")
    return tuple(axes)


def _gridded(study: Study, axis: Axis, asked: str | int) -> Axis:
    wanted = axis_range(axis.name, axis, asked)
    if all(isinstance(value, int) for value in axis.values):  # whole numbers stay whole
        return Axis(name=axis.name, values=tuple(dict.fromkeys(round(value) for value in wanted.values())))
    return Axis(name=axis.name, values=tuple(wanted.values()), source=wanted)


def grid_study(study: Study, asked: Grid) -> Study:
    """Return a study of scattered points as one of a grid that a search has left to infer."""
    if not study.scattered:
        raise UserError(f"--grid: the points of {study.name} already lie on a grid; allowed: leave it out")
    search = SearchSpec(kind="boundary")
    return study.model_copy(update={"axes": gridded_axes(study, asked), "measured": (), "search": search})


def inferred_tables(folder: RunFolder, study: Study, asked: Grid) -> Tables:
    """Return the tables of the map on a grid that a run's scattered trials give.

    Points of the grid are inferred, but for those that were measured; without a label and any number where the model
    knows nothing: no trial is near, or none of the labels is likely.
    """
    tables = complete(derive(folder, grid_study(study, asked)))
    belief = map_belief(tables.study, tables.trials)
    if belief is None:
        return tables
    points, labelled = tables.points, bool(tables.study.phases.labels)
    unknown = belief.unknown | ((points["confidence"] < FEWEST_SURE).to_numpy() if labelled else False)
    return replace(tables, points=_without(tables.study, points, unknown & points["inferred"].to_numpy()))


def _without(study: Study, points: pd.DataFrame, unknown: NDArray[np.bool_]) -> pd.DataFrame:
    """Empty the rows of points of which nothing is known; without labels there is no confidence either."""
    bare = points.copy()
    kept = {*study.axis_names, "inferred", *(name for name in points if name.startswith("n_"))}
    for name in points.columns.difference(list(kept)):
        bare[name] = points[name].mask(unknown)
    bare["inferred"] = points["inferred"] & ~unknown
    if not study.phases.labels:
        bare["confidence"] = np.nan
    return bare
