"""Charts of pruning: accuracies or a loss while neurons are silenced, and how many of them are needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from phasemap.diagram.coordinates import Coordinates
from phasemap.diagram.diagram import Layout
from phasemap.figures.captions import held_words
from phasemap.figures.chart import (
    ACCURACY_LIMITS,
    NOT_RECORDED,
    Chart,
    ChartPanel,
    ChartTables,
    Dots,
    PanelPoint,
    Series,
    cell_at,
    cells_of,
    chart_of,
    grid_of,
    not_recorded,
    outer_axes,
    pooled,
)
from phasemap.figures.curves import SEEDS
from phasemap.phases.built_in import NEEDED_NEURONS as NEEDED
from phasemap.phases.built_in import PRUNED_LOSSES, shown_quantities
from phasemap.phases.strokes import STROKES, Stroke, readable
from phasemap.study.errors import UserError
from phasemap.study.spec import Study
from phasemap.study.trials import values_of

ORDERS = {
    "lowest_first": "lowest IPR first",
    "highest_first": "highest IPR first",
    "random": "in random order",
}
WIDTH = "width"
ALL_NEURONS = Stroke(label="all neurons", colour="#777777", style="dashed")
NEEDED_MEAN = Stroke(label="needed, mean of the seeds", colour="#0072b2", marker="o")
NEEDED_SEED = Stroke(label="needed, one seed", colour="#56b4e9", marker="x")


def pruning_metrics(study: Study) -> tuple[str, ...]:
    """Return what is measured while neurons are pruned."""
    return (*shown_quantities(study.recorded), *PRUNED_LOSSES)


def pruning_chart(tables: ChartTables, layout: Layout, metric: str | None = None) -> Chart:
    """Describe pruning at each point; over the axis ``width``, the number of neurons that are needed.

    UserError for Transformers, which have no hidden neurons to silence.
    """
    _check_model(tables.study, layout)
    if layout.x is not None and layout.x.name == WIDTH and metric is None:
        return _needed_chart(tables, layout)
    rows = tables.recorded("pruning")
    grid = grid_of(outer_axes(layout), columns=len(ORDERS))
    columns = shown_quantities(tables.study.recorded) if metric is None else (metric,)
    panels = (
        _order_panel(cell, _with_share(tables, cell, rows), order, columns)
        for cell in cells_of(tables, layout, grid)
        for order in ORDERS
    )
    what = readable(metric) if metric else "accuracies"
    what = f"{what} while neurons are pruned"
    return chart_of("pruning", tables, layout, grid, panels, what, SEEDS, metric=metric, columns=len(ORDERS))


def _check_model(study: Study, layout: Layout) -> None:
    models = {layout.fixed["model"]} if "model" in layout.fixed else {value for _, value in values_of(study, "model")}
    if models == {"transformer"}:
        raise UserError("--kind pruning is not defined for model transformer; allowed: model mlp")


def _with_share(tables: ChartTables, cell: PanelPoint, rows: pd.DataFrame) -> pd.DataFrame:
    """Add the share of its network's neurons that is pruned."""
    widths = cell.rows(tables.trials).set_index("trial_id")[WIDTH]
    found = cell.rows(rows)
    return found.assign(share=found["index"] / found["trial_id"].map(widths).astype(float))


def _order_panel(cell: PanelPoint, rows: pd.DataFrame, order: str, columns: tuple[str, ...]) -> ChartPanel:
    rows = rows[rows["series"] == order]
    lines = [pooled(STROKES[name], rows, "share", name, thin=order == "random") for name in columns]
    known = tuple(line for line in lines if line is not None)
    losses = columns[0] in PRUNED_LOSSES
    return ChartPanel(
        title=f"{cell.title}\n{ORDERS[order]}",
        x_label="share of the neurons pruned",
        y_label=readable(columns[0]) if len(columns) == 1 else "accuracy",
        series=known,
        y_scale="log" if losses else "linear",
        y_limits=None if losses else ACCURACY_LIMITS,
        note="" if known else NOT_RECORDED,
    )


def _needed_chart(tables: ChartTables, layout: Layout) -> Chart:
    """Describe the neurons needed to keep test accuracy at 0.9, over the width (the paper's figure 32)."""
    if NEEDED not in tables.trials:
        raise not_recorded(tables.study, "pruning")
    grid = grid_of(outer_axes(layout, with_x=False))
    panels = (_needed_panel(tables, layout, held) for held in grid.places)
    what = "neurons needed to keep test accuracy at 0.9 or more"
    return chart_of("pruning", tables, layout, grid, panels, what, SEEDS, metric=NEEDED)


def _needed_panel(tables: ChartTables, layout: Layout, held: Mapping[str, Any]) -> ChartPanel:
    assert layout.x is not None
    widths = Coordinates(layout.x).values
    trials = pd.concat([cell_at(tables, layout, {**held, WIDTH: width}).rows(tables.trials) for width in widths])
    line = pooled(NEEDED_MEAN, trials, WIDTH, NEEDED)
    known = trials.dropna(subset=NEEDED)
    bound = np.asarray(widths, dtype=float)
    series = (Series(stroke=ALL_NEURONS, x=bound, y=bound), *([line] if line else []))
    lost = len(trials) - len(known)
    below = f"{lost} of {len(trials)} networks never reach 0.9" if lost else ""
    return ChartPanel(
        title="\n".join(filter(None, [held_words(held), _growth(line), below])),
        x_label=WIDTH,
        y_label="needed neurons",
        series=series,
        dots=(Dots(stroke=NEEDED_SEED, x=known[WIDTH].to_numpy(float), y=known[NEEDED].to_numpy(float)),),
        x_scale="log",
        y_scale="log",
        x_ticks=tuple(bound),
    )


def _growth(line: Series | None) -> str:
    """Say the exponent with which the mean number of needed neurons grows (least squares on log-log axes)."""
    if line is None or len(line.x) < 2:
        return ""
    slope = np.polyfit(np.log(line.x), np.log(line.y), 1)[0]
    return f"needed ~ width^{slope:.2f}"
