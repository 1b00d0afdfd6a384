"""Figures as data: what is drawn in each cell, along each axis and in the legend; drawing adds nothing to it."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phasemap.diagram.bands import LEVEL, Band
from phasemap.diagram.coordinates import Coordinates, show_value
from phasemap.diagram.diagram import STEP, Diagram, Panel
from phasemap.diagram.frontier import Floats, MapFrontier
from phasemap.diagram.points import mean_columns
from phasemap.phases.built_in import column_kinds
from phasemap.phases.marks import Mark, marks_of
from phasemap.phases.strokes import LineStyle, frontier_styles, frontier_words, readable
from phasemap.study.axes import Scale
from phasemap.study.conditions import Kind
from phasemap.study.errors import UserError
from phasemap.study.names import ROBUSTNESS
from phasemap.study.spec import NetworkStudy, Study
from phasemap.study.writing import study_hash

LABEL_METRICS = ("subphase", "phase")

SOURCES = {"images": ("dataset", "of"), "arrays": ("path", "of")}  # what tells a task further, and the word before it
OFTEN_OFF = ("weight_decay", "dropout", "corruption", "corruption_kind")  # not worth a word at their default


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisSpec:
    """An axis of a picture: its cells' borders and ticks, in the numbers that are drawn."""

    label: str
    scale: Scale
    edges: Floats  # (n + 1,)
    ticks: Floats  # (n,)
    tick_labels: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSpec:
    """One line of a frontier, (n, 2) in the numbers that are drawn."""

    kind: str
    points: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class BandSpec:
    """Where a frontier may lie in each row (c,), or column, that it crosses, in the numbers that are drawn."""

    kind: str
    along: Literal["x", "y"]
    row: NDArray[np.int64]
    low: Floats
    high: Floats


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

    title: str
    marks: NDArray[np.object_]  # names of the figure's marks
    values: Floats | None  # the quantity, where the metric is one
    notes: NDArray[np.object_]  # "" or what a corner dot says: seeds disagree, some failed
    inferred: NDArray[np.bool_]  # what a search did not measure
    lines: tuple[LineSpec, ...]
    bands: tuple[BandSpec, ...] = ()
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
    metric: str
    metric_kind: Kind  # of a quantity: which decides its colours
    x: AxisSpec
    y: AxisSpec | None
    panels: tuple[PanelSpec, ...]
    marks: Mapping[str, Mark]  # of every label and of points without one
    columns: int
    legend: tuple[LegendEntry, ...]
    frontiers: tuple[tuple[str, str, LineStyle], ...]  # kind, meaning, line style
    band_words: str  # what the bands hold
    source: str  # the study that was drawn, with its hash


def first_metric(study: Study) -> str:
    """Return what a map shows unless told otherwise: the labels, or the first quantity of a study that has none."""
    return LABEL_METRICS[0] if study.phases.labels else next(iter(study.recorded.quantities))


def figure_spec(diagram: Diagram, metric: str | None = None, bands: Sequence[Sequence[Band]] = ()) -> FigureSpec:
    """Describe a diagram's picture, with the frontiers' bands in each panel; UserError if the metric is unknown."""
    metric = metric or first_metric(diagram.study)
    _check_metric(diagram, metric)
    # a band over a quantity would change its colours
    drawn_bands = (bands if metric in LABEL_METRICS else ()) or ((),) * len(diagram.panels)
    panels = tuple(_panel(diagram, *both, metric) for both in zip(diagram.panels, drawn_bands, strict=True))
    counts = Counter(name for panel in panels for name in panel.marks.ravel().tolist())
    inferred = Counter(name for panel in panels for name in panel.marks[panel.inferred].tolist())
    drawn = {line.kind for panel in panels for line in panel.lines}
    marks = marks_of(diagram.study.phases)
    return FigureSpec(
        title=diagram.study.name,
        subtitle=setting_line(diagram, metric),
        metric=metric,
        metric_kind=column_kinds(diagram.study).get(metric, "number"),
        x=_axis(diagram.x),
        y=None if diagram.strip else _axis(diagram.y),
        panels=panels,
        marks=marks,
        columns=_columns([len(axis.values) for axis in diagram.facets], len(panels)),
        legend=tuple(
            LegendEntry(mark=mark, count=counts[name], inferred=inferred[name])
            for name, mark in marks.items()
            if counts[name]
        ),
        frontiers=tuple(look for look in frontier_looks(diagram.frontiers) if look[0] in drawn),
        band_words=f"{100 * LEVEL:.0f} % band of the frontier {_band_of(diagram.study)}",
        source=source_words(diagram.study),
    )


def frontier_looks(frontiers: Sequence[MapFrontier]) -> tuple[tuple[str, str, LineStyle], ...]:
    """Return the name, the meaning and the line style of each frontier."""
    styles = frontier_styles(frontier.name for frontier in frontiers)
    return tuple((f.name, frontier_words(f.name, f.quantity, f.against, f.level), styles[f.name]) for f in frontiers)


def _check_metric(diagram: Diagram, metric: str) -> None:
    """UserError unless a metric is a label or a column of numbers of the diagram's points."""
    grid, axes = diagram.panels[0].grid, diagram.study.axis_names
    if metric == ROBUSTNESS not in grid:
        raise UserError("robustness is not known of this diagram; allowed: Run.plot over the study's own axes")
    numbers = [name for name, values in grid.items() if name not in axes and values.dtype.kind in "fiu"]
    if metric not in (*LABEL_METRICS, *numbers):
        known = (*LABEL_METRICS, *mean_columns(diagram.study), ROBUSTNESS)
        raise UserError(f"--metric {metric} is unknown; allowed: {', '.join(known)}")


def _band_of(study: Study) -> str:
    return "over seeds" if study.search.kind == "grid" else "where it is inferred"


def source_words(study: Study) -> str:
    """Name a study and its hash, for a file's metadata; ``step`` is no axis of the study itself."""
    study = study.model_copy(update={"axes": tuple(axis for axis in study.axes if axis.name != STEP)})
    return f"study {study.name}, hash {study_hash(study)}"


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


def setting_line(diagram: Diagram, metric: str) -> str:
    """Say in one line what all points of a diagram share."""
    text = [*setting_words(diagram.study, diagram.fixed), _seed_words(diagram.study, metric)]
    if diagram.left_out:
        text.append(left_out_words(len(diagram.panels), diagram.left_out))
    return ", ".join(text)


def setting_words(study: Study, fixed: Mapping[str, Any]) -> list[str]:
    """Name the settings that all points of a figure share, the fixed axes among them."""
    settings = {**study.settings(), **fixed}
    if not isinstance(study, NetworkStudy):
        told = {name: value for name, value in study.settings().items() if value != study.declared[name].default}
        horizon = [study.phases.horizon_words] if study.phases.at_step is not None else []
        return [*(f"{readable(name)} {show_value(value)}" for name, value in {**told, **fixed}.items()), *horizon]
    text = [str(settings["task"]).replace("_", " ")] if "task" in settings else []
    source, word = SOURCES.get(settings.get("task", ""), ("modulus", "p"))
    text += [f"{word} {show_value(settings[source])}"] if source in settings else []
    text += [f"width {settings['width']}"] if "width" in settings else []
    shown = {"task", source, "width"}
    names = ("activation", "loss", "steps", "data_fraction", "weight_decay", "dropout", "corruption", "corruption_kind")
    shown |= set(names)
    for name in names:
        default = name in OFTEN_OFF and settings.get(name) in (0, "symmetric")
        if name in settings and (name in fixed or not default):
            value = show_value(settings[name])
            text.append(_in_words(name, value))
    if STEP not in study.axis_names and study.phases.at_step is not None:
        text.append(study.phases.horizon_words)
    return text + [f"{readable(name)} {show_value(value)}" for name, value in fixed.items() if name not in shown]


def left_out_words(n_panels: int, left_out: int) -> str:
    """Say that a figure with very many panels was cut."""
    return f"the first {n_panels} of {n_panels + left_out} panels"


def _in_words(name: str, value: str) -> str:
    if name in ("activation", "loss"):
        return readable(value)
    return f"{value} steps" if name == "steps" else f"{readable(name)} {value}"


def held_words(held: Mapping[str, Any]) -> str:
    """Name the values at which a panel's axes are held."""
    return ", ".join(f"{readable(name)} {show_value(value)}" for name, value in held.items())


def _seed_words(study: Study, metric: str) -> str:
    """Say how many seeds a map has, and what is drawn of several."""
    if len(study.seeds) == 1:
        return "1 seed: no spread known"
    seeds = f"{'' if study.search.kind == 'grid' else 'up to '}{len(study.seeds)} seeds"
    if metric == ROBUSTNESS:  # a share of labels, and no seed's own
        return seeds
    return f"{seeds} (majority)" if metric in LABEL_METRICS else f"mean of {seeds}"


def _panel(diagram: Diagram, panel: Panel, bands: Sequence[Band], metric: str) -> PanelSpec:
    lines = []
    for frontier in diagram.frontiers:
        for line in diagram.frontier_positions(panel, frontier, to_frame=True):
            lines.append(
                LineSpec(
                    kind=frontier.name,
                    points=np.stack([_drawn(diagram.x, line[:, 0]), _drawn(diagram.y, line[:, 1])], 1),
                )
            )
    values = None if metric in LABEL_METRICS else panel.grid[metric].astype(float)
    return PanelSpec(
        title=held_words(panel.facet),
        marks=cell_marks(panel, metric),
        values=values,
        notes=_notes(panel, diagram.study),
        inferred=panel.grid["inferred"].astype(bool),
        lines=tuple(lines),
        bands=tuple(_band(diagram, band) for band in bands),
    )


def _band(diagram: Diagram, band: Band) -> BandSpec:
    axis = diagram.x if band.along == "x" else diagram.y
    low, high = _drawn(axis, band.low), _drawn(axis, band.high)
    return BandSpec(kind=band.kind, along=band.along, row=band.row, low=low, high=high)


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
    return np.asarray(10**positions) if axis.axis.scale == "log" else positions


def _axis(axis: Coordinates) -> AxisSpec:
    return AxisSpec(
        label=readable(axis.axis.name),
        scale=axis.axis.scale,
        edges=_drawn(axis, axis.edges),
        ticks=_drawn(axis, axis.positions),
        tick_labels=tuple(show_value(value) for value in axis.values),
    )


def _columns(sizes: Sequence[int], n_panels: int) -> int:
    """Return the panels per row: the last facet's values if there are two facets, else at most four."""
    if len(sizes) == 2:
        return min(sizes[1], 8)
    return min(n_panels, 4)


def wrapped(text: str, width: int) -> str:
    """Break a text into lines of at most ``width`` characters."""
    return "\n".join(textwrap.wrap(text, width)) if text else ""
