"""Does generalization beat memorization? An exact test on the corrupted examples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIGNIFICANCE = 0.05
AT_CHANCE = 0.1  # of the way from chance to 1: collapsed networks answer constants, which favours some labels a little

WINS, LOSES, UNDETERMINED = "wins", "loses", "undetermined"


def generalization_wins(
    recovered: NDArray[np.int64],
    memorized: NDArray[np.int64],
    corrupted: NDArray[np.int64],
    chance: NDArray[np.float64],
) -> NDArray[np.str_]:
    """Compare how many corrupted examples (n,) get their true label with how many get the given, wrong one.

    ``undetermined`` without corrupted examples, where both counts are at chance, or where an exact McNemar test (the
    two counts are its discordant pairs) can't tell them apart at the 5 % level.
    """
    share = np.maximum(recovered, memorized) / np.maximum(corrupted, 1)
    above_chance = (share - chance) / np.maximum(1 - chance, 1e-12) > AT_CHANCE
    from scipy.special import bdtr  # here: what is shown from stored tables needs it not

    p_value = np.minimum(1.0, 2 * bdtr(np.minimum(recovered, memorized), recovered + memorized, 0.5))
    told = (corrupted > 0) & above_chance & (p_value < SIGNIFICANCE)
    return np.where(told, np.where(recovered > memorized, WINS, LOSES), UNDETERMINED)
