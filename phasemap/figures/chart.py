"""Charts as data: panels of lines, histograms and dots; drawing adds nothing to them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phasemap.phases.strokes import Stroke

Floats = NDArray[np.float64]
Scale = Literal["linear", "log"]
ACCURACY_LIMITS = (-0.03, 1.04)


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


def histogram(label: str, colour: str, values: Floats, edges: Floats, hatch: str = "") -> Bars:
    """Return the share of the values (without nulls) between each two edges."""
    known = values[np.isfinite(values)]
    heights = np.histogram(known, edges)[0] / max(len(known), 1)
    return Bars(label=label, colour=colour, hatch=hatch, edges=edges, heights=heights)


def common_edges(values: Floats, n_bins: int = 40) -> Floats:
    """Return the borders of the bins that hold all finite values, for histograms that are compared."""
    known = values[np.isfinite(values)]
    if not len(known):
        return np.linspace(0.0, 1.0, n_bins + 1)
    low, high = float(known.min()), float(known.max())
    return np.linspace(low, high if high > low else low + 1.0, n_bins + 1)
