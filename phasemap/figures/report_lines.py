"""The frontiers of a report, and the bands of a search's: for every panel of every pair of axes, as short arrays."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from phasemap.diagram.bands import drawn_bands, ribbons
from phasemap.diagram.coordinates import Coordinates
from phasemap.diagram.diagram import Diagram, Panel, make_diagram
from phasemap.diagram.frontier import Floats, map_frontiers
from phasemap.figures.page import packed
from phasemap.phases.built_in import WINS_COLUMN
from phasemap.study.spec import Study

MOST_PANELS = 4000  # over all pairs of axes and steps; beyond, only the last step has lines
GRID = 10_000  # positions are whole numbers from 0 to this across a panel


def axis_pairs(study: Study) -> list[tuple[str, str | None]]:
    """Return the pairs of axes that a map can have; one axis has no second."""
    names = study.axis_names
    return list(itertools.combinations(names, 2)) if len(names) > 1 else [(names[0], None)]


def frontier_lines(study: Study, frames: Sequence[pd.DataFrame]) -> dict[str, Any]:
    """Return the frontiers of the points at each step (``frames``, the last step last), packed.

    ``lines`` has a row (pair, step, kind, panel, n) for each line; ``vertices`` has their x and y, one after the other.
    Panels are numbered over the other axes in the study's order, values as in the picture.
    """
    pairs = axis_pairs(study)
    panels = sum(math.prod(len(a.values) for a in study.axes if a.name not in pair) for pair in pairs)
    first = 0 if panels * len(frames) <= MOST_PANELS else len(frames) - 1
    rows, parts = [], [np.zeros((0, 2))]
    frontiers = map_frontiers(study)
    columns = list(dict.fromkeys(name for frontier in frontiers for name in frontier.drawn_columns))
    for step, frame in list(enumerate(frames))[first:]:
        texts = {name: object for name in columns if name == WINS_COLUMN}  # cheaper to cut into panels than strings
        grid = frame[columns].astype(texts)
        for number, (x, y) in enumerate(pairs):
            facets = [name for name in study.axis_names if name not in (x, y)]
            diagram = make_diagram(study, grid, x=x, y=y, facet=facets)
            for panel, (code, frontier) in itertools.product(diagram.panels, enumerate(frontiers)):
                for line in diagram.frontier_positions(panel, frontier, to_frame=True):
                    rows.append((number, step, code, panel_number(diagram, panel), len(line)))
                    parts.append(shares(diagram, line))
    return {
        "pairs": pairs,
        "first_step": first,
        "lines": packed(np.asarray(rows, dtype=np.uint16).reshape(-1, 5)),
        "vertices": packed(np.round(np.concatenate(parts) * GRID).astype(np.uint16)),
    }


def no_lines() -> dict[str, Any]:
    """Return the form of lines without any: what stands where frontiers have no band."""
    empty = np.zeros(0, dtype=np.uint16)
    return {"pairs": [], "first_step": 0, "lines": packed(empty), "vertices": packed(empty)}


def panel_number(diagram: Diagram, panel: Panel) -> int:
    """Return a panel's number over the other axes, in the study's order with values as in the picture."""
    number = 0
    for axis in diagram.facets:
        values = Coordinates(axis).values
        number = number * len(values) + values.index(panel.facet[axis.name])
    return number


def shares(diagram: Diagram, line: Floats) -> Floats:
    """Return a line's places as shares of the panel, from the left and from below."""
    ends = [(axis.edges[0], axis.edges[-1]) for axis in (diagram.x, diagram.y)]
    shares = [(line[:, i] - low) / (high - low) for i, (low, high) in enumerate(ends)]
    return np.clip(np.stack(shares, axis=1), 0, 1)


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
        for place, bands in enumerate(drawn_bands(diagram, trials)):
            panel = panel_number(diagram, diagram.panels[place])
            for band, outline in ((one, outline) for one in bands for outline in ribbons(diagram, place, one)):
                rows.append((number, last_step, names.index(band.kind), panel, len(outline)))
                parts.append(shares(diagram, outline))
    return {
        "pairs": pairs,
        "first_step": last_step,
        "lines": packed(np.asarray(rows, dtype=np.uint16).reshape(-1, 5)),
        "vertices": packed(np.round(np.concatenate(parts) * GRID).astype(np.uint16)),
    }
