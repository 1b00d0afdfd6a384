"""Connected regions of a map, and where in them a name stands: at the widest place that no line crosses."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phasemap.diagram.frontier import Floats

MOST_REGIONS = 60  # of a map: the largest are named
MOST_TRIED = 40  # rectangles of a region, the largest first
PAD = 2.0  # points around a text
APART = 2.0  # points between the places of a line that are looked at
PLACES = tuple(itertools.product((0.5, 0.3, 0.7, 0.12, 0.88, 0.0, 1.0), repeat=2))  # in what a rectangle leaves free


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Cells of one mark that hang together by their sides: ``cells`` (ny, nx) tells which."""

    mark: str
    cells: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A way to write a name, with its size in points; ``share`` is that of the usual font size."""

    text: str
    width: float
    height: float
    share: float = 1.0
    whole: bool = True  # the name, and not its letter


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A name and the middle of its text, in points from the panel's lower left corner."""

    mark: str
    form: Form
    x: float
    y: float


def regions_of(marks: NDArray[np.object_]) -> tuple[Region, ...]:
    """Return the connected regions of a map (ny, nx) of marks, the largest first."""
    seen, regions = np.zeros(marks.shape, dtype=bool), []
    for start in np.ndindex(marks.shape):
        if seen[start]:
            continue
        cells, mark = np.zeros(marks.shape, dtype=bool), str(marks[start])
        seen[start], reached = True, [start]
        while reached:
            row, column = reached.pop()
            cells[row, column] = True
            for cell in ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)):
                there = 0 <= cell[0] < marks.shape[0] and 0 <= cell[1] < marks.shape[1]
                if there and not seen[cell] and marks[cell] == mark:
                    seen[cell] = True
                    reached.append(cell)
        regions.append(Region(mark=mark, cells=cells))
    return tuple(sorted(regions, key=lambda region: -int(region.cells.sum())))


def rectangles(cells: NDArray[np.bool_]) -> Iterator[tuple[int, int, int, int]]:
    """Yield (bottom, top, left, right), as for slices, of blocks of cells that no further column fits to."""
    for bottom in np.flatnonzero(cells.any(axis=1)):
        whole = cells[bottom].copy()
        for top in range(bottom, len(cells)):
            whole &= cells[top]
            ends = np.flatnonzero(np.diff(whole, prepend=False, append=False))
            if not len(ends):
                break
            for left, right in ends.reshape(-1, 2):
                yield int(bottom), top + 1, int(left), int(right)


def place_names(
    regions: Sequence[Region], edges: tuple[Floats, Floats], forms: Callable[[str], Sequence[Form]], busy: Floats
) -> list[Placed]:
    """Place each region's name, in the first of its forms that fits beside what is ``busy`` (n, 2), else its letter.

    ``edges`` are the cells' borders across and up, in points, as ``busy`` is. A region that is too small has no name.
    """
    names = []
    for region in regions[:MOST_REGIONS]:
        placed = _placed(region, edges, forms(region.mark), busy)
        if placed is not None:
            names.append(placed)
            half = np.asarray([placed.form.width, placed.form.height]) / 2
            corners = np.asarray([(-1, -1), (-1, 1), (1, -1), (1, 1), (0, 0)])
            busy = np.concatenate([busy, [placed.x, placed.y] + corners * half])
    return names


def _placed(region: Region, edges: tuple[Floats, Floats], forms: Sequence[Form], busy: Floats) -> Placed | None:
    across, up = edges
    bottoms, tops, lefts, rights = np.asarray(list(rectangles(region.cells))).T
    blocks = np.stack([across[lefts], across[rights], up[bottoms], up[tops]], axis=1)
    wide, high = blocks[:, 1] - blocks[:, 0], blocks[:, 3] - blocks[:, 2]
    order = np.argsort(-wide * high, kind="stable")
    best: tuple[int, Placed] | None = None
    for form in forms:
        fits = order[(wide[order] >= form.width + 2 * PAD) & (high[order] >= form.height + 2 * PAD)]
        for number in fits[:MOST_TRIED]:
            left, right, bottom, top = blocks[number]
            free = np.asarray([right - left - form.width, top - bottom - form.height]) - 2 * PAD
            middles = np.asarray([left, bottom]) + PAD + np.asarray([form.width, form.height]) / 2
            places = middles + np.asarray(PLACES) * free
            hits = _hits(places, form, _within(busy, blocks[number]))
            at = int(hits.argmin())
            if best is None or hits[at] < best[0]:
                x, y = places[at].tolist()
                best = int(hits[at]), Placed(mark=region.mark, form=form, x=x, y=y)
            if best[0] == 0:
                return best[1]
    return None if best is None else best[1]


def _within(busy: Floats, block: Floats) -> Floats:
    """Return the places (n, 2) that lie in a block: left, right, bottom, top."""
    left, right, bottom, top = block
    x, y = busy.T
    return busy[(x > left) & (x < right) & (y > bottom) & (y < top)]


def _hits(places: Floats, form: Form, busy: Floats) -> NDArray[np.int64]:
    """Count what is busy below a text at each of the places (n, 2)."""
    half = np.asarray([form.width, form.height]) / 2 + 1.0
    return np.asarray((np.abs(busy[None] - places[:, None]) < half).all(axis=2).sum(axis=1))


def dense(line: Floats) -> Floats:
    """Return places along a line (n, 2), in points, at most APART from one another."""
    ends = list(itertools.pairwise(line))
    steps = [max(math.ceil(math.dist(start, end) / APART), 1) for start, end in ends]
    pieces = [a + np.linspace(0, 1, n + 1)[:, None] * (b - a) for (a, b), n in zip(ends, steps, strict=True)]
    return np.concatenate(pieces) if pieces else line
