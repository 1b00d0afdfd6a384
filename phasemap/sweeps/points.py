"""Where the trials of a sweep lie: on a grid of few values an axis, or each at its own place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from phasemap.study.axes import Scale, is_number, spacing

MOST_VALUES = 64  # of an axis of a grid
FEWEST_SHARE = 0.5  # of a grid's points that have a trial
LOG_RANGE = 100.0  # from which on positive numbers are drawn on a log scale


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


def grid_values(values: Sequence[Any]) -> list[Any]:
    """Return an axis's values, each once: numbers rising, others as they come."""
    distinct = list(dict.fromkeys(values))
    return sorted(distinct) if all(map(is_number, distinct)) else distinct


def scale_of(values: Sequence[Any], known: Scale | None) -> Scale:
    """Return the scale on which an axis of scattered values is drawn."""
    if not all(map(is_number, values)):
        return "ordinal"
    if min(values) > 0 and (known == "log" or (known is None and max(values) >= LOG_RANGE * min(values))):
        return "log"
    return "linear" if known != "ordinal" else spacing(values)
