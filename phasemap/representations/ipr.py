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


def main_frequencies(u: Floats, v: Floats, w: Floats, order: Ints) -> Ints:
    """Return each neuron's main frequency (N,) along the tokens: that of most power in U, V and W together.

    The power of each part is taken as a share of the part's own; the constant term does not count.
    """
    total = 0.0
    for part in (u, v, w.T):
        power = np.abs(np.fft.rfft(part[:, order], axis=1)[:, 1:]) ** 2
        total = total + power / np.maximum(power.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return np.asarray(1 + np.argmax(total, axis=1))


def extracted_weights(u: Floats, v: Floats, w: Floats, order: Ints) -> tuple[Floats, Floats, Floats]:
    """Project U (N, p), V (N, p) and W (p, N) on each neuron's main frequency along the tokens in ``order``.

    Tokens without a place in the order (0 in multiplication) keep their weights.
    """
    frequency = main_frequencies(u, v, w, order)

    def project(part: Floats) -> Floats:
        spectrum = np.fft.rfft(part[:, order], axis=1)
        kept = np.where(np.arange(spectrum.shape[1]) == frequency[:, None], spectrum, 0)
        projected = part.copy()
        projected[:, order] = np.fft.irfft(kept, n=len(order), axis=1)
        return projected

    return project(u), project(v), project(w.T).T


def spectrum_shares(vector: Floats) -> Floats:
    """Return the share of a vector's power (p,) at each frequency of its real DFT; NaN for a zero vector."""
    power = np.abs(np.fft.rfft(vector)) ** 2
    with np.errstate(invalid="ignore"):
        return np.asarray(power / power.sum())
