"""Where the trials of a sweep lie: on a grid of few values an axis, or each at its own place."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from phasemap.study.axes import Scale, is_number

MOST_VALUES = 64  # of an axis of a grid
FEWEST_SHARE = 0.5  # of a grid's points that have a trial
LOG_RANGE = 100.0  # of positive numbers that were drawn by their logarithm, at least
LOW_HALF = 0.15  # of their range holds half of them, at most


def varying(settings: Mapping[str, Sequence[Any]], axes: Sequence[str]) -> list[str]:
    """Return the axes, then the other settings that differ between trials."""
    others = [name for name, values in settings.items() if name not in axes and len(set(values)) > 1]
    return [*axes, *others]


def on_grid(columns: Sequence[Sequence[Any]]) -> bool:
    """Tell whether trials whose axes have these values lie on a grid: few values an axis, most of the points taken."""
    sizes = [len(set(values)) for values in columns]
    if max(sizes) > MOST_VALUES:
        return False
    return len(set(zip(*columns, strict=True))) >= FEWEST_SHARE * math.prod(sizes)


def scale_of(values: Sequence[Any], known: Scale | None) -> Scale:
    """Return the scale on which an axis of scattered values is drawn."""
    if not all(map(is_number, values)):
        return "ordinal"
    if min(values) > 0 and (known == "log" or (known is None and _drawn_by_log(values))):
        return "log"
    return "linear"


def _drawn_by_log(values: Sequence[float]) -> bool:
    """Whether numbers reach over magnitudes and crowd at the low end."""
    low, high = min(values), max(values)
    return high >= LOG_RANGE * low and statistics.median(values) - low < LOW_HALF * (high - low)
