"""The closed-form solution of modular addition (Gromov 2301.02679, used by Doshi et al. 2024)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phasemap.tasks.streams import stream

Floats = NDArray[np.float64]


def analytic_weights(modulus: int, width: int, seed: int = 0) -> tuple[Floats, Floats, Floats]:
    """Return U (N, p), V (N, p) and W (p, N) that answer m + n mod p without training, for square activation.

    U_ki = A cos(2 pi s(k) i / p + u_k), V_ki the same with v_k, W_qk = A cos(-2 pi s(k) q / p - u_k - v_k), with every
    frequency s in 1..(p - 1) / 2 used in turn, random phases u, v and A = (2 / N)^(1/3), which makes the right output
    1. The paper prints the exponent as -1/3; that gives outputs of 62,500 at N 500. ValueError for an even modulus.
    """
    if modulus % 2 == 0:
        raise ValueError(f"modulus {modulus} is even; allowed: odd moduli")
    frequency = 1 + np.arange(width) % ((modulus - 1) // 2)
    first, second = stream("analytic_phases", seed, width).uniform(0, 2 * np.pi, size=(2, width, 1))
    angle = 2 * np.pi * frequency[:, None] * np.arange(modulus)[None, :] / modulus  # (N, p)
    amplitude = (2 / width) ** (1 / 3)
    u, v = amplitude * np.cos(angle + first), amplitude * np.cos(angle + second)
    return u, v, (amplitude * np.cos(-angle - first - second)).T
