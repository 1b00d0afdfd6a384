"""Draw from many discrete distributions, one uniform number each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phasemap.tasks.dataset import Ints

Floats = NDArray[np.float64]


def inverse_cdf(weights: Floats, uniform: Floats) -> Ints:
    """Draw a class for each row of weights (M, C) >= 0 by one uniform number in [0, 1) each: (M,)."""
    cumulative = np.cumsum(weights, axis=1)
    cumulative /= cumulative[:, -1:]
    return (uniform[:, None] >= cumulative).sum(axis=1)
