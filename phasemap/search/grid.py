"""Grid search: every point, coarse to fine, so that a partial run already shows the whole map."""

from __future__ import annotations

import itertools
from typing import Any

from phasemap.study.spec import Study


def levels(n: int) -> list[int]:
    """Return for each of n values the round of halving in which a coarse-to-fine scan reaches it; the ends are 0."""
    rounds = [0] * n
    spans = [(0, n - 1)]
    level = 1
    while spans:
        halves = []
        for left, right in spans:
            if right - left < 2:
                continue
            middle = (left + right) // 2
            rounds[middle] = level
            halves += [(left, middle), (middle, right)]
        spans, level = halves, level + 1
    return rounds


def coarse_to_fine(study: Study) -> list[tuple[Any, ...]]:
    """Return all points of a study's grid, those on the coarsest sub-grid first."""
    per_axis = [list(zip(levels(len(axis.values)), axis.values, strict=True)) for axis in study.axes]
    combined = [
        (max(level for level, _ in combination), tuple(value for _, value in combination))
        for combination in itertools.product(*per_axis)
    ]
    return [point for _, point in sorted(combined, key=lambda item: item[0])]
