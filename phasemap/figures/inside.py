"""Charts of what is inside the networks: IPR, the most and least periodic neuron, gains, logits, and pruning.

While neurons are silenced, accuracies or a loss are drawn, and how many neurons are needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from phasemap.diagram.coordinates import Coordinates, show_value
from phasemap.diagram.diagram import Layout
from phasemap.figures.captions import held_words
from phasemap.figures.chart import (
    ACCURACY_LIMITS,
    NOT_RECORDED,
    SHARE_EDGES,
    Chart,
    ChartPanel,
    ChartTables,
    Dots,
    Event,
    Floats,
    PanelGrid,
    PanelPoint,
    Series,
    common_edges,
    drawn,
    histogram,
    not_recorded,
    pooled,
)
from phasemap.figures.curves import SEEDS, SEEDS_OF_CURVES, curves_panel
from phasemap.phases.built_in import MEAN_IPR, N_CORRUPTED, NEEDED_NEURONS, PRUNED_LOSSES, shown_quantities
from phasemap.phases.marks import Mark, marks_of
from phasemap.phases.strokes import STROKES, Stroke, readable
from phasemap.representations.ipr import spearman
from phasemap.study.errors import UserError
from phasemap.study.spec import Study
from phasemap.study.trials import values_of

IPR_METRICS = {
    "ipr": "IPR",
    "ipr_no_constant": "IPR without the constant term",
    "ipr_relative": "IPR relative to random weights",
}
GAINS = "gain of the norm layer and IPR of each neuron, last step"
OF_CORRUPTED = "logits of the corrupted training examples, last step"
TWO_NEURONS = "the most and the least periodic neuron"
FIRST_GREY = "#e0e0e0"
FIRST_MEAN = Stroke(label="mean, first step", colour="#777777", style="dotted")
LAST_MEAN = Stroke(label="mean, last step", colour="#000000", style="dashed")


def ipr_chart(tables: ChartTables, layout: Layout, metric: str | None = None) -> Chart:
    """Describe the neurons' IPR at the first and the last step, one panel a point, all seeds together.

    A single point has a second panel: its accuracies and mean IPR over the steps (the paper's figure 2).
    """
    column = metric or "ipr"
    rows = tables.recorded("ipr")
    grid = PanelGrid.of(tables, layout)
    cells = grid.points()
    shown = pd.concat([cell.rows(rows) for cell in cells])[column].to_numpy(dtype=float)
    edges = common_edges(shown) if column == "ipr_relative" else SHARE_EDGES
    marks = marks_of(tables.study.phases)
    panels = [_ipr_panel(cell, marks[cell.mark], cell.rows(rows), column, edges) for cell in cells]
    seeds = "their neurons together"
    if len(cells) == 1:
        seeds += f"; lines: {SEEDS_OF_CURVES}"
        panels.append(_growth_panel(tables, cells[0], cells[0].rows(rows), column))
    look = {"metric": metric, "columns": 2 if len(cells) == 1 else grid.columns, "shared": len(cells) > 1}
    return grid.chart("ipr", panels, f"{IPR_METRICS[column]} of the neurons", seeds, **look)


def _ipr_panel(cell: PanelPoint, mark: Mark, rows: pd.DataFrame, column: str, edges: Floats) -> ChartPanel:
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


def _growth_panel(tables: ChartTables, cell: PanelPoint, rows: pd.DataFrame, column: str) -> ChartPanel:
    """Describe the accuracies of a point with the mean IPR over the steps."""
    panel = curves_panel(tables, cell)
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


EXTREMES = {"highest": "highest IPR", "lowest": "lowest IPR"}
QUANTITIES = {"weight": ("token", "weight"), "power": ("frequency", "share of the power")}
NEURON = Stroke(label="a neuron", colour="#555555", marker=".")


def neurons_chart(tables: ChartTables, layout: Layout) -> Chart:
    """Describe the extreme neurons of one network; for several points, their gains against the IPR.

    UserError for several points whose networks have no norm layer, and so no gains.
    """
    rows = tables.recorded("neurons")
    grid = PanelGrid.of(tables, layout)
    cells = grid.points()
    if len(cells) == 1:
        return _one_network(grid, cells[0], rows)
    panels = tuple(_gain_panel(cell.title, cell.rows(rows)) for cell in cells)
    if not any(panel.dots for panel in panels):
        held = " ".join(f"--fix {name}={show_value(value)}" for name, value in cells[0].held.items())
        raise UserError(
            f"--kind neurons draws several points only where a norm layer gives each neuron a gain; "
            f"{len(cells) + grid.left_out} points are chosen; allowed: one point, for instance {held}"
        )
    return grid.chart("neurons", panels, GAINS, "their neurons together")


def _one_network(grid: PanelGrid, cell: PanelPoint, rows: pd.DataFrame) -> Chart:
    """Describe a point's first network: highest and lowest neuron, before and after, weights and spectrum."""
    seed, rows = cell.first(rows)
    ends = sorted({int(rows["step"].min()), int(rows["step"].max())})
    panels = [
        _neuron_panel(rows[(rows["series"] == series) & (rows["step"] == step)], series, step, quantity)
        for series in EXTREMES
        for step in ends
        for quantity in QUANTITIES
    ]
    gains = _gain_panel(f"all neurons, step {ends[-1]}", rows)
    panels += [gains] if gains.dots else []
    what, seeds = f"{TWO_NEURONS} ({cell.verdict})", f"drawn: seed {seed}"
    return grid.chart("neurons", panels, what, seeds, columns=2, shared=False)


def _neuron_panel(rows: pd.DataFrame, series: str, step: int, quantity: str) -> ChartPanel:
    """Describe a neuron's weights along the tokens, or their spectrum."""
    x_label, y_label = QUANTITIES[quantity]
    known = drawn(pooled(STROKES[part], rows, "index", f"{quantity}_{part}") for part in "uvw")
    number = f"neuron {int(rows['neuron'].iloc[0])}, " if len(rows) and rows["neuron"].notna().all() else ""
    return ChartPanel(
        title=f"{EXTREMES[series]}, step {step}\n{number}{'weights' if quantity == 'weight' else 'spectrum'}",
        x_label=x_label,
        y_label=y_label,
        series=known,
        y_limits=None if quantity == "weight" else ACCURACY_LIMITS,
        note="" if known else NOT_RECORDED,
    )


def _gain_panel(title: str, rows: pd.DataFrame) -> ChartPanel:
    """Describe the gains against the IPR of all neurons at the last step, with Spearman's rank correlation."""
    last = rows[(rows["series"] == "all") & (rows["step"] == rows["step"].max())].dropna(subset=["gain", "ipr"])
    x, y = last["ipr"].to_numpy(dtype=float), last["gain"].to_numpy(dtype=float)
    correlation = spearman(x, y) if len(last) else np.nan
    found = "undefined" if np.isnan(correlation) else f"{correlation:.2f}"
    return ChartPanel(
        title=f"{title}\nSpearman {found}" if len(last) else title,
        x_label="IPR",
        y_label="gain",
        dots=(Dots(stroke=NEURON, x=x, y=y),) if len(last) else (),
        note="" if len(last) else "no gains recorded",
    )


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


def logits_chart(tables: ChartTables, layout: Layout) -> Chart:
    """Describe the corrupted examples' logits, one panel a point, all seeds together.

    A single point also has the whole logit vectors of its first network's first examples.
    """
    counts = tables.trials[N_CORRUPTED].dropna()
    if len(counts) and (counts == 0).all():
        raise UserError(f"{tables.study.name} corrupts no label, and these are logits of wrongly labelled examples")
    rows = tables.recorded("logits")
    grid = PanelGrid.of(tables, layout)
    cells = grid.points()
    shown = pd.concat([_corrupted(cell, rows) for cell in cells])
    edges = common_edges(shown[list(LOGITS)].to_numpy(dtype=float).ravel())
    panels = [_logits_panel(cell, _corrupted(cell, rows), edges, _lacking(cell, tables)) for cell in cells]
    if len(cells) == 1 and len(shown):
        seed, own = cells[0].first(rows[rows["series"] != CORRUPTED])
        panels += [_example_panel(own[own["series"] == series], series, seed) for series in sorted(set(own["series"]))]
    look = {"columns": min(len(panels), 3) if len(cells) == 1 else grid.columns, "shared": len(cells) > 1}
    return grid.chart("logits", panels, OF_CORRUPTED, "their examples together", **look)


def _corrupted(cell: PanelPoint, rows: pd.DataFrame) -> pd.DataFrame:
    own = cell.rows(rows)
    return own[own["series"] == CORRUPTED]


def _lacking(cell: PanelPoint, tables: ChartTables) -> str:
    """Say why a point has no logits of corrupted examples."""
    counts = cell.rows(tables.trials)[N_CORRUPTED]
    return NOTHING_CORRUPTED if len(counts) and (counts == 0).all() else NOT_RECORDED


def _logits_panel(cell: PanelPoint, rows: pd.DataFrame, edges: Floats, lacking: str) -> ChartPanel:
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


def _example_panel(rows: pd.DataFrame, series: str, seed: int) -> ChartPanel:
    line = pooled(VECTOR, rows, "index", "logit")
    dots = []
    for column, stroke in CLASSES.items():
        own = rows[rows["index"] == rows[column].iloc[0]]
        dots.append(Dots(stroke=stroke, x=own["index"].to_numpy(dtype=float), y=own["logit"].to_numpy(dtype=float)))
    return ChartPanel(
        title=f"example {series.removeprefix(PREFIX)} of seed {seed}",
        x_label="class",
        y_label="logit",
        series=(line,) if line else (),
        dots=tuple(dots),
        note="" if line else NOT_RECORDED,
    )


ORDERS = {"lowest_first": "lowest IPR first", "highest_first": "highest IPR first", "random": "in random order"}
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
    grid = PanelGrid.of(tables, layout, columns=len(ORDERS))
    columns = shown_quantities(tables.study.recorded) if metric is None else (metric,)
    panels = (
        _order_panel(cell, _with_share(tables, cell, rows), order, columns)
        for cell in grid.points()
        for order in ORDERS
    )
    what = f"{readable(metric) if metric else 'accuracies'} while neurons are pruned"
    return grid.chart("pruning", panels, what, SEEDS, metric=metric, columns=len(ORDERS))


def _check_model(study: Study, layout: Layout) -> None:
    models = {layout.fixed["model"]} if "model" in layout.fixed else {value for _, value in values_of(study, "model")}
    if models == {"transformer"}:
        raise UserError("--kind pruning is not defined for model transformer; allowed: model mlp")


def _with_share(tables: ChartTables, cell: PanelPoint, rows: pd.DataFrame) -> pd.DataFrame:
    """Add the share of its network's neurons that is pruned."""
    widths, own = cell.rows(tables.trials).set_index("trial_id")[WIDTH], cell.rows(rows)
    return own.assign(share=own["index"] / own["trial_id"].map(widths).astype(float))


def _order_panel(cell: PanelPoint, rows: pd.DataFrame, order: str, columns: tuple[str, ...]) -> ChartPanel:
    rows = rows[rows["series"] == order]
    known = drawn(pooled(STROKES[name], rows, "share", name, thin=order == "random") for name in columns)
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
    if NEEDED_NEURONS not in tables.trials:
        raise not_recorded(tables.study, "pruning")
    assert layout.x is not None
    grid, widths = PanelGrid.of(tables, layout, with_x=False), Coordinates(layout.x).values
    panels = (_needed_panel(grid, held, widths) for held in grid.places)
    what = "neurons needed to keep test accuracy at 0.9 or more"
    return grid.chart("pruning", panels, what, SEEDS, metric=NEEDED_NEURONS)


def _needed_panel(grid: PanelGrid, held: Mapping[str, Any], widths: Sequence[int]) -> ChartPanel:
    trials = pd.concat([grid.point({**held, WIDTH: width}).rows(grid.tables.trials) for width in widths])
    line = pooled(NEEDED_MEAN, trials, WIDTH, NEEDED_NEURONS)
    known = trials.dropna(subset=NEEDED_NEURONS)
    bound = np.asarray(widths, dtype=float)
    series = (Series(stroke=ALL_NEURONS, x=bound, y=bound), *([line] if line else []))
    lost = len(trials) - len(known)
    below = f"{lost} of {len(trials)} networks never reach 0.9" if lost else ""
    return ChartPanel(
        title="\n".join(filter(None, [held_words(held), _growth(line), below])),
        x_label=WIDTH,
        y_label="needed neurons",
        series=series,
        dots=(Dots(stroke=NEEDED_SEED, x=known[WIDTH].to_numpy(float), y=known[NEEDED_NEURONS].to_numpy(float)),),
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
