"""The two frontiers of a phase diagram, as contours."""

from __future__ import annotations

import numpy as np
from contourpy import LineType, contour_generator
from numpy.typing import NDArray

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


def _crossings(x: Floats, z: Floats, level: float) -> list[float]:
    found = []
    for i in range(len(x) - 1):
        low, high = z[i] - level, z[i + 1] - level
        if np.isfinite(low) and np.isfinite(high) and (low < 0) != (high < 0):
            found.append(float(x[i] + (x[i + 1] - x[i]) * low / (low - high)))
    return found
