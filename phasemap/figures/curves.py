"""Charts over the training steps: accuracies, one chosen quantity, weight norms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from phasemap.diagram.coordinates import Coordinates, show_value
from phasemap.diagram.diagram import Layout
from phasemap.figures.cells import Cell, Frames, cell_at, cells_of, chart_subtitle, grid_of, outer_axes
from phasemap.figures.chart import ACCURACY_LIMITS, Chart, ChartPanel, Event, Scale, Series, pooled
from phasemap.figures.palette import STEP_TIMES, STROKES, strokes
from phasemap.figures.spec import held_words, readable
from phasemap.phases.curves import QUANTITIES

ACCURACIES = tuple(name for name in QUANTITIES if name.endswith("_accuracy"))
EXTRACTED = "extracted_accuracy"
CURVE_METRICS = (*QUANTITIES, EXTRACTED)
PARTS = {"weight_norm_u": "u", "weight_norm_v": "v", "weight_norm_w": "w"}
SEEDS = "mean; bands: smallest to largest"
SEEDS_OF_CURVES = f"{SEEDS}; vertical lines: median"


def curves_chart(frames: Frames, layout: Layout, metric: str | None = None) -> Chart:
    """Describe the accuracies over the steps, one panel a point; or one quantity, one line a value of the x axis."""
    if metric:
        return _metric_chart(frames, layout, metric)
    grid = grid_of(outer_axes(layout))
    return Chart(
        kind="curves",
        metric=None,
        title=f"{frames.study.name}: accuracies over the training",
        subtitle=chart_subtitle(frames, layout, grid, SEEDS_OF_CURVES),
        panels=tuple(accuracy_panel(frames, cell) for cell in cells_of(frames, layout, grid)),
        columns=grid.columns,
    )


def norms_chart(frames: Frames, layout: Layout) -> Chart:
    """Describe the Frobenius norms of the weights over the steps, one panel a point."""
    grid = grid_of(outer_axes(layout))
    panels = tuple(_norms_panel(frames, cell) for cell in cells_of(frames, layout, grid))
    subtitle = chart_subtitle(frames, layout, grid, SEEDS)
    if all(len(panel.series) < 2 for panel in panels):
        subtitle += "; record: [norms] shows each parameter"
    return Chart(
        kind="norms",
        metric=None,
        title=f"{frames.study.name}: weight norms over the training",
        subtitle=subtitle,
        panels=panels,
        columns=grid.columns,
    )


def accuracy_panel(frames: Frames, cell: Cell) -> ChartPanel:
    """Describe one point's accuracies and step times."""
    rows = cell.rows(frames.curves)
    lines = [pooled(STROKES[name], rows, "step", name) for name in ACCURACIES]
    if len(frames.neurons):
        lines.append(pooled(STROKES[EXTRACTED], cell.rows(_extracted(frames.neurons)), "step", EXTRACTED))
    return _over_steps(cell.title, "accuracy", lines, _step_times(frames, cell), limits=ACCURACY_LIMITS)


def _over_steps(
    title: str,
    label: str,
    lines: list[Series | None],
    events: tuple[Event, ...] = (),
    limits: tuple[float, float] | None = None,
    y_scale: Scale = "linear",
) -> ChartPanel:
    known = tuple(line for line in lines if line is not None)
    return ChartPanel(
        title=title,
        x_label="step",
        y_label=label,
        series=known,
        events=events,
        x_scale="log",
        y_scale=y_scale,
        y_limits=limits,
        note="" if known else "nothing to draw",
    )


def _step_times(frames: Frames, cell: Cell) -> tuple[Event, ...]:
    """Return the median step of each event; a seed that has not reached it counts as later than all that have."""
    rows = cell.rows(frames.trials)
    found = []
    for name, (letter, stroke) in STEP_TIMES.items():
        if name not in rows:
            continue
        median = np.median(rows[name].fillna(np.inf).to_numpy(dtype=float)) if len(rows) else np.inf
        if np.isfinite(median):
            found.append(Event(stroke=stroke, x=float(median), letter=letter))
    return tuple(found)


def _extracted(neurons: pd.DataFrame) -> pd.DataFrame:
    rows = neurons[neurons["record"] == "extracted"]
    return rows.rename(columns={"value": EXTRACTED})


def _norms_panel(frames: Frames, cell: Cell) -> ChartPanel:
    rows = cell.rows(frames.curves)
    lines = [pooled(STROKES[part], rows, "step", name) for name, part in PARTS.items()]
    if not any(lines):
        lines = _parameter_norms(cell.rows(frames.neurons)) if len(frames.neurons) else []
    lines.append(pooled(STROKES["weight_norm"], rows, "step", "weight_norm"))
    return _over_steps(cell.title, "Frobenius norm", lines)


def _parameter_norms(rows: pd.DataFrame) -> list[Series | None]:
    """Return one line a parameter of the record ``norms``."""
    rows = rows[rows["record"] == "norms"]
    names = list(dict.fromkeys(rows["series"]))
    return [
        pooled(stroke, rows[rows["series"] == name], "step", "value")
        for name, stroke in zip(names, strokes(names, ordered=False), strict=True)
    ]


def _metric_chart(frames: Frames, layout: Layout, metric: str) -> Chart:
    """Describe one quantity: a line for each value of the x axis, panels over the other axes."""
    source = frames.curves
    if metric == EXTRACTED:
        frames.recorded("extracted")
        source = _extracted(frames.neurons)
    grid = grid_of(outer_axes(layout, with_x=False))
    panels = tuple(
        _over_steps(
            held_words(held),
            readable(metric),
            _lines_along_x(frames, layout, held, source, metric),
            limits=ACCURACY_LIMITS if metric.endswith("accuracy") else None,
            y_scale="log" if metric.endswith("loss") else "linear",
        )
        for held in grid.places
    )
    return Chart(
        kind="curves",
        metric=metric,
        title=f"{frames.study.name}: {readable(metric)} over the training",
        subtitle=chart_subtitle(frames, layout, grid, SEEDS),
        panels=panels,
        columns=grid.columns,
    )


def _lines_along_x(
    frames: Frames, layout: Layout, held: Mapping[str, Any], source: pd.DataFrame, metric: str
) -> list[Series | None]:
    """Return a line for each value of the x axis, or one line where no axis is left."""
    if layout.x is None:
        places, labels = [held], [readable(metric)]
    else:
        values = Coordinates(layout.x).values
        places = [{**held, layout.x.name: value} for value in values]
        labels = [f"{readable(layout.x.name)} {show_value(value)}" for value in values]
    ordered = layout.x is not None and not layout.x.categorical
    return [
        pooled(stroke, cell_at(frames, layout, place).rows(source), "step", metric)
        for stroke, place in zip(strokes(labels, ordered=ordered), places, strict=True)
    ]
