"""The grid of points on which a map is wanted: where they lie in the model's coordinates, and where to start."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemap.diagram.coordinates import Coordinates
from phasemap.study.axes import Axis
from phasemap.study.spec import Study

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

STRIDE = 4  # cells between the points of the start
FEW_VALUES = 2
APART = 2.0  # cells between two names of an axis without a scale


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetAxis:
    """The n values of one axis: their coordinates (n, c), about one apart, and the order in which they stand.

    Values on a scale have one coordinate; names, which have none, one each.
    """

    columns: Floats
    order: Places  # (n,) the values' numbers from the lowest to the highest
    scaled: bool

    def __len__(self) -> int:
        return len(self.columns)


def numeric_axis(positions: Floats) -> TargetAxis:
    """Return an axis of values at positions (n,) on some scale, in any order."""
    order = np.argsort(positions, kind="stable")
    span = positions[order[-1]] - positions[order[0]]
    cells = (positions - positions[order[0]]) / (span / (len(positions) - 1)) if span else np.zeros(len(positions))
    return TargetAxis(columns=cells[:, None], order=order, scaled=True)


def named_axis(n: int) -> TargetAxis:
    """Return an axis of n values without a scale, all equally far from one another."""
    return TargetAxis(columns=np.eye(n) * APART / math.sqrt(2), order=np.arange(n), scaled=False)


def study_axis(axis: Axis) -> TargetAxis:
    """Return a study's axis in its own scale: linear, logarithmic or by rank."""
    if axis.categorical:
        return named_axis(len(axis.values))
    coordinates = Coordinates(axis)
    at = dict(zip(coordinates.values, coordinates.positions, strict=True))
    return numeric_axis(np.asarray([at[value] for value in axis.values]))


@dataclass(frozen=True, slots=True)
class Target:
    """The points of a grid, the last axis fastest, as ``Study.points`` has them."""

    axes: tuple[TargetAxis, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of values of each axis."""
        return tuple(len(axis) for axis in self.axes)

    def __len__(self) -> int:
        return math.prod(self.shape)

    def coordinates(self) -> Floats:
        """Return the coordinates (n, c) of all points, in cells."""
        numbers = np.indices(self.shape).reshape(len(self.axes), -1)
        columns = [axis.columns[chosen] for axis, chosen in zip(self.axes, numbers, strict=True)]
        return np.concatenate(columns, axis=1)

    def coarse(self, most: int, stride: int = STRIDE) -> Places:
        """Return a coarse grid with the corners in it, of about every ``stride``-th value, or fewer up to ``most``."""
        for apart in range(stride, max(self.shape) + stride):
            chosen = [_spread(axis, apart) for axis in self.axes]
            if math.prod(map(len, chosen)) <= most:
                break
        points = list(itertools.product(*(numbers.tolist() for numbers in chosen)))
        return np.ravel_multi_index(tuple(np.asarray(points).T), self.shape)


def _spread(axis: TargetAxis, stride: int) -> Places:
    """Return about every ``stride``-th value of an axis, the ends among them; of names all."""
    n = len(axis)
    if not axis.scaled or n <= FEW_VALUES:
        return axis.order
    kept = max(2, round((n - 1) / stride) + 1)
    return axis.order[np.unique(np.round(np.linspace(0, n - 1, kept)).astype(int))]


def target_of(study: Study) -> Target:
    """Return the grid of a study's axes."""
    return Target(tuple(study_axis(axis) for axis in study.axes))


def coordinates_off_grid(study: Study, settings: Mapping[str, Sequence[Any]]) -> Floats:
    """Return the coordinates (n, c), in cells of a study's grid, of n points that need not be on it.

    NaN where an axis has no place for a value: a name that it lacks, or another value than its only one.
    """
    return np.concatenate([_columns_off_grid(axis, settings[axis.name]) for axis in study.axes], axis=1)


def _columns_off_grid(axis: Axis, values: Sequence[Any]) -> Floats:
    own = study_axis(axis)
    if axis.categorical or len(axis.values) == 1:
        known = {value: number for number, value in enumerate(axis.values)}
        numbers = [known.get(None if _is_nan(value) else value) for value in values]
        nothing = np.full(own.columns.shape[1], np.nan)
        return np.asarray([nothing if number is None else own.columns[number] for number in numbers])
    coordinates = Coordinates(axis)
    first, last = coordinates.positions[[0, -1]]
    cell = (last - first) / (len(axis.values) - 1)
    return ((coordinates.at(np.asarray(values, dtype=float)) - first) / cell)[:, None]


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def far_apart(at: Floats, random: np.random.Generator) -> Places:
    """Return an order (n,) of points (n, c) in which each is as far as can be from all before it; ties at random."""
    tie = 1e-6 * random.random(len(at))
    order = [int(np.argmax(((at - at.mean(axis=0)) ** 2).sum(axis=1) + tie))]
    away = np.full(len(at), np.inf)
    while len(order) < len(at):
        away = np.minimum(away, ((at - at[order[-1]]) ** 2).sum(axis=1))
        away[order[-1]] = -1.0
        order.append(int(np.argmax(away + tie)))
    return np.asarray(order)


def nearest(points: Floats, measured: Floats, k: int) -> Places:
    """Return for each point (m, c) the numbers (m, k) of the nearest measured points (n, c)."""
    from scipy.spatial import cKDTree

    numbers = cKDTree(measured).query(points, k=min(k, len(measured)))[1]
    return np.asarray(numbers, dtype=np.int64).reshape(len(points), -1)
