"""Charts of the logits of corrupted examples: the true label's against the given one's."""

from __future__ import annotations

import pandas as pd

from phasemap.diagram.diagram import Layout
from phasemap.figures.cells import NOT_RECORDED, Cell, Frames, cells_of, chart_subtitle, grid_of, outer_axes
from phasemap.figures.chart import Chart, ChartPanel, Dots, Floats, common_edges, histogram, pooled
from phasemap.phases.built_in import N_CORRUPTED
from phasemap.phases.strokes import Stroke
from phasemap.study.errors import UserError

LOGITS = {
    "logit_other": ("largest other logit", "#999999", ""),
    "logit_given": ("logit of the given label", "#e69f00", "////"),
    "logit_true": ("logit of the true label", "#0072b2", "\\\\\\\\"),
}
VECTOR = Stroke(label="logits of one example", colour="#555555")
CLASSES = {
    "given_class": Stroke(label="given, wrong class", colour="#e69f00", marker="v"),
    "true_class": Stroke(label="true class", colour="#0072b2", marker="o"),
}
CORRUPTED, PREFIX = "corrupted", "example-"
NOTHING_CORRUPTED = "nothing was corrupted"


def logits_chart(frames: Frames, layout: Layout) -> Chart:
    """Describe the corrupted examples' logits, one panel a point, all seeds together.

    A single point also has the whole logit vectors of its first network's first examples.
    """
    counts = frames.trials[N_CORRUPTED].dropna()
    if len(counts) and (counts == 0).all():
        raise UserError(f"{frames.study.name} corrupts no label, and these are logits of wrongly labelled examples")
    rows = frames.recorded("logits")
    grid = grid_of(outer_axes(layout))
    cells = cells_of(frames, layout, grid)
    shown = pd.concat([_corrupted(cell, rows) for cell in cells])
    edges = common_edges(shown[list(LOGITS)].to_numpy(dtype=float).ravel())
    panels = [_logits_panel(cell, _corrupted(cell, rows), edges, _lacking(cell, frames)) for cell in cells]
    if len(cells) == 1:
        panels += _example_panels(cells[0], rows) if len(shown) else []
    return Chart(
        kind="logits",
        metric=None,
        title=f"{frames.study.name}: logits of the corrupted training examples, last step",
        subtitle=chart_subtitle(frames, layout, grid, "their examples together"),
        panels=tuple(panels),
        columns=min(len(panels), 4) if len(cells) == 1 else grid.columns,
        shared=len(cells) > 1,
    )


def _corrupted(cell: Cell, rows: pd.DataFrame) -> pd.DataFrame:
    found = cell.rows(rows)
    return found[found["series"] == CORRUPTED]


def _lacking(cell: Cell, frames: Frames) -> str:
    """Say why a point has no logits of corrupted examples."""
    counts = cell.rows(frames.trials)[N_CORRUPTED]
    return NOTHING_CORRUPTED if len(counts) and (counts == 0).all() else NOT_RECORDED


def _logits_panel(cell: Cell, rows: pd.DataFrame, edges: Floats, lacking: str) -> ChartPanel:
    bars = [
        histogram(label, colour, rows[name].to_numpy(dtype=float), edges, hatch)
        for name, (label, colour, hatch) in LOGITS.items()
    ]
    return ChartPanel(
        title=cell.title,
        x_label="logit",
        y_label="share of the examples",
        bars=tuple(bars) if len(rows) else (),
        note="" if len(rows) else lacking,
    )


def _example_panels(cell: Cell, rows: pd.DataFrame) -> list[ChartPanel]:
    """Describe the logit vectors of the first network that has some."""
    seed, found = cell.first(rows[rows["series"] != CORRUPTED])
    return [_example_panel(found[found["series"] == series], series, seed) for series in sorted(set(found["series"]))]


def _example_panel(rows: pd.DataFrame, series: str, seed: int) -> ChartPanel:
    line = pooled(VECTOR, rows, "index", "logit")
    dots = []
    for column, stroke in CLASSES.items():
        place = rows[rows["index"] == rows[column].iloc[0]]
        dots.append(Dots(stroke=stroke, x=place["index"].to_numpy(dtype=float), y=place["logit"].to_numpy(dtype=float)))
    return ChartPanel(
        title=f"example {series.removeprefix(PREFIX)} of seed {seed}",
        x_label="class",
        y_label="logit",
        series=(line,) if line else (),
        dots=tuple(dots),
        note="" if line else NOT_RECORDED,
    )
