"""Charts of single neurons: the most and the least periodic one, and the norm layer's gains against the IPR."""

from __future__ import annotations

import numpy as np
import pandas as pd

from phasemap.diagram.coordinates import show_value
from phasemap.diagram.diagram import Layout
from phasemap.figures.cells import NOT_RECORDED, Cell, Frames, Grid, cells_of, chart_subtitle, grid_of, outer_axes
from phasemap.figures.chart import Chart, ChartPanel, Dots, pooled
from phasemap.phases.strokes import STROKES, Stroke
from phasemap.representations.ipr import spearman
from phasemap.study.errors import UserError

EXTREMES = {"highest": "highest IPR", "lowest": "lowest IPR"}
QUANTITIES = {"weight": ("token", "weight"), "power": ("frequency", "share of the power")}
NEURON = Stroke(label="a neuron", colour="#555555", marker=".")


def neurons_chart(frames: Frames, layout: Layout) -> Chart:
    """Describe the extreme neurons of one network; for several points, their gains against the IPR.

    UserError for several points whose networks have no norm layer, and so no gains.
    """
    rows = frames.recorded("neurons")
    grid = grid_of(outer_axes(layout))
    cells = cells_of(frames, layout, grid)
    if len(cells) == 1:
        return _one_network(frames, layout, grid, cells[0], rows)
    panels = tuple(_gain_panel(cell.title, cell.rows(rows)) for cell in cells)
    if not any(panel.dots for panel in panels):
        held = " ".join(f"--fix {name}={show_value(value)}" for name, value in cells[0].held.items())
        raise UserError(
            f"--kind neurons draws several points only where a norm layer gives each neuron a gain; "
            f"{len(cells) + grid.left_out} points are chosen; allowed: one point, for instance {held}"
        )
    return Chart(
        kind="neurons",
        metric=None,
        title=f"{frames.study.name}: gain of the norm layer and IPR of each neuron, last step",
        subtitle=chart_subtitle(frames, layout, grid, "their neurons together"),
        panels=panels,
        columns=grid.columns,
    )


def _one_network(frames: Frames, layout: Layout, grid: Grid, cell: Cell, rows: pd.DataFrame) -> Chart:
    """Describe a point's first network: rows of highest and lowest neuron, columns before and after."""
    seed, rows = cell.first(rows)
    ends = sorted({int(rows["step"].min()), int(rows["step"].max())})
    panels = [
        _neuron_panel(rows[(rows["series"] == series) & (rows["step"] == step)], series, step, quantity)
        for series in EXTREMES
        for step in ends
        for quantity in QUANTITIES
    ]
    gains = _gain_panel(f"all neurons, step {ends[-1]}", rows)
    return Chart(
        kind="neurons",
        metric=None,
        title=f"{frames.study.name}: the most and the least periodic neuron ({cell.verdict})",
        subtitle=chart_subtitle(frames, layout, grid, f"drawn: seed {seed}"),
        panels=(*panels, *([gains] if gains.dots else [])),
        columns=2 * len(ends),
        shared=False,
    )


def _neuron_panel(rows: pd.DataFrame, series: str, step: int, quantity: str) -> ChartPanel:
    """Describe a neuron's weights along the tokens, or their spectrum."""
    x_label, y_label = QUANTITIES[quantity]
    lines = [pooled(STROKES[part], rows, "index", f"{quantity}_{part}") for part in "uvw"]
    known = tuple(line for line in lines if line is not None)
    number = f"neuron {int(rows['neuron'].iloc[0])}, " if len(rows) and rows["neuron"].notna().all() else ""
    return ChartPanel(
        title=f"{EXTREMES[series]}, step {step}\n{number}{'weights' if quantity == 'weight' else 'spectrum'}",
        x_label=x_label,
        y_label=y_label,
        series=known,
        y_limits=None if quantity == "weight" else (-0.03, 1.04),
        note="" if known else NOT_RECORDED,
    )


def _gain_panel(title: str, rows: pd.DataFrame) -> ChartPanel:
    """Describe the gains against the IPR of all neurons at the last step, with Spearman's rank correlation."""
    last = rows[(rows["series"] == "all") & (rows["step"] == rows["step"].max())].dropna(subset=["gain", "ipr"])
    x, y = last["ipr"].to_numpy(dtype=float), last["gain"].to_numpy(dtype=float)
    return ChartPanel(
        title=f"{title}\nSpearman {_in_words(spearman(x, y))}" if len(last) else title,
        x_label="IPR",
        y_label="gain",
        dots=(Dots(stroke=NEURON, x=x, y=y),) if len(last) else (),
        note="" if len(last) else "no gains recorded",
    )


def _in_words(correlation: float) -> str:
    return "undefined" if np.isnan(correlation) else f"{correlation:.2f}"
