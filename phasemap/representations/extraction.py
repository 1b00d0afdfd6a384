"""The rule hidden in a network: each neuron's main frequency alone (latent generalization, arXiv 2605.18022)."""

from __future__ import annotations

import numpy as np

from phasemap.representations.ipr import Floats, Ints


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
