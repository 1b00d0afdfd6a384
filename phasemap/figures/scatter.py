"""Points that lie on no grid, drawn where they were measured; and a coarse view of them for the terminal."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Affine2D

from phasemap.diagram import ChosenAxes
from phasemap.diagram.bands import drawn_bands
from phasemap.diagram.coordinates import show_value
from phasemap.diagram.diagram import Diagram, Layout, lay_out, make_diagram
from phasemap.diagram.frontier import Floats
from phasemap.diagram.points import mean_columns
from phasemap.figures.captions import Horizons, caption, held_words, horizons_of, label_words, sentences, source_words
from phasemap.figures.panel import SLANTED, add_colour_bar, colour_scale, inside, label_handle
from phasemap.figures.spec import (
    INFERRED_SIGN,
    LABEL_METRICS,
    MEASURED_SIGN,
    NO_AXIS,
    NOTHING,
    STATE_COLUMNS,
    AxisSpec,
    Dots,
    FigureSpec,
    LegendEntry,
    PanelSpec,
    figure_spec,
    first_metric,
    label_states,
)
from phasemap.figures.style import add_legend, below_inches, fitted, font_size, label_log, text_width, write_title
from phasemap.phases.built_in import column_kinds
from phasemap.phases.marks import Mark, marks_of
from phasemap.phases.strokes import readable
from phasemap.results.folder import RunFolder
from phasemap.study.axes import Axis
from phasemap.study.conditions import Kind
from phasemap.study.errors import UserError
from phasemap.study.spec import Study

if TYPE_CHECKING:
    from phasemap.search.scattered import Grid

MOST_FACETS = 6  # values of a further axis that has panels without being asked for; others are drawn over one another
MOST_LETTERS = 400  # points of a panel that bear their letters
BINS = (32, 12)  # columns and rows of the coarse view
MOST_DRAWN = 20_000  # points; of more, each second, third and so on
DOT, LETTER = 46.0, 16.0  # areas in square points
PANEL_SHARE = 0.8  # of a column of a figure: the width of a panel beside its labels


@dataclass(frozen=True, slots=True, kw_only=True)
class ScatterPanel(Dots):
    """The points of one panel."""

    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScatterSpec:
    """Points over two axes (or one), ready to be drawn."""

    title: str
    subtitle: str
    metric: str
    metric_kind: Kind
    x: Axis
    y: Axis | None
    panels: tuple[ScatterPanel, ...]
    marks: Mapping[str, Mark]
    legend: tuple[LegendEntry, ...]
    source: str


def scatter_spec(
    study: Study,
    points: pd.DataFrame,
    *,
    metric: str | None = None,
    horizons: Horizons | None = None,
    **axes: Unpack[ChosenAxes],
) -> ScatterSpec:
    """Describe a picture of points over two axes of a study; UserError where an axis or the metric is not known.

    Further axes of few values have panels; of others all values are drawn over one another, which the subtitle says.
    """
    metric = metric or first_metric(study)
    numbers = [name for name in mean_columns(study) if name in points]
    if metric not in (*LABEL_METRICS, *numbers):
        raise UserError(f"--metric {metric} is unknown; allowed: {', '.join((*LABEL_METRICS, *numbers))}")
    layout = lay_out(study, **axes)
    if layout.x is None:
        raise UserError("no axis is left to draw; allowed: leave at least one axis free")
    for name, value in layout.fixed.items():
        points = points[points[name] == value]
    facets = [axis for axis in layout.facets if axis.name in axes.get("facet", ()) or len(axis.values) <= MOST_FACETS]
    n_points = len(points)
    if n_points > MOST_DRAWN:
        points = points.iloc[:: -(-n_points // MOST_DRAWN)]
    panels = tuple(
        _panel(layout, _held(points, held), held, metric)
        for values in itertools.product(*(axis.values for axis in facets))
        for held in [dict(zip((axis.name for axis in facets), values, strict=True))]
    )
    shown = tuple(panel for panel in panels if len(panel.x)) or panels[:1]
    counts = Counter(name for panel in shown for name in panel.marks)
    marks = marks_of(study.phases)
    title, subtitle = _captions(study, layout, facets, (n_points, len(points)), metric, horizons)
    if any(panel.values is not None and np.isnan(panel.values).any() for panel in shown):
        subtitle = f"{subtitle} Crosses: points without a value.".strip()
    return ScatterSpec(
        title=title,
        subtitle=subtitle,
        metric=metric,
        metric_kind=column_kinds(study).get(metric, "number"),
        x=layout.x,
        y=layout.y,
        panels=shown,
        marks=marks,
        legend=tuple(LegendEntry(mark=mark, count=counts[name]) for name, mark in marks.items() if counts[name]),
        source=source_words(study),
    )


def _held(points: pd.DataFrame, held: Mapping[str, Any]) -> pd.DataFrame:
    for name, value in held.items():
        points = points[points[name].isna() if value is None else points[name] == value]
    return points


def _captions(
    study: Study,
    layout: Layout,
    facets: Sequence[Axis],
    n_points: tuple[int, int],
    metric: str,
    horizons: Horizons | None,
) -> tuple[str, str]:
    """Return the title and what is said below it; ``n_points`` are those that there are and those that are drawn."""
    over = [readable(axis.name) for axis in layout.facets if axis not in facets]
    there, drawn = n_points
    told = f"{there} measured points" if drawn == there else f"{drawn} of {there} measured points"
    quantity = None if metric in LABEL_METRICS else metric
    title, words = caption(study, layout.fixed, told, readable(quantity or ""))
    words += [f"all values of {' and '.join(over)}"] if over else []
    return title, sentences(", ".join(words), label_words(study, horizons) if quantity is None else "")


def _panel(layout: Layout, points: pd.DataFrame, held: Mapping[str, Any], metric: str) -> ScatterPanel:
    assert layout.x is not None
    return ScatterPanel(
        title=held_words(held),
        **_where(layout.x, layout.y, points),
        marks=label_states({name: points[name].to_numpy() for name in STATE_COLUMNS}, metric),
        values=None if metric in LABEL_METRICS else points[metric].to_numpy(dtype=float),
    )


def _where(x: Axis, y: Axis | None, rows: pd.DataFrame) -> dict[str, Floats]:
    """Return where rows are drawn over two axes, or over one at the same height."""
    return {"x": places(x, rows[x.name]), "y": places(y, rows[y.name]) if y else np.zeros(len(rows))}


def places(axis: Axis, values: pd.Series) -> Floats:
    """Return where values of an axis are drawn: numbers where they are, categories one apart."""
    if not axis.categorical:
        return values.to_numpy(dtype=float)
    known = {value: number for number, value in enumerate(axis.values)}
    return np.asarray([known.get(None if pd.isna(value) else value, np.nan) for value in values], dtype=float)


def inferred_spec(
    folder: RunFolder, study: Study, grid: Grid, *, metric: str | None = None, **axes: Unpack[ChosenAxes]
) -> FigureSpec:
    """Describe the map that a run's scattered points give over a grid, with these points where they were measured.

    It is white where nothing is known. UserError where the grid, an axis or the metric is not possible.
    """
    from phasemap.search.scattered import inferred_tables

    tables = inferred_tables(folder, study, grid)
    diagram = make_diagram(tables.study, tables.points, **axes)
    plain = figure_spec(diagram, metric, drawn_bands(diagram, tables.trials), horizons=horizons_of(tables.trials))
    spec = with_dots(plain, diagram, tables.trials)
    quantity = None if spec.metric in LABEL_METRICS else spec.metric
    seeds = f"inferred from {n_dots(spec)} measured points"
    panels = tuple(replace(p, marks=np.where(p.marks == "missing", NOTHING.name, p.marks)) for p in spec.panels)
    legend = tuple(replace(e, mark=NOTHING) if e.mark.name == "missing" else e for e in spec.legend)
    return replace(
        spec,
        title=caption(study, diagram.fixed, seeds, readable(quantity or ""))[0],
        key=tuple(text for text in spec.key if text not in (MEASURED_SIGN, INFERRED_SIGN if quantity else None)),
        x=_round_ticks(spec.x),
        y=_round_ticks(spec.y),
        panels=panels,
        marks={**spec.marks, NOTHING.name: NOTHING},
        legend=legend,
    )


def _round_ticks(axis: AxisSpec) -> AxisSpec:
    """Mark an axis of numbers at round ones, and not at the cells of a grid that nobody chose by its values."""
    if axis.scale == "ordinal":
        return axis
    low, high = axis.edges[[0, -1]]
    powers = 10.0 ** np.arange(np.ceil(np.log10(low)), np.floor(np.log10(high)) + 1) if axis.scale == "log" else ()
    ticks = np.asarray(powers if len(powers) > 1 else MaxNLocator(6).tick_values(low, high))
    ticks = ticks[(ticks >= low) & (ticks <= high)]
    minor = np.outer(ticks, np.arange(2, 10)).ravel() if len(powers) > 1 else ticks[:0]
    if len(ticks) > 2 and ticks[0] <= inside(axis.scale, axis.edges[[0, -1]], 0.04):
        ticks = ticks[1:]  # its label would run into the one at the end of the panel beside
    labels = tuple(show_value(float(f"{value:.6g}")) for value in ticks)
    return replace(axis, ticks=ticks, tick_labels=labels, minor=minor[minor <= high])


def with_dots(spec: FigureSpec, diagram: Diagram, trials: pd.DataFrame) -> FigureSpec:
    """Add to a map trials that were measured between its cells, each where it was measured."""
    ok = _held(trials[trials["status"] == "ok"], diagram.fixed)
    x, y = diagram.x.axis, None if diagram.strip else diagram.y.axis
    column = spec.metric if spec.metric in LABEL_METRICS else "subphase"
    panels = []
    for panel, of_panel in zip(spec.panels, diagram.panels, strict=True):
        here = _held(ok, of_panel.facet)
        quantity = panel.values is not None and spec.metric in here
        dots = Dots(
            **_where(x, y, here),
            marks=here[column].fillna("unlabelled").to_numpy(dtype=object),
            values=here[spec.metric].to_numpy(dtype=float) if quantity else None,
        )
        panels.append(replace(panel, dots=dots))
    return replace(spec, panels=tuple(panels))


def n_dots(spec: FigureSpec) -> int:
    """Count the dots in a figure."""
    return sum(len(panel.dots.x) for panel in spec.panels if panel.dots)


def draw_scatter(spec: ScatterSpec, page: float | None = None) -> Figure:
    """Draw all panels with one legend: beside them, or below where the figure's width is given."""
    columns = min(len(spec.panels), 4 if page is None else 2)
    rows = -(-len(spec.panels) // columns)
    handles = [label_handle(entry.mark) for entry in spec.legend]
    handles = handles if spec.panels[0].values is None else []
    if page is None:
        size = (columns * 4.6 + 2.6, max(rows * (3.9 if spec.y else 1.4) + 0.9, 0.24 * len(handles) + 1.0))
    else:
        size = (page, rows * (0.8 * page / columns if spec.y else 1.2) + below_inches(page, len(handles)))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    wide = 72 * PANEL_SHARE * size[0] / columns
    image: Any = None
    for number, ax in enumerate(grid.flat):
        if number >= len(spec.panels):
            ax.set_axis_off()
            continue
        image = draw_points(ax, spec, spec.panels[number])
        ax.set_title(fitted(spec.panels[number].title, wide, font_size()), parse_math=False)
        _label(ax.xaxis, spec.x, wide)
        lowest = number + columns >= len(spec.panels)
        ax.tick_params(labelbottom=lowest)
        ax.set_xlabel(readable(spec.x.name) if lowest else "")
        if spec.y:
            _label(ax.yaxis, spec.y, math.inf)
            ax.set_ylabel(readable(spec.y.name) if number % columns == 0 else "")
        else:
            ax.set_yticks([])
    write_title(figure, spec.title, spec.subtitle)
    if image is not None:
        add_colour_bar(figure, image, readable(spec.metric), ax=grid, shrink=0.8, pad=0.015)
    add_legend(figure, handles, page)
    return figure


def draw_points(ax: Axes, spec: ScatterSpec, panel: ScatterPanel) -> Any:
    """Draw one panel's points, and return them if they show a quantity."""
    if spec.x.scale == "log":
        ax.set_xscale("log")
    if spec.y and spec.y.scale == "log":
        ax.set_yscale("log")
    if panel.values is not None:
        there = np.isfinite(panel.values)
        norm = colour_scale(spec.metric_kind, np.concatenate([p.values for p in spec.panels if p.values is not None]))
        ax.plot(panel.x[~there], panel.y[~there], "x", color="#8a8a8a", markersize=4)
        look: dict[str, Any] = {"edgecolors": "#444444", "linewidths": 0.3, "rasterized": len(panel.x) > MOST_LETTERS}
        return ax.scatter(panel.x[there], panel.y[there], DOT * 0.6, panel.values[there], norm=norm, **look)
    lettered = len(panel.marks) <= MOST_LETTERS
    for name, mark in spec.marks.items():
        at = panel.marks == name
        if at.any():
            look = {"color": mark.colour, "edgecolors": "#444444", "linewidths": 0.3, "rasterized": not lettered}
            ax.scatter(panel.x[at], panel.y[at], DOT if lettered else DOT / 4, **look)
            if lettered and mark.letter:
                marker = _letter_marker(mark.letter)
                ax.scatter(panel.x[at], panel.y[at], LETTER, color=mark.ink, marker=marker, linewidths=0.2)
    return None


def _letter_marker(letter: str) -> Any:
    """Return a letter as a marker: a formula, or its outline where it has a meaning in formulas, as $ and _ have."""
    if letter.isalnum():
        return f"${letter}$"
    outline = TextPath((0, 0), letter, size=10)
    return outline.transformed(Affine2D().translate(*-outline.get_extents().get_points().mean(axis=0)))


def _label(axis: Any, drawn: Axis, length: float) -> None:
    """Label an axis of a length in points, whose points are drawn."""
    if drawn.categorical:
        labels = [show_value(value) for value in drawn.values]
        slanted = sum(text_width(label, font_size()) + 4 for label in labels) > length
        axis.set_ticks(range(len(labels)), labels=labels, parse_math=False, **SLANTED if slanted else {})
    elif drawn.scale == "log":
        label_log(axis)
    elif all(value % 1 == 0 for value in drawn.values):
        axis.get_major_locator().set_params(integer=True)


def coarse_spec(study: Study, points: pd.DataFrame) -> FigureSpec:
    """Return a map of a few cells, each with what most of its points have: for a look in the terminal."""
    spec = scatter_spec(study, points, metric="subphase")
    x, columns = _bins(spec.x, points[spec.x.name], BINS[0])
    y, rows = _bins(spec.y, points[spec.y.name], BINS[1]) if spec.y else (NO_AXIS, 0)
    labels = label_states({name: points[name].to_numpy() for name in STATE_COLUMNS}, "subphase")
    names = pd.DataFrame({"row": rows, "column": columns, "mark": labels})
    marks = np.full((len(y.edges) - 1, len(x.edges) - 1), "missing", dtype=object)
    for (row, column), own in names.groupby(["row", "column"])["mark"]:
        marks[row, column] = own.mode().iloc[0]
    nothing = np.zeros(marks.shape, dtype=bool)
    counts = Counter(labels)
    return FigureSpec(
        title=spec.title,
        subtitle=spec.subtitle,
        metric="subphase",
        metric_kind="number",
        x=x,
        y=y,
        panels=(PanelSpec(marks=marks, notes=np.where(nothing, marks, ""), inferred=nothing),),
        marks=spec.marks,
        legend=tuple(LegendEntry(mark=spec.marks[name], count=counts[name]) for name in spec.marks if counts[name]),
        source=spec.source,
        cells=True,
    )


def _bins(axis: Axis, values: pd.Series, most: int) -> tuple[AxisSpec, Any]:
    """Cut an axis into cells of equal width on its scale; return it with the cell of each value."""
    at, label = places(axis, values), readable(axis.name)
    if axis.categorical:
        edges: Floats = np.arange(len(axis.values) + 1, dtype=float) - 0.5
        labels = tuple(show_value(value) for value in axis.values)
        drawn = AxisSpec(label=label, scale="ordinal", edges=edges, ticks=edges[1:] - 0.5, tick_labels=labels)
        return drawn, at.astype(int)
    log = axis.scale == "log"
    at = np.log10(at) if log else at
    low, high = float(at.min()), float(at.max())
    n = most if high > low else 1
    edges = np.asarray(np.linspace(low, high, n + 1) if high > low else [low - 0.5, low + 0.5], dtype=np.float64)
    centres = (edges[1:] + edges[:-1]) / 2
    labels = tuple(f"{value:.2g}" for value in (10**centres if log else centres))
    drawn = AxisSpec(label=label, scale="linear", edges=edges, ticks=centres, tick_labels=labels)
    return drawn, np.clip(np.searchsorted(edges, at, side="right") - 1, 0, n - 1)
