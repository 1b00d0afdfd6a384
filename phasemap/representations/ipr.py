"""Inverse participation ratio: how periodic the weights of a neuron are (Gromov 2301.02679; Doshi et al. 2024).

Near 1 a neuron is periodic along the tokens, as in the closed-form solution; random weights score about .04 at p 97.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from phasemap.study.checks import has_cyclic_order
from phasemap.tasks.streams import stream

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ROUNDING = 1e-12  # of a row scaled to 1: what is left of a constant row without its mean


def ipr(vectors: Floats, *, constant: bool = True) -> Floats:
    """Return (||X||_4 / ||X||_2)^4 of each row (n, p), X the magnitudes of its real DFT; NaN for a zero row.

    Without its ``constant`` term a constant row, which scores 1 as it is, is a zero row. Computed in float64 and
    normalized before the fourth power, because collapsed weights reach 1e-24.
    """
    rows = np.asarray(vectors, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        rows = rows / np.abs(rows).max(axis=1, keepdims=True)
        if not constant:
            rows = rows - rows.mean(axis=1, keepdims=True)
            rows[np.abs(rows).max(axis=1) < ROUNDING] = np.nan
        power = np.abs(np.fft.rfft(rows, axis=1)) ** 2
        share = power / power.sum(axis=1, keepdims=True)
    return np.asarray((share**2).sum(axis=1))


@lru_cache(maxsize=32)
def random_ipr(length: int) -> float:
    """Return the mean IPR of random normal vectors of a length (.04 at 97, .12 at 31, .42 at 7), from 4,000 draws."""
    return float(ipr(stream("random_ipr", 0, length).standard_normal((4000, length))).mean())


@lru_cache(maxsize=32)
def token_order(task: str, modulus: int) -> Ints | None:
    """Return the tokens in the order along which a task's solution is periodic; None where there is none.

    For multiplication that is the order of the discrete logarithm, without 0.
    """
    if not has_cyclic_order(task, modulus):
        return None
    if task == "modular_addition":
        return np.arange(modulus)
    cycles = (_powers(generator, modulus) for generator in range(2, modulus))
    return np.asarray(next(cycle for cycle in cycles if len(cycle) == modulus - 1))


def _powers(generator: int, modulus: int) -> list[int]:
    """List the powers of a number until they come back to 1."""
    powers = [1]
    while (following := powers[-1] * generator % modulus) != 1:
        powers.append(following)
    return powers


def neuron_ipr(u: Floats, v: Floats, w: Floats, order: Ints, *, constant: bool = True) -> Floats:
    """Return each neuron's IPR (N,): the mean over U (N, p), V (N, p) and W (p, N) along the tokens in ``order``."""
    parts = (ipr(part[:, order], constant=constant) for part in (u, v, w.T))
    return np.asarray(sum(parts) / 3)


def mean_ipr(values: Floats) -> float:
    """Return the mean IPR of a network's neurons (N,), without those of zero weights; NaN if there are no others."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def spearman(x: Floats, y: Floats) -> float:
    """Return Spearman's rank correlation, NaN where one side is constant."""
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    from pandas import Series  # which a run's workers have imported; SciPy would take a second in each

    return float(np.corrcoef(Series(x).rank(), Series(y).rank())[0, 1])
