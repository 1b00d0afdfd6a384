"""The two frontiers of a phase diagram, as contours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from contourpy import LineType, contour_generator
from numpy.typing import NDArray

from phasemap.diagram.statistics import LOSES, WINS
from phasemap.study.names import FRONTIERS, FrontierKind

Floats = NDArray[np.float64]
Kind = FrontierKind
KINDS = FRONTIERS

SATURATION = 0.005  # accuracies are taken between this and 1 minus this before their logit


def saturation(level: float) -> float:
    """Return how far accuracies are kept off 0 and 1, so that a level near 1 still lies between them."""
    return min(SATURATION, max((1 - level) / 2, 1e-6))


def logit(accuracy: NDArray[np.float64] | float, off: float = SATURATION) -> Floats:
    """Return log(a / (1 - a)) with accuracies kept off 0 and 1.

    Accuracies saturate: between 1.0 and chance, linear interpolation would put 0.9 next to the saturated point, as if
    that were known; on the logit scale the line lies about midway.
    """
    inside = np.clip(np.asarray(accuracy, dtype=float), off, 1 - off)
    return np.asarray(np.log(inside / (1 - inside)))


def height(kind: Kind, threshold: float, columns: Mapping[str, NDArray[Any]]) -> tuple[Floats, float]:
    """Return the surface (of the columns' shape) whose contour at the returned level is a frontier.

    ``generalization`` reads test_accuracy; ``inversion`` reads generalization_wins and the recovered and memorized
    accuracy, and is NaN where neither beats the other.
    """
    if kind == "generalization":
        threshold = min(threshold, 1 - 4e-6)  # 1 itself is reached, but never crossed
        off = saturation(threshold)
        return logit(columns["test_accuracy"].astype(float), off), float(logit(threshold, off))
    told = np.isin(columns["generalization_wins"].astype(object), [WINS, LOSES])
    gap = columns["recovered_accuracy"] - columns["memorized_accuracy"]
    return np.where(told, gap, np.nan).astype(float), 0.0


def extended(positions: Floats, edges: Floats, z: Floats, axis: int) -> tuple[Floats, Floats]:
    """Repeat the outer rows or columns of z at the outer borders of their cells, so that lines reach the frame."""
    widths = [(1, 1) if number == axis else (0, 0) for number in range(z.ndim)]
    return np.concatenate([edges[:1], positions, edges[-1:]]), np.pad(z, widths, mode="edge")


def contour(x: Floats, y: Floats, z: Floats, level: float) -> list[Floats]:
    """Return the lines, each (n, 2), on which z (ny, nx) crosses a level; cells with NaN at a corner have none.

    On a strip (one row or column) the crossings are drawn across it: lines from -0.5 to 0.5 around its position.
    """
    if len(y) == 1:
        crossings = _crossings(x, z[0], level)
        return [np.asarray([[c, y[0] - 0.5], [c, y[0] + 0.5]]) for c in crossings]
    if len(x) == 1:
        crossings = _crossings(y, z[:, 0], level)
        return [np.asarray([[x[0] - 0.5, c], [x[0] + 0.5, c]]) for c in crossings]
    masked = np.ma.masked_invalid(z)
    generator = contour_generator(x, y, masked, name="serial", line_type=LineType.Separate, corner_mask=True)
    return [np.asarray(line) for line in generator.lines(level)]


def crossings(x: Floats, z: Floats, level: float) -> Floats:
    """Return where z (..., n) crosses a level between neighbours on x (n,): (..., n - 1), NaN where it does not."""
    left, right = z[..., :-1] - level, z[..., 1:] - level
    with np.errstate(invalid="ignore", divide="ignore"):
        found = x[:-1] + np.diff(x) * left / (left - right)
        crossed = np.isfinite(left) & np.isfinite(right) & ((left < 0) != (right < 0))
    return np.where(crossed, found, np.nan)


def _crossings(x: Floats, z: Floats, level: float) -> list[float]:
    found = crossings(x, z, level)
    return [float(place) for place in found[np.isfinite(found)]]
