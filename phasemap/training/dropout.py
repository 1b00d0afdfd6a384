"""Dropout masks: one stream of bits per seed and step, so that a network meets the same masks in any pack."""

from __future__ import annotations

import numpy as np
import torch

from phasemap.tasks.streams import stream_key

RESOLUTION = 1 << 16


class DropoutMasks:
    """The masks of one trial over the hidden units of its training examples.

    Each unit of each example gets a 16-bit number per step from a stream keyed by (seed, step, width); it is kept if
    the number is at least ``rate * 2**16``. So higher rates drop more of the same units, more data add rows, and the
    rate is exact to 2**-16.
    """

    def __init__(self, *, seed: int, rate: float, width: int) -> None:
        self.threshold = min(round(rate * RESOLUTION), RESOLUTION - 1)
        self.scale = RESOLUTION / (RESOLUTION - self.threshold)
        self._key = stream_key("dropout", seed, width)
        self.width = width

    def numbers(self, step: int, rows: int) -> torch.Tensor:
        """Return the numbers of one step, (rows, width) in int16, that is less 2**15."""
        raw = self._generator(step).random_raw((rows * self.width + 3) // 4).view(np.int16)
        return torch.from_numpy(raw[: rows * self.width]).view(rows, self.width)

    def state(self, step: int) -> np.ndarray:
        """Return the state (4,) in uint64 from which SFC64 draws the numbers of one step, four from each word."""
        state: np.ndarray = self._generator(step).state["state"]["state"]
        return state

    def _generator(self, step: int) -> np.random.SFC64:
        return np.random.SFC64([self._key, step])

    def mask(self, numbers: torch.Tensor) -> torch.Tensor:
        """Return 1.0 for the units that are kept and 0.0 for the others (floats multiply faster than booleans)."""
        return numbers.float().ge_(self.threshold - RESOLUTION // 2)
