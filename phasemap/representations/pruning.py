"""Pruning: the answers of a network while its neurons are silenced one after the other (Doshi et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from phasemap.representations.ipr import Floats, Ints
from phasemap.tasks.streams import stream

MOST_LEVELS = 128


def pruning_orders(ipr: Floats, seed: int) -> dict[str, Ints]:
    """Return the orders in which neurons (N,) are silenced; those of zero weights count as lowest."""
    known = np.where(np.isnan(ipr), -1.0, ipr)
    lowest = np.argsort(known, kind="stable")
    return {"lowest_first": lowest, "highest_first": lowest[::-1].copy(), "random": random_order(seed, len(ipr))}


def random_order(seed: int, width: int) -> Ints:
    """Return the order of a seed in which neurons are silenced at random."""
    return stream("pruning_order", seed, width).permutation(width)


def pruning_levels(width: int) -> Ints:
    """Return the numbers of silenced neurons that are looked at: from 0 to all, at most 128 steps."""
    return np.unique(np.linspace(0, width, min(width, MOST_LEVELS) + 1).round().astype(np.int64))


def pruned_scores(
    units: torch.Tensor, readout: torch.Tensor, order: Ints, levels: Ints
) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield (number of silenced neurons, scores (M, C)) from the units (M, N) that a read-out (C, N) sees.

    From the highest of the rising levels down: the scores are a sum to which the neurons that are left are added, the
    last to be silenced first. Taking neurons away from the full sum would leave rounding that is larger than what weak
    neurons contribute. The tensor is overwritten by the next level; with all neurons silenced it is zero.
    """
    by_turn = torch.from_numpy(order).to(units.device)
    units, readout = units[:, by_turn], readout[:, by_turn]
    scores = units.new_zeros(len(units), len(readout))
    end = len(order)
    for level in reversed(levels.tolist()):
        scores.addmm_(units[:, level:end], readout[:, level:end].t())
        end = level
        yield level, scores


def needed_neurons(levels: Ints, accuracy: Floats, threshold: float) -> float:
    """Return how many neurons are needed to keep an accuracy (L,) at the threshold while others are silenced.

    NaN if even the whole network does not reach it.
    """
    lost = np.flatnonzero(accuracy < threshold)
    if len(lost) == 0:
        return 0.0
    return float("nan") if lost[0] == 0 else float(levels[-1] - levels[lost[0] - 1])
