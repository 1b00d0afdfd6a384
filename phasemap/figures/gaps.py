"""Break a frontier where a cell's letter stands in its way."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from phasemap.diagram.frontier import Floats

SAMPLES = 32  # of a line within a cell's width


def with_gaps(
    points: Floats,
    scales: tuple[str, str],
    edges: tuple[Floats, Floats],
    lettered: NDArray[np.bool_],
    cell: tuple[float, float],
    radius: float,
) -> Floats:
    """Return a line (n, 2) that is broken, by NaN, where it would come nearer than ``radius`` points to a letter.

    ``lettered`` (ny, nx) are the cells with a letter in their middle, ``cell`` their size in points, ``scales`` and
    ``edges`` those of x and y. What is drawn stays on the line: straight on each axis's own scale.
    """
    placed = np.column_stack([_on(scale, values) for scale, values in zip(scales, points.T, strict=True)])
    x_edges, y_edges = (_on(scale, values) for scale, values in zip(scales, edges, strict=True))
    widths = np.array([np.diff(x_edges).min(), np.diff(y_edges).min()])
    pieces = []
    for start, end in pairwise(placed):
        cells = np.nan_to_num(np.abs((end - start) / widths)).max()
        dense = start + np.linspace(0, 1, 2 + int(SAMPLES * cells))[:, None] * (end - start)
        (columns, across), (rows, up) = _in_cells(x_edges, dense[:, 0]), _in_cells(y_edges, dense[:, 1])
        near = lettered[rows, columns] & (np.hypot(across * cell[0], up * cell[1]) < radius)
        ends = np.flatnonzero(near[1:] != near[:-1])
        dense[near] = np.nan
        pieces.append(dense[np.unique([0, *ends, *(ends + 1), len(dense) - 1])])
    broken = np.concatenate(pieces or [placed])
    return np.column_stack([_off(scale, values) for scale, values in zip(scales, broken.T, strict=True)])


def _on(scale: str, values: Floats) -> Floats:
    return np.log(values) if scale == "log" else np.asarray(values, dtype=float)


def _off(scale: str, values: Floats) -> Floats:
    return np.exp(values) if scale == "log" else values


def _in_cells(edges: Floats, values: Floats) -> tuple[NDArray[np.intp], Floats]:
    """Return the nearest cell of each value (n,), and how far from its middle it lies, in widths of the cell."""
    cells = np.clip(np.searchsorted(edges, values) - 1, 0, len(edges) - 2)
    return cells, (values - edges[cells]) / np.diff(edges)[cells] - 0.5
