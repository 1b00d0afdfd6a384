"""The frontiers of a phase diagram, as contours: where a quantity is equal to a number or to another quantity."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from contourpy import LineType, contour_generator
from numpy.typing import NDArray

from phasemap.diagram.coordinates import Coordinates
from phasemap.phases.built_in import N_CLASSES, N_CORRUPTED, TESTED, WINS_COLUMN
from phasemap.study.conditions import Kind, constant
from phasemap.study.rule import Frontier, Rule
from phasemap.study.rule_file import rule_of
from phasemap.study.settings import Recorded
from phasemap.study.spec import Study

SIGNIFICANCE = 0.05
AT_CHANCE = 0.1  # of the way from chance to 1: collapsed networks answer constants, which favours some labels a little

WINS, LOSES, UNDETERMINED = "wins", "loses", "undetermined"


def generalization_wins(
    recovered: NDArray[np.int64],
    memorized: NDArray[np.int64],
    corrupted: NDArray[np.int64],
    chance: NDArray[np.float64],
) -> NDArray[np.str_]:
    """Compare how many corrupted examples (n,) get their true label with how many get the given, wrong one.

    ``undetermined`` without corrupted examples, where both counts are at chance, or where an exact McNemar test (the
    two counts are its discordant pairs) can't tell them apart at the 5 % level.
    """
    share = np.maximum(recovered, memorized) / np.maximum(corrupted, 1)
    above_chance = (share - chance) / np.maximum(1 - chance, 1e-12) > AT_CHANCE
    fewer = np.minimum(recovered, memorized)
    told = (corrupted > 0) & above_chance & (fewer <= _critical_counts(recovered + memorized))
    return np.where(told, np.where(recovered > memorized, WINS, LOSES), UNDETERMINED)


def _critical_counts(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many of discordant pairs (n,) the rarer answer has at most where McNemar's exact test tells; or -1.

    The largest k with 2 P(X <= k) < SIGNIFICANCE, where X is binomial with probability 1/2. SciPy has this sum, but
    importing it takes as long as to draw a map.
    """
    sizes, place = np.unique(pairs, return_inverse=True)
    logs = np.concatenate([[0.0], np.log(np.arange(1, sizes.max(initial=0) + 1)).cumsum()])  # of factorials

    def critical(n: int) -> int:
        k = np.arange(n // 2 + 1)
        tail = np.exp(logs[n] - logs[k] - logs[n - k] - n * math.log(2)).cumsum()
        return int(np.searchsorted(tail, SIGNIFICANCE / 2)) - 1

    return np.array([critical(n) for n in sizes.tolist()], dtype=np.int64)[place]


Floats = NDArray[np.float64]

HALF_MARK = 0.4  # of a cell: how far a crossing at one value of a categorical axis is drawn to either side
SATURATION = 0.005  # accuracies are taken between this and 1 minus this before their logit
NEVER_CROSSED = 4e-6  # an accuracy at 0 or 1 is taken so far from it
SMALLEST = 1e-300  # what losses are raised to before their logarithm
ABOVE, BELOW = "above", "below"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapFrontier:
    """A frontier as maps draw it: the line on which a quantity is at a level, or as high as another quantity."""

    name: str
    quantity: str
    against: str | None  # the other quantity
    level: float  # 0 where there is one
    kind: Kind  # of the scale on which both sides are compared
    tested: bool = False  # whether WINS_COLUMN tells the sides
    bound: MapFrontier | None = None  # the line on one side of which this one is drawn
    above: bool = True  # which side of it that is

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of points that decide on which side these are."""
        pair = (self.quantity,) if self.against is None else (self.quantity, self.against)
        return (*pair, WINS_COLUMN) if self.tested else pair

    @property
    def drawn_columns(self) -> tuple[str, ...]:
        """The columns of points that decide where it is drawn."""
        return self.columns if self.bound is None else (*self.columns, *self.bound.columns)

    @property
    def quantities(self) -> tuple[str, ...]:
        """The quantities on both sides."""
        return self.columns[:-1] if self.tested else self.columns

    @property
    def facts(self) -> tuple[str, ...]:
        """The facts of a trial that its test counts by."""
        return (N_CORRUPTED, N_CLASSES) if self.tested else ()


def map_frontiers(study: Study) -> tuple[MapFrontier, ...]:
    """Return the frontiers of a study's rule, in its order; one whose level has no value is none."""
    return frontiers_of(rule_of(study.phases), study.recorded)


def frontiers_of(rule: Rule, recorded: Recorded) -> tuple[MapFrontier, ...]:
    """Return the frontiers of a rule over what is recorded."""
    frontiers = []
    for declared in rule.frontiers:
        line = _line(declared, rule, recorded)
        if line is not None:
            counted = {N_CORRUPTED, N_CLASSES} <= set(recorded.facts)
            tested = line.name == TESTED and line.against is not None and line.kind == "accuracy" and counted
            frontiers.append(replace(line, tested=tested, **_side(declared, rule, recorded)))
    return tuple(frontiers)


def _line(declared: Frontier, rule: Rule, recorded: Recorded) -> MapFrontier | None:
    """Return a line as maps draw it; None where its level has no value."""
    kinds: Mapping[str, Kind] = {**dict(rule.quantities), **recorded.quantities}
    against = declared.against
    level = 0.0 if against else constant(declared.level, dict(rule.parameters))
    if level is None:
        return None
    kind = kinds[declared.quantity] if against is None or kinds[against] == kinds[declared.quantity] else "number"
    return MapFrontier(name=declared.name, quantity=declared.quantity, against=against, level=level, kind=kind)


def _side(declared: Frontier, rule: Rule, recorded: Recorded) -> dict[str, Any]:
    """Return the line that bounds another, and the side of it on which that is drawn."""
    if declared.bound is None or declared.where is None:
        return {}
    return {"bound": _line(declared.bound, rule, recorded), "above": declared.where.comparison in (">", ">=")}


def saturation(level: float) -> float:
    """Return how far accuracies are kept off 0 and 1, so that a level near one of them still lies between them."""
    return min(SATURATION, max(min(level, 1 - level) / 2, 1e-6))


def logit(accuracy: NDArray[np.float64] | float, off: float = SATURATION) -> Floats:
    """Return log(a / (1 - a)) with accuracies kept off 0 and 1.

    Accuracies saturate: between 1.0 and chance, linear interpolation would put 0.9 next to the saturated point, as if
    that were known; on the logit scale the line lies about midway.
    """
    inside = np.clip(np.asarray(accuracy, dtype=float), off, 1 - off)
    return np.asarray(np.log(inside / (1 - inside)))


def height(frontier: MapFrontier, columns: Mapping[str, NDArray[Any]]) -> tuple[Floats, float]:
    """Return the surface (of the columns' shape) whose contour at the returned level is a frontier.

    Accuracies stand on the logit scale, losses on the logarithmic one, and numbers as they are. A tested frontier is
    NaN where neither side wins (``surface`` fills some of these in).
    """
    if frontier.tested:
        told = np.isin(columns[WINS_COLUMN].astype(object), [WINS, LOSES])
        return np.where(told, _gap(frontier, columns), np.nan).astype(float), 0.0
    level, off = frontier.level, SATURATION
    if frontier.kind == "accuracy" and frontier.against is None:
        level = min(max(level, NEVER_CROSSED), 1 - NEVER_CROSSED)
        off = saturation(level)
    z = _scaled(frontier.kind, columns[frontier.quantity].astype(float), off)
    if frontier.against is not None:
        return z - _scaled(frontier.kind, columns[frontier.against].astype(float), off), 0.0
    return z, float(_scaled(frontier.kind, np.asarray(level), off))


def _scaled(kind: Kind, values: Floats, off: float) -> Floats:
    """Put values of a kind on its scale."""
    if kind == "accuracy":
        return logit(values, off)
    return np.log(np.maximum(values, SMALLEST)) if kind == "loss" else values


def _gap(frontier: MapFrontier, columns: Mapping[str, NDArray[Any]]) -> Any:
    assert frontier.against is not None
    return columns[frontier.quantity] - columns[frontier.against]


def frontier_sides(frontier: MapFrontier, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.object_]:
    """Tell on which side of a frontier points are: above (at a level too), below, undetermined where both sides are the
    same, None where a quantity is undefined.
    """
    z, level = height(frontier, {name: np.asarray(columns[name]) for name in frontier.columns})
    above = z > level if frontier.against else z >= level
    sides = np.where(above, ABOVE, np.where(z < level, BELOW, UNDETERMINED)).astype(object)
    sides[np.isnan(z)] = None
    if frontier.tested:
        sides[_told(frontier, columns) == 0] = UNDETERMINED
    return np.asarray(sides)


def surface(
    frontier: MapFrontier, columns: Mapping[str, NDArray[Any]], x: Coordinates, y: Coordinates
) -> tuple[Floats, float]:
    """Return the height (..., ny, nx) of a map, and its level, with what lies between wins and loses filled in.

    An undetermined point of a tested frontier between one that wins and one that loses, along an axis with an order and
    with nothing but undetermined points between, gets the straight line between these two: the frontier is drawn
    between wins and loses, however wide the undetermined stretch is. Points without results are never filled in.
    """
    z, level = height(frontier, columns)
    if not frontier.tested:
        return z, level
    told = np.broadcast_to(_told(frontier, columns), z.shape)
    along_x, along_y = np.full_like(z, np.nan), np.full_like(z, np.nan)
    if not x.axis.categorical:
        along_x = _between(z, told, x.positions)
    if not y.axis.categorical:
        along_y = _between(z.swapaxes(-1, -2), told.swapaxes(-1, -2), y.positions).swapaxes(-1, -2)
    one = np.where(np.isnan(along_x), along_y, along_x)
    both = np.where(np.isnan(along_y), one, (one + along_y) / 2)
    return np.where(np.isnan(z), both, z), level


def _told(frontier: MapFrontier, columns: Mapping[str, NDArray[Any]]) -> Floats:
    """Return 1 where the first side wins, -1 where it loses, 0 where that is undetermined, NaN without results."""
    verdict = columns[WINS_COLUMN].astype(object)
    measured = np.isfinite(_gap(frontier, columns).astype(float))
    undetermined = np.where(measured & (verdict == UNDETERMINED), 0.0, np.nan)
    return np.where(verdict == WINS, 1.0, np.where(verdict == LOSES, -1.0, undetermined))


def _between(z: Floats, told: Floats, positions: Floats) -> Floats:
    """Return z (..., n) on the line between the nearest told neighbours, where one wins and the other loses, else NaN.

    ``told`` (..., n) is 0 where nothing can be told.
    """
    place, last = np.arange(len(positions)), len(positions) - 1
    before = np.maximum.accumulate(np.where(told != 0, place, 0), axis=-1)
    after = np.minimum.accumulate(np.where(told != 0, place, last)[..., ::-1], axis=-1)[..., ::-1]
    sides = [np.take_along_axis(told, ends, axis=-1) for ends in (before, after)]
    low, high = (np.take_along_axis(z, ends, axis=-1) for ends in (before, after))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (positions - positions[before]) / (positions[after] - positions[before])
        return np.where((told == 0) & (sides[0] * sides[1] == -1), low + share * (high - low), np.nan)


def frontier_lines(x: Coordinates, y: Coordinates, z: Floats, level: float, *, to_frame: bool = False) -> list[Floats]:
    """Return the lines, each (n, 2) in positions, on which a map z (ny, nx) crosses a level.

    Values of a categorical axis have no order: nothing is joined across them. A crossing at one of them is marked
    within its cells, and there is none where both axes are categorical. ``to_frame`` extends lines to the frame.
    """
    if x.axis.categorical and y.axis.categorical:
        return []
    if y.axis.categorical:
        return [np.asarray([[c, at - HALF_MARK], [c, at + HALF_MARK]]) for c, at in _marks(x, y, z, level)]
    if x.axis.categorical:
        return [np.asarray([[at - HALF_MARK, c], [at + HALF_MARK, c]]) for c, at in _marks(y, x, z.T, level)]
    across, up = x.positions, y.positions
    if to_frame and len(across) > 1 and len(up) > 1:
        across, z = extended(across, x.edges, z, axis=1)
        up, z = extended(up, y.edges, z, axis=0)
    return contour(across, up, z, level)


def inside_bound(
    line: Floats, frontier: MapFrontier, columns: Mapping[str, NDArray[Any]], x: Coordinates, y: Coordinates
) -> list[Floats]:
    """Return the pieces (n, 2), in positions, of a line that lie where its frontier is drawn."""
    return [line] if frontier.bound is None else _pieces(line, _side_at(frontier, columns, x, y, line))


def drawn_at(
    frontier: MapFrontier, columns: Mapping[str, NDArray[Any]], x: Coordinates, y: Coordinates, places: Floats
) -> NDArray[np.bool_]:
    """Tell at which places (n, 2), in positions, a frontier is drawn."""
    if frontier.bound is None:
        return np.ones(len(places), dtype=bool)
    return np.asarray(_side_at(frontier, columns, x, y, places) >= 0)


def _side_at(
    frontier: MapFrontier, columns: Mapping[str, NDArray[Any]], x: Coordinates, y: Coordinates, places: Floats
) -> Floats:
    """Return how far places (n, 2) lie beyond the line that bounds a frontier, on its scale; negative: not drawn."""
    assert frontier.bound is not None
    z, level = height(frontier.bound, {name: np.asarray(columns[name]) for name in frontier.bound.columns})
    return interpolated((z - level) * (1 if frontier.above else -1), x.positions, y.positions, places)


def _pieces(line: Floats, side: Floats) -> list[Floats]:
    """Return the pieces of a line (n, 2) along which ``side`` (n,), taken as straight between its places, is >= 0."""
    pieces: list[list[Floats]] = [[]]
    for number, (place, value) in enumerate(zip(line, side, strict=True)):
        if number and np.isfinite(value - side[number - 1]) and (value < 0) != (side[number - 1] < 0):
            share = side[number - 1] / (side[number - 1] - value)
            pieces[-1].append(line[number - 1] + share * (place - line[number - 1]))
        if value >= 0:
            pieces[-1].append(place)
        elif pieces[-1]:
            pieces.append([])
    return [np.asarray(piece) for piece in pieces if len(piece) > 1]


def interpolated(z: Floats, across: Floats, up: Floats, places: Floats) -> Floats:
    """Return a map z (ny, nx) at places (n, 2): bilinear, and outside of the outer positions as it is there."""
    columns, right = _between_two(across, places[:, 0])
    rows, above = _between_two(up, places[:, 1])
    next_column, next_row = np.minimum(columns + 1, len(across) - 1), np.minimum(rows + 1, len(up) - 1)
    low, high = (_mixed(z[row, columns], z[row, next_column], right) for row in (rows, next_row))
    return _mixed(low, high, above)


def _between_two(positions: Floats, places: Floats) -> tuple[NDArray[np.intp], Floats]:
    """Return the last position (n,) up to each place, and which share of the way to the next the place lies."""
    low = np.clip(np.searchsorted(positions, places, side="right") - 1, 0, max(len(positions) - 2, 0))
    gap = positions[np.minimum(low + 1, len(positions) - 1)] - positions[low]
    return low, np.clip(np.divide(places - positions[low], gap, out=np.zeros_like(places), where=gap > 0), 0, 1)


def _mixed(low: Floats, high: Floats, share: Floats) -> Floats:
    """Return what lies a share of the way between two numbers, also where the one that does not count is NaN."""
    return np.where(share <= 0, low, np.where(share >= 1, high, low + share * (high - low)))


def _marks(along: Coordinates, rows: Coordinates, z: Floats, level: float) -> list[tuple[float, float]]:
    """Return each crossing of z (rows, n) along an axis, with the position of its row."""
    pairs = zip(rows.positions, z, strict=True)
    return [(place, float(at)) for at, row in pairs for place in _crossings(along.positions, row, level)]


def extended(positions: Floats, edges: Floats, z: Floats, axis: int) -> tuple[Floats, Floats]:
    """Repeat the outer rows or columns of z at the outer borders of their cells, so that lines reach the frame."""
    widths = [(1, 1) if number == axis else (0, 0) for number in range(z.ndim)]
    return np.concatenate([edges[:1], positions, edges[-1:]]), np.pad(z, widths, mode="edge")


def contour(x: Floats, y: Floats, z: Floats, level: float) -> list[Floats]:
    """Return the lines, each (n, 2), on which z (ny, nx) crosses a level; cells with NaN at a corner have none.

    On a strip (one row or column) the crossings are drawn across it: lines from -0.5 to 0.5 around its position.
    """
    if len(y) == 1:
        crossings = _crossings(x, z[0], level)
        return [np.asarray([[c, y[0] - 0.5], [c, y[0] + 0.5]]) for c in crossings]
    if len(x) == 1:
        crossings = _crossings(y, z[:, 0], level)
        return [np.asarray([[x[0] - 0.5, c], [x[0] + 0.5, c]]) for c in crossings]
    masked = np.ma.masked_invalid(z)
    generator = contour_generator(x, y, masked, name="serial", line_type=LineType.Separate, corner_mask=True)
    return [np.asarray(line) for line in generator.lines(level)]


def crossings_along(axis: Coordinates, z: Floats, level: float) -> Floats:
    """Return the ``crossings`` along an axis (..., n - 1): none along a categorical one."""
    positions = crossings(axis.positions, z, level)
    return np.full_like(positions, np.nan) if axis.axis.categorical else positions


def crossings(x: Floats, z: Floats, level: float) -> Floats:
    """Return where z (..., n) crosses a level between neighbours on x (n,): (..., n - 1), NaN where it does not."""
    left, right = z[..., :-1] - level, z[..., 1:] - level
    with np.errstate(invalid="ignore", divide="ignore"):
        positions = x[:-1] + np.diff(x) * left / (left - right)
        crossed = np.isfinite(left) & np.isfinite(right) & ((left < 0) != (right < 0))
    return np.where(crossed, positions, np.nan)


def _crossings(x: Floats, z: Floats, level: float) -> list[float]:
    positions = crossings(x, z, level)
    return [float(position) for position in positions[np.isfinite(positions)]]
