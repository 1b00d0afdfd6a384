"""A data set: inputs with their true labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Features = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """All M examples of a task with their true labels.

    Random streams are keyed by the name; tasks on the same inputs share it, so that they are paired too.
    """

    name: str
    inputs: Ints | Features  # (M, tokens), each token in 0..n_classes - 1; or (M, F)
    labels: Ints  # (M,)
    n_classes: int
    groups: Ints | None = None  # (M,) examples of one group stay together in balanced splits
    shape: tuple[int, ...] | None = None  # of one example as a user's network gets it; None: as in inputs

    @property
    def example_shape(self) -> tuple[int, ...]:
        """The shape of one example as a user's network gets it: of images (1, height, width)."""
        return self.shape or self.inputs.shape[1:]

    @property
    def tokens(self) -> bool:
        """Whether the inputs are tokens, and not features."""
        return bool(np.issubdtype(self.inputs.dtype, np.integer))
