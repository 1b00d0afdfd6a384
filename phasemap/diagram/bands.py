"""How far a frontier would move with other seeds: bands along its rows, by resampling whole maps by seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phasemap.diagram.coordinates import Coordinates
from phasemap.diagram.diagram import Diagram, panel_rows
from phasemap.diagram.frontier import Floats, MapFrontier, crossings_along, drawn_at, surface
from phasemap.diagram.seeds import SeedMaps, resamples
from phasemap.phases.built_in import WINS_COLUMN

FEWEST_SEEDS = 3
CONFIDENCE = 0.9

BandOf = Callable[[int, MapFrontier, Literal["x", "y"]], "Band"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCrossings:
    """The crossings of a frontier along the rows of one panel, in positions: c of them."""

    row: NDArray[np.int64]  # (c,)
    crossing: Floats  # (c,) in the map of all seeds
    resampled: Floats  # (R, c) the nearest crossing in each map of resampled seeds; an edge where it left the map
    probability: Floats  # (R,)
    n_seeds: int

    @property
    def standard_error(self) -> Floats:
        """The standard error (c,) of each crossing over the seeds."""
        return bootstrap_error(self.resampled, self.probability, self.n_seeds)


def bootstrap_error(resampled: Floats, probability: Floats, n_seeds: int) -> Floats:
    """Return the standard error (c,) of what resampled seeds gave (R, c), without the bootstrap's bias to small values.

    NaN with one seed.
    """
    if n_seeds < 2:
        return np.full(resampled.shape[1], np.nan)
    weight = np.where(np.isfinite(resampled), probability[:, None], 0.0)
    weight /= np.maximum(weight.sum(axis=0), 1e-12)
    values = np.nan_to_num(resampled)
    mean = (weight * values).sum(axis=0)
    variance = (weight * (values - mean) ** 2).sum(axis=0)
    return np.asarray(np.sqrt(variance * n_seeds / (n_seeds - 1)))


def row_crossings(
    maps: SeedMaps, rows: NDArray[np.int64], x: Coordinates, y: Coordinates, frontier: MapFrontier
) -> RowCrossings:
    """Find where a frontier crosses each row of a panel, whose points (ny, nx) are ``rows``, and where it does in maps
    of resampled seeds. Where neither side of a test wins is told by all seeds together; nothing is crossed along a
    categorical axis.
    """
    n = len(maps.ended)
    weights, probability = resamples(n)
    merged = maps.means(frontier, np.concatenate([np.ones((1, n)), weights]))
    if frontier.tested:
        merged[WINS_COLUMN] = maps.wins(frontier)[None]
    z, level = surface(frontier, {name: values[:, rows] for name, values in merged.items()}, x, y)
    row, crossing, resampled = _followed(x, z, level)
    return RowCrossings(row=row, crossing=crossing, resampled=resampled, probability=probability, n_seeds=maps.n_seeds)


def _followed(axis: Coordinates, z: Floats, level: float) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Return where the first of maps z (1 + R, rows, n) crosses a level along an axis, and the others next to there.

    These are the rows (c,), the crossings (c,), and for each the nearest one in every other map (R, c), or the edge
    over which it left that map.
    """
    crossings = crossings_along(axis, z, level)  # (1 + R, rows, n - 1)
    row, gap = np.nonzero(np.isfinite(crossings[0]))
    crossing, others = crossings[0, row, gap], np.empty((len(z) - 1, len(row)))
    for number, (r, g) in enumerate(zip(row, gap, strict=True)):
        edge = _edge(z[1:, r], level, z[0, r, g] > level, axis.edges)
        others[:, number] = _nearest(crossings[1:, r], crossing[number], edge)
    return row, crossing, others


def _nearest(crossings: Floats, crossing: float, otherwise: Floats) -> Floats:
    """Return the crossing (R,) among crossings (R, nx - 1) that is nearest to another one."""
    distance = np.where(np.isfinite(crossings), np.abs(crossings - crossing), np.inf)
    best = distance.argmin(axis=1)
    rows = np.arange(len(crossings))
    return np.where(np.isfinite(distance[rows, best]), crossings[rows, best], otherwise)


def _edge(z: Floats, level: float, falling: bool, edges: Floats) -> Floats:
    """Return the border (R,) of the known cells over which a crossing left rows z (R, nx) on one side of the level."""
    known = np.isfinite(z)
    first, last = known.argmax(axis=1), z.shape[1] - known[:, ::-1].argmax(axis=1)
    above = np.where(known, z, np.inf).min(axis=1) >= level
    return np.where(known.any(axis=1), np.where(above == falling, edges[last], edges[first]), np.nan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Where a frontier may lie in each row of a panel that it crosses, in positions: arrays (c,)."""

    kind: str  # the frontier's name
    along: Literal["x", "y"]  # the axis on which the crossings lie; rows stand on the other
    row: NDArray[np.int64]
    crossing: Floats
    low: Floats
    high: Floats


def row_band(
    maps: SeedMaps, diagram: Diagram, panel: int, frontier: MapFrontier, along: Literal["x", "y"], level: float
) -> Band:
    """Return a band that holds the frontier of very many seeds in a share ``level`` of the rows.

    Student's t times the standard error by whole-map bootstrap; cut off at the map's borders. The plain percentiles of
    the bootstrap hold it far too seldom with few seeds, see docs/decisions/0008. NaN with one seed.
    """
    rows = panel_rows(diagram.study, diagram.x, diagram.y, {**diagram.fixed, **diagram.panels[panel].facet})
    axis, other, rows = (diagram.x, diagram.y, rows) if along == "x" else (diagram.y, diagram.x, rows.T)
    crossings = row_crossings(maps, rows, axis, other, frontier)
    from scipy.special import stdtrit  # here: loading it takes longer than drawing most maps

    half = stdtrit(max(crossings.n_seeds - 1, 1), (1 + level) / 2) * crossings.standard_error
    first, last = axis.edges[[0, -1]]
    low, high = np.maximum(crossings.crossing - half, first), np.minimum(crossings.crossing + half, last)
    return Band(kind=frontier.name, along=along, row=crossings.row, crossing=crossings.crossing, low=low, high=high)


def band_table(diagram: Diagram, band: Band) -> pd.DataFrame:
    """Return a band in values of the axes: the row's value, the crossing, low and high; one row a crossing."""
    axis, other = (diagram.x, diagram.y) if band.along == "x" else (diagram.y, diagram.x)
    columns = {} if diagram.strip else {other.axis.name: [other.values[row] for row in band.row]}
    ends = {"crossing": band.crossing, "low": band.low, "high": band.high}
    return pd.DataFrame({**columns, **{name: axis.to_values(place) for name, place in ends.items()}})


def inferred_band(diagram: Diagram, panel: int, frontier: MapFrontier, along: Literal["x", "y"], level: float) -> Band:
    """Return a band in which a frontier lies with a probability ``level`` where points of a search are inferred.

    The quantities of inferred points may be off by their deviations, those of measured ones not at all.
    """
    grid = diagram.panels[panel].grid
    axis = diagram.x if along == "x" else diagram.y
    off = NormalDist().inv_cdf((1 + level) / 2) * np.where(grid["inferred"].astype(bool), 1.0, 0.0)
    surfaces = []
    for sign in (0.0, -1.0, 1.0):
        columns = dict(grid)
        for name, side in zip(frontier.quantities, (1, -1), strict=False):
            columns[name] = grid[name] + side * sign * off * np.nan_to_num(grid[f"{name}_std"].astype(float))
        z, threshold = surface(frontier, columns, diagram.x, diagram.y)
        surfaces.append(z if along == "x" else z.T)
    z = np.stack(surfaces)  # (3, rows, n): as expected, low, high
    row, crossing, ends = _followed(axis, z, threshold)
    low, high = np.minimum(ends.min(axis=0), crossing), np.maximum(ends.max(axis=0), crossing)
    return Band(kind=frontier.name, along=along, row=row, crossing=crossing, low=low, high=high)


ROWS_BETWEEN = 6  # places between two rows at which a ribbon's smooth sides are drawn


def ribbons(diagram: Diagram, panel: int, band: Band) -> list[Floats]:
    """Return a band as outlines (n, 2) in positions: one smooth ribbon along the frontier wherever rows follow another.

    Rows at which the frontier is not drawn are left out. Values of a categorical axis have a box each.
    """
    other = diagram.y if band.along == "x" else diagram.x
    places = np.stack([band.crossing, other.positions[band.row]], axis=1)
    places = places if band.along == "x" else places[:, ::-1]
    kept = drawn_at(diagram.named(band.kind), diagram.panels[panel].grid, diagram.x, diagram.y, places)
    outlines = []
    for chain in _chains(band, kept, joined=not other.axis.categorical):
        rows, last = band.row[chain], len(other.positions) - 1
        # inside the map a ribbon ends at its last row; one that is cut by the grid's edge goes on to it
        ends = (rows[0] == 0 or len(rows) == 1, rows[-1] == last or len(rows) == 1)
        at = np.concatenate([other.edges[rows[:1]], other.positions[rows], other.edges[rows[-1:] + 1]])
        sides = [np.pad(side[chain], 1, mode="edge") for side in (band.low, band.high)]
        cut = slice(0 if ends[0] else 1, None if ends[1] else -1)
        at, sides = at[cut], [side[cut] for side in sides]
        if len(chain) > 1:
            smooth = np.linspace(0, len(at) - 1, (len(at) - 1) * ROWS_BETWEEN + 1)
            sides = [_smooth(at, side, smooth) for side in sides]
            at = np.interp(smooth, np.arange(len(at)), at)
        low, high = (np.stack([side, at], axis=1) for side in sides)
        outline = np.concatenate([low, high[::-1]])
        outlines.append(outline if band.along == "x" else outline[:, ::-1])
    return outlines


def _chains(band: Band, kept: NDArray[np.bool_], *, joined: bool) -> list[list[int]]:
    """Return which of a band's crossings follow one another from row to row: those that are nearest to each other."""
    chains: list[list[int]] = []
    for row in dict.fromkeys(band.row.tolist()):
        here = np.flatnonzero((band.row == row) & kept)
        ends = [chain for chain in chains if joined and band.row[chain[-1]] == row - 1]
        apart = np.abs(band.crossing[here][:, None] - band.crossing[[chain[-1] for chain in ends]][None])
        for number, crossing in enumerate(here.tolist()):
            nearest = int(apart[number].argmin()) if ends else 0
            if ends and apart[:, nearest].argmin() == number:
                ends[nearest].append(crossing)
            else:
                chains.append([crossing])
    return chains


def _smooth(at: Floats, side: Floats, places: Floats) -> Floats:
    """Return a side of a ribbon at places between its rows, by cubic pieces that go beyond no row's value."""
    from scipy.interpolate import PchipInterpolator  # takes half a second, and few pictures have a ribbon

    return np.asarray(PchipInterpolator(at, side)(np.interp(places, np.arange(len(at)), at)))


def drawn_bands(diagram: Diagram, trials: pd.DataFrame) -> tuple[tuple[Band, ...], ...]:
    """Return the bands to draw in each panel: over seeds, from FEWEST_SEEDS on; of a search, over what it inferred."""
    if diagram.study.search.kind != "grid":
        band_of: BandOf = partial(inferred_band, diagram, level=CONFIDENCE)
    else:
        maps = SeedMaps.of(diagram.study, trials)
        if maps.n_seeds < FEWEST_SEEDS:
            return ((),) * len(diagram.panels)
        band_of = partial(row_band, maps, diagram, level=CONFIDENCE)
    numbers = range(len(diagram.panels))
    found = [[_wider(diagram, partial(band_of, panel, one)) for one in diagram.frontiers] for panel in numbers]
    return tuple(tuple(band for band in bands if len(band.row)) for bands in found)


def _wider(diagram: Diagram, band_of: Callable[[Literal["x", "y"]], Band]) -> Band:
    """Return a frontier's band along the axis on which it crosses the larger share of rows."""
    if diagram.strip:
        return band_of("x")
    sizes = {"x": len(diagram.y.values), "y": len(diagram.x.values)}
    return max(band_of("x"), band_of("y"), key=lambda band: len(set(band.row.tolist())) / sizes[band.along])
