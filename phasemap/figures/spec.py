"""Maps as data: what is drawn in each cell, along each axis and in the legend; drawing adds nothing to it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phasemap.diagram.bands import CONFIDENCE, Band, ribbons
from phasemap.diagram.coordinates import Coordinates, show_value
from phasemap.diagram.diagram import Diagram, Panel
from phasemap.diagram.frontier import Floats, MapFrontier
from phasemap.diagram.points import mean_columns
from phasemap.figures.captions import (
    ROBUST,
    Horizons,
    caption,
    held_words,
    label_words,
    left_out_words,
    seed_words,
    sentences,
    source_words,
)
from phasemap.phases.built_in import column_kinds
from phasemap.phases.marks import Mark, marks_of
from phasemap.phases.strokes import LineStyle, frontier_styles, frontier_words, readable, style_words
from phasemap.study.axes import Scale
from phasemap.study.conditions import Kind
from phasemap.study.errors import UserError
from phasemap.study.names import ROBUSTNESS
from phasemap.study.spec import Study

LABEL_METRICS = ("subphase", "phase")
STATE_COLUMNS = ("n_seeds", "n_failed", "n_diverged", *LABEL_METRICS)
"""The columns of points that ``label_states`` reads."""
NOTES = {"split": "seeds disagree", "lost": "some seeds failed or diverged", "partial": "some seeds not trained yet"}
"""What the sign in a cell's corner says."""
SIGN_WORDS = {"split": "dot in a corner", "lost": "cross in a corner", "partial": "ring in a corner"}
NOTHING = Mark(name="nothing_known", letter="", colour="#ffffff")  # what a model says of where no trial is near
INFERRED_SIGN = "hatched: inferred, not measured"
MEASURED_SIGN = "dot in the middle: measured"
MOST_HEADS = 8  # columns of panels that have one head each
MOST_MINOR = 60  # ticks between the values of an axis


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisSpec:
    """An axis of a picture: its cells' borders and ticks, in the numbers that are drawn."""

    label: str
    scale: Scale
    edges: Floats  # (n + 1,)
    ticks: Floats  # (n,), of a map inferred from scattered points at round numbers
    tick_labels: tuple[str, ...]
    minor: Floats = field(default_factory=lambda: np.empty(0))  # (m,): even steps between uneven ticks


NO_AXIS = AxisSpec(label="", scale="ordinal", edges=np.asarray([-0.5, 0.5]), ticks=np.empty(0), tick_labels=())
"""What stands for the second axis of a strip, which has only one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSpec:
    """One line of a frontier, (n, 2) in the numbers that are drawn."""

    kind: str
    points: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Dots:
    """Points that were measured beside the cells of a map: n of them, in the numbers that are drawn."""

    x: Floats
    y: Floats
    marks: NDArray[np.object_]
    values: Floats | None  # the quantity, where the metric is one


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelSpec:
    """One map of a figure; arrays are (ny, nx)."""

    title: str = ""
    marks: NDArray[np.object_]  # names of the figure's marks
    values: Floats | None = None  # the quantity, where the metric is one
    notes: NDArray[np.object_]  # "" or a key of NOTES
    inferred: NDArray[np.bool_]  # what a search did not measure
    lines: tuple[LineSpec, ...] = ()
    bands: tuple[LineSpec, ...] = ()  # the outline of the ribbon in which a frontier may lie
    dots: Dots | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LegendEntry:
    """A label of the legend with the number of points that have it, and of those that are inferred."""

    mark: Mark
    count: int
    inferred: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureSpec:
    """A phase diagram, or a map of one quantity, ready to be drawn."""

    title: str
    subtitle: str
    key: tuple[str, ...] = ()  # what lines and signs mean, in words
    metric: str
    metric_kind: Kind  # of a quantity: which decides its colours
    x: AxisSpec
    y: AxisSpec  # NO_AXIS of a strip
    panels: tuple[PanelSpec, ...]
    marks: Mapping[str, Mark]  # of every label and of points without one
    columns: int = 1
    legend: tuple[LegendEntry, ...]
    frontiers: tuple[tuple[str, str, LineStyle], ...] = ()  # kind, meaning, line style
    source: str  # the study that was drawn, with its hash
    cells: bool = False  # whether each cell has its letter, and not each region its name
    heads: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())  # of rows and columns, in place of the panels' titles

    @property
    def strip(self) -> bool:
        """Whether there is only one axis."""
        return not self.y.label

    @property
    def values(self) -> Floats:
        """The quantity in all panels, flat; of a picture of labels none."""
        return np.concatenate([np.empty(0), *(p.values.ravel() for p in self.panels if p.values is not None)])


def first_metric(study: Study) -> str:
    """Return what a map shows unless told otherwise: the labels, or the first quantity of a study that has none."""
    return LABEL_METRICS[0] if study.phases.labels else next(iter(study.recorded.quantities))


def figure_spec(
    diagram: Diagram,
    metric: str | None = None,
    bands: Sequence[Sequence[Band]] = (),
    *,
    cells: bool = False,
    horizons: Horizons | None = None,
) -> FigureSpec:
    """Describe a diagram's picture, with the frontiers' bands in each panel; UserError if the metric is unknown.

    ``horizons`` are the steps at which the trials behind the points were labelled.
    """
    metric = metric or first_metric(diagram.study)
    _check_metric(diagram, metric)
    # a band over a quantity would change its colours
    drawn_bands = (bands if metric in LABEL_METRICS else ()) or ((),) * len(diagram.panels)
    panels = tuple(_panel(diagram, number, drawn_bands[number], metric) for number in range(len(diagram.panels)))
    counts = Counter(name for panel in panels for name in panel.marks.ravel().tolist())
    inferred = Counter(name for panel in panels for name in panel.marks[panel.inferred].tolist())
    drawn = {line.kind for panel in panels for line in panel.lines}
    marks = marks_of(diagram.study.phases)
    quantity = None if metric in LABEL_METRICS else metric
    frontiers = tuple(look for look in frontier_looks(diagram.frontiers) if look[0] in drawn)
    seeds = seed_words(diagram.study, quantity)
    title, settings = caption(diagram.study, diagram.fixed, seeds, readable(quantity or ""))
    cut = left_out_words(len(diagram.panels), diagram.left_out) if diagram.left_out else ""
    robust = ROBUST if metric == ROBUSTNESS else ""
    return FigureSpec(
        title=title,
        subtitle=sentences(", ".join(settings), label_words(diagram.study, horizons, quantity), robust, cut),
        key=_key(diagram.study, panels, frontiers, labelled=quantity is None),
        metric=metric,
        metric_kind=column_kinds(diagram.study).get(metric, "number"),
        x=_axis(diagram.x),
        y=NO_AXIS if diagram.strip else _axis(diagram.y),
        panels=panels,
        marks=marks,
        columns=_columns([len(axis.values) for axis in diagram.facets], len(panels)),
        legend=tuple(
            LegendEntry(mark=mark, count=counts[name], inferred=inferred[name])
            for name, mark in marks.items()
            if counts[name]
        ),
        frontiers=frontiers,
        source=source_words(diagram.study),
        cells=cells,
        heads=_heads(diagram),
    )


def _key(
    study: Study, panels: Sequence[PanelSpec], frontiers: Sequence[tuple[str, str, LineStyle]], *, labelled: bool
) -> tuple[str, ...]:
    """Say what each kind of line and sign of a figure means."""
    told = [f"{style_words(style)}: {meaning}" for _, meaning, style in frontiers]
    if any(panel.bands for panel in panels):
        over = "over the seeds" if study.search.kind == "grid" else "where it is inferred"
        told.append(f"ribbon: {100 * CONFIDENCE:.0f} % band of a frontier {over}")
    if any(panel.inferred.any() for panel in panels):
        told.append(INFERRED_SIGN)
        told += [MEASURED_SIGN] if labelled else []
    if not labelled:
        return tuple(told)
    seen = {note for panel in panels for note in panel.notes.ravel().tolist()}
    return (*told, *(f"{SIGN_WORDS[note]}: {words}" for note, words in NOTES.items() if note in seen))


def frontier_looks(frontiers: Sequence[MapFrontier]) -> tuple[tuple[str, str, LineStyle], ...]:
    """Return the name, the meaning and the line style of each frontier."""
    styles = frontier_styles(frontier.name for frontier in frontiers)
    return tuple((f.name, frontier_words(f.name, f.quantity, f.against, f.level), styles[f.name]) for f in frontiers)


def _tick_labels(axis: Coordinates) -> tuple[str, ...]:
    """Write an axis's values; those of a logarithmic range with three digits, or as many as tell them apart."""
    for digits in (3, 4, 5) if axis.scale == "log" else ():
        rounded = tuple(show_value(float(f"{value:.{digits}g}")) for value in axis.values)
        if len(set(rounded)) == len(rounded):
            return rounded
    return tuple(show_value(value) for value in axis.values)


def _check_metric(diagram: Diagram, metric: str) -> None:
    """UserError unless a metric is a label or a column of numbers of the diagram's points."""
    grid, axes = diagram.panels[0].grid, diagram.study.axis_names
    if metric == ROBUSTNESS not in grid:
        raise UserError("the robustness of these labels is not known; allowed: Run.plot over the study's own axes")
    numbers = [name for name, values in grid.items() if name not in axes and values.dtype.kind in "fiu"]
    if metric not in (*LABEL_METRICS, *numbers):
        raise UserError(f"--metric {metric} is unknown; allowed: {', '.join(metrics_of(diagram.study))}")


def metrics_of(study: Study) -> tuple[str, ...]:
    """Return what a map of a study may show: labels, means of quantities, robustness."""
    return (*LABEL_METRICS, *mean_columns(study), ROBUSTNESS)


def cell_marks(panel: Panel, metric: str) -> NDArray[np.object_]:
    """Name the mark of each cell; see ``label_states``."""
    return label_states(panel.grid, metric)


def label_states(points: Mapping[str, NDArray[Any]], metric: str) -> NDArray[np.object_]:
    """Name the mark of each point: its label, or why it has none (failed, diverged, missing, or it can't be told)."""
    column = metric if metric in LABEL_METRICS else "subphase"
    labels = points[column]
    known = (points["n_seeds"] > 0) | np.asarray(points.get("inferred", False), dtype=bool)
    reasons = [known, points["n_failed"] > 0, points["n_diverged"] > 0]
    state = np.select(reasons, ["unlabelled", "failed", "diverged"], "missing")
    return np.where(pd.isna(labels), state.astype(object), labels)


def _panel(diagram: Diagram, number: int, bands: Sequence[Band], metric: str) -> PanelSpec:
    panel = diagram.panels[number]
    lines = [
        LineSpec(kind=frontier.name, points=_drawn_places(diagram, line))
        for frontier in diagram.frontiers
        for line in diagram.frontier_positions(panel, frontier, to_frame=True)
    ]
    outlines = [
        LineSpec(kind=band.kind, points=_drawn_places(diagram, outline))
        for band in bands
        for outline in ribbons(diagram, number, band)
    ]
    values = None if metric in LABEL_METRICS else panel.grid[metric].astype(float)
    return PanelSpec(
        title=held_words(panel.facet),
        marks=cell_marks(panel, metric),
        values=values,
        notes=_notes(panel, diagram.study),
        inferred=panel.grid["inferred"].astype(bool),
        lines=tuple(lines),
        bands=tuple(outlines),
    )


def _drawn_places(diagram: Diagram, line: Floats) -> Floats:
    """Turn places (n, 2) in positions into the numbers that are drawn."""
    return np.stack([_drawn(diagram.x, line[:, 0]), _drawn(diagram.y, line[:, 1])], axis=1)


def _notes(panel: Panel, study: Study) -> NDArray[np.object_]:
    """Say of labelled cells that some seeds failed or diverged, are not trained yet, or disagree.

    A search leaves out seeds where one tells enough.
    """
    labelled = panel.grid["n_seeds"] > 0
    lost = labelled & ((panel.grid["n_failed"] > 0) | (panel.grid["n_diverged"] > 0))
    split = labelled & (panel.grid["agreement"].astype(float) < 1)
    seen = panel.grid["n_seeds"] + panel.grid["n_failed"] + panel.grid["n_diverged"]
    partial = labelled & (seen < len(study.seeds)) & (study.search.kind == "grid")
    return np.select([lost, partial, split], ["lost", "partial", "split"], "").astype(object)


def _drawn(axis: Coordinates, positions: Floats) -> Floats:
    """Turn positions into the numbers that are drawn: values on a log axis, else the positions."""
    return np.asarray(10**positions) if axis.scale == "log" else positions


def _axis(axis: Coordinates) -> AxisSpec:
    return AxisSpec(
        label=readable(axis.axis.name),
        scale=axis.scale,
        edges=_drawn(axis, axis.edges),
        ticks=_drawn(axis, axis.positions),
        tick_labels=_tick_labels(axis),
        minor=_minor(axis),
    )


def _minor(axis: Coordinates) -> Floats:
    """Return where even steps of the value lie between the ticks of unevenly spaced numbers.

    Where these stand one cell apart, the steps crowd where a cell spans much, as on a logarithmic axis.
    """
    values = np.asarray(axis.values, dtype=float) if not axis.axis.categorical else np.zeros(1)
    if axis.axis.scale != "ordinal" or len(values) < 3:
        return np.empty(0)
    sizes = [one * 10.0**power for power in range(-12, 13) for one in (1, 2, 5)]
    least, whole = np.diff(values).min(), values[-1] - values[0]
    step = next((size for size in sizes if size >= 0.99 * least and whole / size <= MOST_MINOR), whole)
    steps = np.arange(np.ceil(values[0] / step), np.floor(values[-1] / step) + 1) * step
    return np.asarray(steps if axis.scale == "linear" else np.interp(steps, values, axis.positions))


def _columns(sizes: Sequence[int], n_panels: int) -> int:
    """Return the panels per row: the last facet's values if there are two facets, else at most four."""
    if len(sizes) == 2:
        return min(sizes[1], MOST_HEADS)
    return min(n_panels, 4)


def _heads(diagram: Diagram) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the heads of rows and columns, where these are the values of two facets."""
    sizes = [len(axis.values) for axis in diagram.facets]
    if len(sizes) != 2 or sizes[1] > MOST_HEADS:
        return (), ()
    rows, columns = (tuple(held_words({axis.name: value}) for value in axis.values) for axis in diagram.facets)
    return tuple(itertools.islice(rows, -(-len(diagram.panels) // sizes[1]))), columns
