"""Does generalization beat memorization? An exact test on the corrupted examples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

SIGNIFICANCE = 0.05

WINS, LOSES, UNDETERMINED = "wins", "loses", "undetermined"


def generalization_wins(
    recovered: NDArray[np.int64],
    memorized: NDArray[np.int64],
    corrupted: NDArray[np.int64],
    chance: NDArray[np.float64],
) -> NDArray[np.str_]:
    """Compare how many corrupted examples (n,) get their true label with how many get the given, wrong one.

    ``undetermined`` without corrupted examples, where neither count is above chance, or where an exact McNemar test
    (the two counts are its discordant pairs) can't tell them apart at the 5 % level.
    """
    larger = np.maximum(recovered, memorized)
    total = recovered + memorized
    p_mcnemar = np.minimum(1.0, 2 * binom.cdf(np.minimum(recovered, memorized), total, 0.5))
    p_chance = binom.sf(larger - 1, corrupted, chance)
    told = (corrupted > 0) & (p_chance < SIGNIFICANCE) & (p_mcnemar < SIGNIFICANCE)
    return np.where(told, np.where(recovered > memorized, WINS, LOSES), UNDETERMINED)
