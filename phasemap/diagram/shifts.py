"""How far the frontiers moved between two runs: seed by seed where the runs share seeds, else as independent runs.

Within a seed everything that can be shared is shared (split, wrong labels, initial weights), so that what both runs owe
to their seeds cancels in the difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from phasemap.diagram.alignment import Alignment, Side
from phasemap.diagram.bands import RowCrossings, bootstrap_error, row_crossings
from phasemap.diagram.coordinates import Coordinates
from phasemap.diagram.diagram import Diagram, panel_rows
from phasemap.diagram.frontier import MapFrontier, map_frontiers
from phasemap.diagram.seeds import SeedMaps

INTERVAL = 0.95
FEWEST_PAIRS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Shifts:
    """The rows of the map that both frontiers cross, and which seeds were paired."""

    table: pd.DataFrame
    paired_seeds: tuple[int, ...]  # empty where the runs were compared as independent ones
    words: str


def frontier_shifts(aligned: Alignment, diagram: Diagram) -> Shifts:
    """Return how far each frontier moved along each row: crossings of A with the nearest of B, in axis values.

    ``diagram`` lays the aligned points out. Where both runs have results of two seeds or more in common, only these are
    compared: both maps are resampled by the same draws of seeds, and the interval of B - A is Student's over the pairs.
    Else it is Welch's over the seeds of each; null with one seed on either side.
    """
    sides = (aligned.a, aligned.b)
    pairs = _pairs(*sides)
    maps = [SeedMaps.of(side.study, side.trials, [pair[i] for pair in pairs]) for i, side in enumerate(sides)]
    with_results = [_with_results(*both) for both in zip(sides, maps, strict=True)]
    paired = tuple(seed for seed in with_results[0] if seed in with_results[1])
    words = _words(paired, *with_results)
    if len(paired) < FEWEST_PAIRS:
        paired = ()
    else:
        places = [[side.study.seeds.index(seed) for seed in paired] for side in sides]
        maps = [one.chosen(place) for one, place in zip(maps, places, strict=True)]
    along = _crossed_axis(diagram)
    frames = [pd.DataFrame()]
    for panel in diagram.panels if along else ():
        rows = panel_rows(aligned.a.study, diagram.x, diagram.y, {**diagram.fixed, **panel.facet})
        axis, other, rows = (diagram.x, diagram.y, rows) if along == "x" else (diagram.y, diagram.x, rows.T)
        for pair in pairs:
            a, b = (row_crossings(one, rows, axis, other, of) for one, of in zip(maps, pair, strict=True))
            held = None if diagram.strip else other
            frames.append(_shift_rows(axis, held, pair[0].name, a, b, paired=bool(paired)).assign(**panel.facet))
    return Shifts(table=pd.concat(frames, ignore_index=True), paired_seeds=paired, words=words)


def _pairs(a: Side, b: Side) -> list[tuple[MapFrontier, MapFrontier]]:
    """Return A's frontiers, each with B's of that name, or with itself where B's rule has none but its trials do."""
    of_b = {frontier.name: frontier for frontier in map_frontiers(b.study)}
    pairs = [(frontier, of_b.get(frontier.name, frontier)) for frontier in map_frontiers(a.study)]
    return [(one, other) for one, other in pairs if {*other.quantities, *other.facts} <= set(b.trials)]


def _with_results(side: Side, maps: SeedMaps) -> list[int]:
    return [seed for seed, row in zip(side.study.seeds, maps.ended, strict=True) if row.any()]


def _crossed_axis(diagram: Diagram) -> Literal["x", "y"] | None:
    """Return the axis along which the frontiers are crossed: x, else y where x has no order; None where neither has."""
    if not diagram.x.axis.categorical:
        return "x"
    return None if diagram.strip or diagram.y.axis.categorical else "y"


def _words(paired: tuple[int, ...], a: list[int], b: list[int]) -> str:
    """Say how the seeds of both runs were compared."""
    n = len(paired)
    if not n:
        return "not paired: the runs have no seed in common"
    if n < FEWEST_PAIRS:
        return f"not paired: the runs have one seed in common, {paired[0]}"
    if n == len(a) == len(b):
        return f"paired over the {n} seeds of both runs"
    left_out = [f"{len(one) - n} of {name}" for name, one in (("A", a), ("B", b)) if len(one) > n]
    return f"paired over the {n} seeds that both runs have; other seeds are left out ({', '.join(left_out)})"


def _shift_rows(
    axis: Coordinates, other: Coordinates | None, kind: str, a: RowCrossings, b: RowCrossings, *, paired: bool
) -> pd.DataFrame:
    rows = []
    error_a, error_b = a.standard_error, b.standard_error
    for i in range(len(a.row)):
        there = np.flatnonzero(b.row == a.row[i])
        if not len(there):
            continue
        j = there[np.abs(b.crossing[there] - a.crossing[i]).argmin()]
        half = _student(a, i, b, j) if paired else _welch(error_a[i], a.n_seeds, error_b[j], b.n_seeds)
        shift = b.crossing[j] - a.crossing[i]
        ends = axis.to_values(np.asarray([a.crossing[i], b.crossing[j]]))
        row: dict[str, Any] = {other.axis.name: other.values[a.row[i]]} if other else {}
        rows.append({"kind": kind, **row, "a": ends[0], "b": ends[1], **_in_values(axis.axis.scale, shift, half)})
    return pd.DataFrame(rows)


def _in_values(scale: str, shift: float, half: float) -> dict[str, float | str]:
    """Write a shift in the axis's own terms: a difference, a factor on a log axis, cells on an ordinal one."""
    three = np.asarray([shift, shift - half, shift + half])
    unit = {"linear": "difference", "log": "factor", "ordinal": "cells"}[scale]
    three = 10**three if scale == "log" else three
    return {"shift": float(three[0]), "low": float(three[1]), "high": float(three[2]), "unit": unit}


def _student(a: RowCrossings, i: int, b: RowCrossings, j: int) -> float:
    """Return half the length of Student's interval of the difference of two crossings under the same draws of seeds."""
    difference = b.resampled[:, [j]] - a.resampled[:, [i]]
    error = bootstrap_error(difference, a.probability, a.n_seeds)
    return float(stdtrit(a.n_seeds - 1, (1 + INTERVAL) / 2) * error[0])


def _welch(error_a: float, n_a: int, error_b: float, n_b: int) -> float:
    """Return half the length of Welch's interval of a difference; NaN with one seed on either side."""
    if min(n_a, n_b) < 2:
        return float("nan")
    square_a, square_b = error_a**2, error_b**2
    if square_a + square_b == 0:
        return 0.0
    freedom = (square_a + square_b) ** 2 / (square_a**2 / (n_a - 1) + square_b**2 / (n_b - 1))
    return float(stdtrit(freedom, (1 + INTERVAL) / 2) * np.sqrt(square_a + square_b))
