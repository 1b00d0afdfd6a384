"""Charts of how periodic the neurons are: histograms of their IPR before and after the training."""

from __future__ import annotations

import numpy as np
import pandas as pd

from phasemap.diagram.diagram import Layout
from phasemap.figures.cells import NOT_RECORDED, Cell, Frames, cells_of, chart_subtitle, grid_of, outer_axes
from phasemap.figures.chart import Chart, ChartPanel, Event, Floats, common_edges, histogram, pooled
from phasemap.figures.curves import SEEDS_OF_CURVES, curves_panel
from phasemap.phases.built_in import MEAN_IPR
from phasemap.phases.marks import Mark, marks_of
from phasemap.phases.strokes import STROKES, Stroke

IPR_METRICS = {
    "ipr": "IPR",
    "ipr_no_constant": "IPR without the constant term",
    "ipr_relative": "IPR relative to random weights",
}
FIRST_GREY = "#d0d0d0"
FIRST_MEAN = Stroke(label="mean, first step", colour="#777777", style="dotted")
LAST_MEAN = Stroke(label="mean, last step", colour="#000000", style="dashed")


def ipr_chart(frames: Frames, layout: Layout, metric: str | None = None) -> Chart:
    """Describe the neurons' IPR at the first and the last step, one panel a point, all seeds together.

    A single point has a second panel: its accuracies and mean IPR over the steps (the paper's figure 2).
    """
    column = metric or "ipr"
    rows = frames.recorded("ipr")
    grid = grid_of(outer_axes(layout))
    cells = cells_of(frames, layout, grid)
    shown = pd.concat([cell.rows(rows) for cell in cells])[column].to_numpy(dtype=float)
    edges = common_edges(shown) if column == "ipr_relative" else np.linspace(0.0, 1.0, 41)
    marks = marks_of(frames.study.phases)
    panels = [_ipr_panel(cell, marks[cell.mark], cell.rows(rows), column, edges) for cell in cells]
    seeds = "their neurons together"
    if len(cells) == 1:
        seeds += f"; lines: {SEEDS_OF_CURVES}"
        panels.append(_growth_panel(frames, cells[0], cells[0].rows(rows), column))
    return Chart(
        kind="ipr",
        metric=metric,
        title=f"{frames.study.name}: {IPR_METRICS[column]} of the neurons",
        subtitle=chart_subtitle(frames, layout, grid, seeds),
        panels=tuple(panels),
        columns=2 if len(cells) == 1 else grid.columns,
        shared=len(cells) > 1,
    )


def _ipr_panel(cell: Cell, mark: Mark, rows: pd.DataFrame, column: str, edges: Floats) -> ChartPanel:
    """Describe the histograms of one point."""
    bars, events = [], []
    for end, label, colour, hatch, stroke in (
        ("min", "first step", FIRST_GREY, "", FIRST_MEAN),
        ("max", f"last step, {mark.title}", mark.colour, "////", LAST_MEAN),
    ):
        values = rows.loc[rows["step"] == rows["step"].agg(end), column].to_numpy(dtype=float)
        if np.isfinite(values).any():
            bars.append(histogram(label, colour, values, edges, hatch))
            events.append(Event(stroke=stroke, x=float(np.nanmean(values))))
    return ChartPanel(
        title=cell.title,
        x_label=IPR_METRICS[column],
        y_label="share of the neurons",
        bars=tuple(bars),
        events=tuple(events),
        note="" if bars else NOT_RECORDED,
    )


def _growth_panel(frames: Frames, cell: Cell, rows: pd.DataFrame, column: str) -> ChartPanel:
    """Describe the accuracies of a point with the mean IPR over the steps."""
    panel = curves_panel(frames, cell)
    means = rows.groupby(["trial_id", "step"], as_index=False)[column].mean()
    line = pooled(STROKES[MEAN_IPR], means, "step", column)
    return ChartPanel(
        title="over the training",
        x_label=panel.x_label,
        y_label=f"accuracy, mean {IPR_METRICS[column]}",
        series=(*panel.series, *([line] if line else [])),
        events=panel.events,
        x_scale=panel.x_scale,
        y_limits=None if column == "ipr_relative" else panel.y_limits,
    )
