"""The bands of a search's frontiers in a report: areas in which they lie where points are inferred."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from phasemap.diagram.bands import Band, drawn_bands
from phasemap.diagram.diagram import Diagram, make_diagram
from phasemap.diagram.frontier import Floats, map_frontiers
from phasemap.figures.packed import packed
from phasemap.figures.report_lines import GRID, MOST_PANELS, axis_pairs, no_lines, panel_number, shares
from phasemap.study.spec import Study

THINNEST = 0.004  # of a panel: what is narrower is not seen beside its line


def frontier_bands(study: Study, points: pd.DataFrame, trials: pd.DataFrame, last_step: int) -> dict[str, Any]:
    """Return the outlines of the bands at the last step, in the form of ``frontier_lines``; of a grid none."""
    pairs = axis_pairs(study)
    panels = sum(math.prod(len(a.values) for a in study.axes if a.name not in pair) for pair in pairs)
    if study.search.kind == "grid" or panels > MOST_PANELS:
        return no_lines()
    rows, parts = [], [np.zeros((0, 2))]
    names = [frontier.name for frontier in map_frontiers(study)]
    for number, (x, y) in enumerate(pairs):
        facets = [name for name in study.axis_names if name not in (x, y)]
        diagram = make_diagram(study, points, x=x, y=y, facet=facets)
        for panel, bands in zip(diagram.panels, drawn_bands(diagram, trials), strict=True):
            for band, outline in itertools.chain.from_iterable(_outlines(diagram, band) for band in bands):
                rows.append((number, last_step, names.index(band.kind), panel_number(diagram, panel), len(outline)))
                parts.append(outline)
    return {
        "pairs": pairs,
        "first_step": last_step,
        "lines": packed(np.asarray(rows, dtype=np.uint16).reshape(-1, 5)),
        "vertices": packed(np.round(np.concatenate(parts) * GRID).astype(np.uint16)),
    }


def _outlines(diagram: Diagram, band: Band) -> Iterator[tuple[Band, Floats]]:
    """Yield the outline (n, 2), in shares of the panel, of each run of rows that a band covers without a gap.

    Values of a categorical axis are no rows that follow one another: each has its own outline.
    """
    axis, other = (diagram.x, diagram.y) if band.along == "x" else (diagram.y, diagram.x)
    wide = (band.high - band.low) / (axis.edges[-1] - axis.edges[0]) > THINNEST
    boxes = [
        (int(row), low, high)
        for row, low, high, drawn in zip(band.row, band.low, band.high, wide, strict=True)
        if drawn
    ]
    for run in _runs(boxes) if not other.axis.categorical else ([box] for box in boxes):
        low = [(at, edge) for row, at, _ in run for edge in other.edges[row : row + 2]]
        high = [(at, edge) for row, _, at in run for edge in other.edges[row : row + 2]]
        outline = np.asarray([*low, *reversed(high)])
        yield band, shares(diagram, outline if band.along == "x" else outline[:, ::-1])


def _runs(boxes: list[tuple[int, float, float]]) -> Iterator[list[tuple[int, float, float]]]:
    """Cut boxes (row, low, high), in rising rows, into runs of following rows that overlap."""
    run: list[tuple[int, float, float]] = []
    for box in boxes:
        if run and not (box[0] == run[-1][0] + 1 and box[1] <= run[-1][2] and run[-1][1] <= box[2]):
            yield run
            run = []
        run.append(box)
    if run:
        yield run
