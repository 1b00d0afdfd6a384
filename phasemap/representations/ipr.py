"""Inverse participation ratio: how periodic the weights of a neuron are (Gromov 2301.02679; Doshi et al. 2024).

Near 1 a neuron is periodic along the tokens, as in the closed-form solution; random weights score about .04 at p 97.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def ipr(vectors: Floats) -> Floats:
    """Return (||X||_4 / ||X||_2)^4 of each row (n, p), X the magnitudes of its real DFT; NaN for a zero row.

    Computed in float64 and normalized before the fourth power, because collapsed weights reach 1e-24.
    """
    rows = np.asarray(vectors, dtype=np.float64)
    largest = np.abs(rows).max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        power = np.abs(np.fft.rfft(rows / largest, axis=1)) ** 2
        share = power / power.sum(axis=1, keepdims=True)
    return np.asarray((share**2).sum(axis=1))


def token_order(task: str, modulus: int) -> NDArray[np.int64] | None:
    """Return the tokens in the order along which a task's solution is periodic; None where there is none.

    For addition that is the tokens' own order. Multiplication becomes addition of discrete logarithms, which exist for
    the nonzero tokens of a prime modulus.
    """
    if task == "modular_addition":
        return np.arange(modulus)
    if task != "modular_multiplication" or modulus < 3 or any(modulus % d == 0 for d in range(2, modulus)):
        return None
    cycles = (_powers(generator, modulus) for generator in range(2, modulus))
    return np.asarray(next(cycle for cycle in cycles if len(cycle) == modulus - 1))


def _powers(generator: int, modulus: int) -> list[int]:
    """List the powers of a number until they come back to 1."""
    powers = [1]
    while (following := powers[-1] * generator % modulus) != 1:
        powers.append(following)
    return powers


def neuron_ipr(u: Floats, v: Floats, w: Floats, order: NDArray[np.int64]) -> Floats:
    """Return each neuron's IPR (N,): the mean over U (N, p), V (N, p) and W (p, N) along the tokens in ``order``."""
    return np.asarray((ipr(u[:, order]) + ipr(v[:, order]) + ipr(w.T[:, order])) / 3)


def mean_ipr(u: Floats, v: Floats, w: Floats, task: str, modulus: int) -> float:
    """Return the mean IPR of a network's neurons, without those of zero weights; NaN where it has no meaning."""
    order = token_order(task, modulus)
    if order is None:
        return float("nan")
    values = neuron_ipr(u, v, w, order)
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")
