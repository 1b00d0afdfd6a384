"""Charts over the training steps: quantities of one kind together, one chosen quantity, weight norms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from phasemap.diagram.coordinates import Coordinates, show_value
from phasemap.diagram.diagram import Layout
from phasemap.figures import PHASES
from phasemap.figures.captions import held_words, source_words
from phasemap.figures.chart import (
    ACCURACY_LIMITS,
    Chart,
    ChartPanel,
    ChartTables,
    Dots,
    Event,
    PanelGrid,
    PanelPoint,
    Series,
    drawn,
    pooled,
)
from phasemap.phases.built_in import ALL_NORMS, EXTRACTED, NORM_PARTS, column_kinds, shown_quantities
from phasemap.phases.strokes import OKABE_ITO, STROKES, Stroke, quantity_strokes, readable, strokes, time_strokes
from phasemap.study.conditions import Kind
from phasemap.study.rule_file import rule_of
from phasemap.study.spec import Study

KINDS: dict[Kind, str] = {"accuracy": "accuracies", "loss": "losses", "number": "quantities"}
"""The kinds of quantities, in the order in which they are drawn, and what several are called."""
MOST_VALUES = 14  # of an axis that all have a tick
SEEDS = "mean; bands: smallest to largest"
SEEDS_OF_CURVES = f"{SEEDS}; vertical lines: median"


def curves_chart(tables: ChartTables, layout: Layout, metric: str | None = None) -> Chart:
    """Describe the accuracies over the steps, one panel a point; or one quantity, one line a value of the x axis.

    Where no accuracies are recorded, the losses, else all quantities, are drawn.
    """
    if metric:
        return _metric_chart(tables, layout, metric)
    grid = PanelGrid.of(tables, layout)
    kind, _ = drawn_together(tables.study)
    panels = (curves_panel(tables, point) for point in grid.points())
    return grid.chart("curves", panels, f"{KINDS[kind]} over the training", SEEDS_OF_CURVES)


def drawn_together(study: Study) -> tuple[Kind, tuple[str, ...]]:
    """Return the kind whose quantities are drawn into one panel, and these."""
    kinds, names = study.recorded.quantities, shown_quantities(study.recorded)
    kind = next(kind for kind in KINDS if any(kinds[name] == kind for name in names))
    return kind, tuple(name for name in names if kinds[name] == kind)


def curve_metrics(study: Study) -> tuple[str, ...]:
    """Return what can be drawn over the steps on its own."""
    inside = (EXTRACTED,) if EXTRACTED in study.recorded.finals else ()
    return (*study.recorded.quantities, *inside)


def norms_chart(tables: ChartTables, layout: Layout) -> Chart:
    """Describe the Frobenius norms of the weights over the steps, one panel a point."""
    grid = PanelGrid.of(tables, layout)
    panels = tuple(_norms_panel(tables, point) for point in grid.points())
    chart = grid.chart("norms", panels, "weight norms over the training", SEEDS)
    if any(len(panel.series) > 1 for panel in panels):
        return chart
    return replace(chart, subtitle=f"{chart.subtitle} With record: [norms] each parameter has a line.")


def curves_panel(tables: ChartTables, cell: PanelPoint) -> ChartPanel:
    """Describe one point's accuracies, or what is drawn in their place, and step times."""
    rows = cell.rows(tables.curves)
    kind, names = drawn_together(tables.study)
    looks = quantity_strokes(tables.study.recorded.quantities)
    lines = [pooled(looks[name], rows, "step", name) for name in names]
    if len(tables.neurons):
        lines.append(pooled(STROKES[EXTRACTED], cell.rows(_extracted(tables.neurons)), "step", EXTRACTED))
    label = "value" if kind == "number" else kind
    return _over_steps(cell.title, label, lines, _step_times(tables, cell), kind=kind)


def _over_steps(
    title: str, label: str, lines: list[Series | None], events: tuple[Event, ...] = (), kind: Kind = "number"
) -> ChartPanel:
    known = drawn(lines)
    return ChartPanel(
        title=title,
        x_label="step",
        y_label=label,
        series=known,
        events=events,
        x_scale="log",
        y_scale="log" if kind == "loss" else "linear",
        y_limits=ACCURACY_LIMITS if kind == "accuracy" else None,
        note="" if known else "nothing to draw",
    )


def _step_times(tables: ChartTables, cell: PanelPoint) -> tuple[Event, ...]:
    """Return the median step of each event; a seed that has not reached it counts as later than all that have."""
    rows = cell.rows(tables.trials)
    events = []
    names = (name for name, _ in rule_of(tables.study.phases).times)
    for name, (letter, stroke) in time_strokes(names).items():
        median = np.median(rows[name].fillna(np.inf).to_numpy(dtype=float)) if len(rows) else np.inf
        if np.isfinite(median):
            events.append(Event(stroke=stroke, x=float(median), letter=letter))
    return tuple(events)


def _extracted(neurons: pd.DataFrame) -> pd.DataFrame:
    rows = neurons[neurons["record"] == "extracted"]
    return rows.rename(columns={"value": EXTRACTED})


def _norms_panel(tables: ChartTables, cell: PanelPoint) -> ChartPanel:
    rows = cell.rows(tables.curves)
    lines = [pooled(STROKES[part], rows, "step", name) for name, part in NORM_PARTS.items()]
    if not any(lines):
        lines = _parameter_norms(cell.rows(tables.neurons)) if len(tables.neurons) else []
    lines.append(pooled(STROKES[ALL_NORMS], rows, "step", ALL_NORMS))
    return _over_steps(cell.title, "Frobenius norm", lines)


def _parameter_norms(rows: pd.DataFrame) -> list[Series | None]:
    """Return one line a parameter of the record ``norms``."""
    rows = rows[rows["record"] == "norms"]
    names = list(dict.fromkeys(rows["series"]))
    return [
        pooled(stroke, rows[rows["series"] == name], "step", "value")
        for name, stroke in zip(names, strokes(names, ordered=False), strict=True)
    ]


def _metric_chart(tables: ChartTables, layout: Layout, metric: str) -> Chart:
    """Describe one quantity: a line for each value of the x axis, panels over the other axes."""
    source = tables.curves
    if metric == EXTRACTED:
        tables.recorded("extracted")
        source = _extracted(tables.neurons)
    grid = PanelGrid.of(tables, layout, with_x=False)
    kind = column_kinds(tables.study).get(metric, "number")
    panels = (
        _over_steps(held_words(held), readable(metric), _lines_along_x(grid, held, source, metric), kind=kind)
        for held in grid.places
    )
    return grid.chart("curves", panels, f"{readable(metric)} over the training", SEEDS, metric=metric)


def over_axis_chart(tables: ChartTables, layout: Layout, metric: str) -> Chart:
    """Describe a quantity over the only axis of a map: the mean over the seeds, their range, and each of them."""
    assert layout.x is not None
    name, values = layout.x.name, np.asarray(Coordinates(layout.x).values, dtype=float)
    whole = PanelGrid(tables=tables, layout=layout, places=({},), columns=1)
    rows = pd.concat([whole.point({name: value}).rows(tables.trials) for value in layout.x.values])
    line = pooled(Stroke(label="mean of the seeds", colour=OKABE_ITO[0], marker="o"), rows, name, metric)
    known = rows.dropna(subset=metric)
    single = Stroke(label="one seed", colour=OKABE_ITO[4], marker="x")
    dots = Dots(stroke=single, x=known[name].to_numpy(dtype=float), y=known[metric].to_numpy(dtype=float))
    kind = column_kinds(tables.study).get(metric, "number")
    several = len(tables.study.seeds) > 1
    panel = ChartPanel(
        title="",
        x_label=readable(name),
        y_label=readable(metric),
        series=(line,) if line else (),
        dots=(dots,) if several and len(known) else (),
        x_scale="log" if layout.x.scale == "log" else "linear",
        y_scale="log" if kind == "loss" else "linear",
        x_ticks=tuple(values) if len(values) <= MOST_VALUES else (),
        y_limits=ACCURACY_LIMITS if kind == "accuracy" else None,
        note="" if line else "nothing to draw",
    )
    seeds, source = "band: smallest to largest", source_words(tables.study)
    return whole.chart(PHASES, [panel], readable(metric), seeds, metric=metric, source=source)


def _lines_along_x(grid: PanelGrid, held: Mapping[str, Any], source: pd.DataFrame, metric: str) -> list[Series | None]:
    """Return a line for each value of the x axis, or one line where no axis is left."""
    x = grid.layout.x
    if x is None:
        places, labels = [held], [readable(metric)]
    else:
        places = [{**held, x.name: value} for value in Coordinates(x).values]
        labels = [f"{readable(x.name)} {show_value(place[x.name])}" for place in places]
    looks = strokes(labels, ordered=x is not None and not x.categorical)
    return [
        pooled(stroke, grid.point(place).rows(source), "step", metric)
        for stroke, place in zip(looks, places, strict=True)
    ]
