"""Charts as data: the points of a run as panels of lines, histograms and dots; drawing adds nothing to them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phasemap.diagram.coordinates import Coordinates
from phasemap.diagram.diagram import MOST_PANELS, Layout, Panel
from phasemap.figures.captions import caption, held_words, horizons_of, label_words, left_out_words, sentences
from phasemap.figures.spec import cell_marks
from phasemap.phases.strokes import Stroke, readable
from phasemap.study.axes import Axis
from phasemap.study.errors import UserError
from phasemap.study.spec import Study
from phasemap.study.trials import expand

Floats = NDArray[np.float64]
Scale = Literal["linear", "log"]
ACCURACY_LIMITS = (-0.03, 1.04)
SHARE_EDGES = np.linspace(0.0, 1.0, 41)  # of a histogram's bins, where values are shares


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A line (n,) with a band from ``low`` to ``high`` where several seeds were merged."""

    stroke: Stroke
    x: Floats
    y: Floats
    low: Floats | None = None
    high: Floats | None = None
    thin: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A vertical line at one place, with a letter above it."""

    stroke: Stroke
    x: float
    letter: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """A histogram: heights (n,) between edges (n + 1,)."""

    label: str
    colour: str
    hatch: str = ""
    edges: Floats
    heights: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Dots:
    """Single points (n,)."""

    stroke: Stroke
    x: Floats
    y: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartPanel:
    """One pair of axes; ``note`` says why nothing is drawn."""

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...] = ()
    events: tuple[Event, ...] = ()
    bars: tuple[Bars, ...] = ()
    dots: tuple[Dots, ...] = ()
    x_scale: Scale = "linear"
    y_scale: Scale = "linear"
    x_ticks: tuple[float, ...] = ()  # where the axis's own values should stand
    y_limits: tuple[float, float] | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A figure of panels, row by row; ``shared`` panels have the same axes, labelled at the border only."""

    kind: str
    metric: str | None
    title: str
    subtitle: str
    panels: tuple[ChartPanel, ...]
    columns: int
    shared: bool = True
    source: str = ""  # the study that was drawn, with its hash


def pooled(stroke: Stroke, frame: pd.DataFrame, along: str, column: str, *, thin: bool = False) -> Series | None:
    """Return the mean over the trials at each value of ``along``, with the range; None where all is null."""
    values = frame.dropna(subset=column).groupby(along)[column]
    if not len(values):
        return None
    mean, low, high = values.mean(), values.min(), values.max()
    series = Series(stroke=stroke, x=mean.index.to_numpy(dtype=float), y=mean.to_numpy(dtype=float), thin=thin)
    if frame["trial_id"].nunique() < 2:
        return series
    return replace(series, low=low.to_numpy(dtype=float), high=high.to_numpy(dtype=float))


def drawn(lines: Iterable[Series | None]) -> tuple[Series, ...]:
    """Return the lines that there are."""
    return tuple(line for line in lines if line is not None)


def histogram(label: str, colour: str, values: Floats, edges: Floats, hatch: str = "") -> Bars:
    """Return the share of the values (without nulls) between each two edges."""
    known = values[np.isfinite(values)]
    heights = np.histogram(known, edges)[0] / max(len(known), 1)
    return Bars(label=label, colour=colour, hatch=hatch, edges=edges, heights=heights)


def common_edges(values: Floats) -> Floats:
    """Return the borders of the bins that hold all finite values, for histograms that are compared."""
    known = values[np.isfinite(values)]
    if not len(known):
        return SHARE_EDGES
    low, high = float(known.min()), float(known.max())
    return np.linspace(low, high if high > low else low + 1.0, len(SHARE_EDGES))


MOST_COLUMNS = 12
NOT_RECORDED = "not recorded"
LABEL_COLUMNS = ("subphase", "n_seeds", "n_failed", "n_diverged", "inferred")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartTables:
    """A run's tables; ``neurons`` holds only what was recorded, and may be empty."""

    study: Study
    trials: pd.DataFrame
    points: pd.DataFrame
    curves: pd.DataFrame
    neurons: pd.DataFrame

    def recorded(self, record: str) -> pd.DataFrame:
        """Return the rows of one record; UserError if the run has none."""
        rows = self.neurons[self.neurons["record"] == record] if len(self.neurons) else self.neurons
        if not len(rows):
            raise not_recorded(self.study, record)
        return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelPoint:
    """One point: the values that vary in the figure, its label, and its trials that ended ``ok``."""

    held: Mapping[str, Any]
    mark: str  # a label, or why there is none
    verdict: str
    trial_ids: tuple[str, ...]
    seeds: tuple[int, ...]

    @property
    def title(self) -> str:
        """The point and its label, as a panel's title."""
        return "\n".join(filter(None, [held_words(self.held), self.verdict]))

    def rows(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of this point's trials."""
        return frame[frame["trial_id"].isin(self.trial_ids)]

    def first(self, frame: pd.DataFrame) -> tuple[int, pd.DataFrame]:
        """Return the first seed of this point that has rows, and its rows; UserError if none has."""
        for trial_id, seed in zip(self.trial_ids, self.seeds, strict=True):
            rows = frame[frame["trial_id"] == trial_id]
            if len(rows):
                return seed, rows
        raise UserError(f"nothing was recorded at this point ({self.verdict}); allowed: another point")


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelGrid:
    """The panels of a chart of a run, row by row: the values that each of them holds."""

    tables: ChartTables
    layout: Layout
    places: tuple[Mapping[str, Any], ...]
    columns: int
    left_out: int = 0

    @classmethod
    def of(cls, tables: ChartTables, layout: Layout, *, with_x: bool = True, columns: int | None = None) -> PanelGrid:
        """Give each combination of the layout's axes, or of all but x, a place; see ``spread``."""
        axes = [*layout.facets, *filter(None, [layout.y, layout.x if with_x else None])]
        places, columns, left_out = spread(axes, columns)
        return cls(tables=tables, layout=layout, places=places, columns=columns, left_out=left_out)

    def points(self) -> tuple[PanelPoint, ...]:
        """Find the trials and the label at each place."""
        return tuple(map(self.point, self.places))

    def point(self, held: Mapping[str, Any]) -> PanelPoint:
        """Find the trials and the label of one point."""
        study, tables = self.tables.study, self.tables
        values = {**self.layout.fixed, **held}
        places = [axis.values.index(values[axis.name]) for axis in study.axes]
        number = int(np.ravel_multi_index(places, [len(axis.values) for axis in study.axes]))
        ids = [trial.trial_id for trial in expand(study, [tuple(values[name] for name in study.axis_names)])]
        trials = tables.trials[tables.trials["trial_id"].isin(ids)].set_index("trial_id").reindex(ids)
        row = {name: tables.points[name].to_numpy()[[number]] for name in LABEL_COLUMNS}
        mark = str(cell_marks(Panel(facet={}, grid=row), "subphase")[0])
        ok = trials[trials["status"] == "ok"]
        return PanelPoint(
            held=held,
            mark=mark,
            verdict=_verdict(mark, trials),
            trial_ids=tuple(ok.index),
            seeds=tuple(int(seed) for seed in ok["seed"]),
        )

    def chart(self, kind: str, panels: Iterable[ChartPanel], what: str, seeds: str, **look: Any) -> Chart:
        """Return panels as a chart: its title says ``what`` is drawn, its subtitle what all panels share.

        ``seeds`` says how several are shown; ``look`` has further fields of the chart.
        """
        study, n_seeds = self.tables.study, len(self.tables.study.seeds)
        told = "1 seed" if n_seeds == 1 else f"{n_seeds} seeds ({seeds})"
        title, settings = caption(study, self.layout.fixed, "", what)
        labels = label_words(study, horizons_of(self.tables.trials))
        cut = left_out_words(len(self.places), self.left_out) if self.left_out else ""
        subtitle = sentences(", ".join([*settings, told]), labels, cut)
        given = {"metric": None, "columns": self.columns} | look
        return Chart(kind=kind, title=title, subtitle=subtitle, panels=tuple(panels), **given)


def spread(axes: Sequence[Axis], columns: int | None = None) -> tuple[tuple[Mapping[str, Any], ...], int, int]:
    """Return a place for each combination of axis values, how many stand in a row, and how many are left out.

    The last axis's values go to the right, those of the one before it up. With ``columns`` every place fills a whole
    row of so many panels. What would not fit into MOST_PANELS is left out.
    """
    values = [Coordinates(axis).values for axis in axes]
    total = math.prod(map(len, values))
    if columns:
        most = MOST_PANELS // columns
    elif len(axes) > 1:
        values[-1] = values[-1][:MOST_COLUMNS]
        columns = len(values[-1])
        rows = MOST_PANELS // columns
        most = rows * columns
        values[-2] = values[-2][: rows if len(axes) == 2 else None][::-1]  # from below, as in the map
    else:
        columns, most = min(total, 4), MOST_PANELS
    names = [axis.name for axis in axes]
    kept = itertools.islice(itertools.product(*values), most)
    places = tuple(dict(zip(names, point, strict=True)) for point in kept)
    return places, columns, total - len(places)


def _verdict(mark: str, trials: pd.DataFrame) -> str:
    """Say the label, how many of the seeds share it, and what became of the others."""
    status = trials["status"]
    n_ok = int((status == "ok").sum())
    same = int((trials["subphase"] == mark).sum())
    notes = [f"{same} of {n_ok} seeds"] if same < n_ok else []
    if n_ok:
        lost = {
            "failed": int((status == "failed").sum()),
            "diverged": int((status == "diverged").sum()),
            "not trained yet": int(status.isna().sum()),
        }
        notes += [f"{n} {what}" for what, n in lost.items() if n]
    return readable(mark) + (f" ({', '.join(notes)})" if notes else "")


def not_recorded(study: Study, *wanted: str) -> UserError:
    """Return the mistake that a run has not recorded what is asked for, one of ``wanted``."""
    if set(wanted) & set(study.record):
        return UserError(f"the run of {study.name} has no record of {', '.join(wanted)} yet; allowed: run it first")
    needed = f"record: [{wanted[0]}]" if len(wanted) == 1 else "record: with one of them"
    return UserError(
        f"the run of {study.name} has no record of {', '.join(wanted)}: "
        f"its study has record: [{', '.join(study.record)}]; needed: {needed}"
    )
