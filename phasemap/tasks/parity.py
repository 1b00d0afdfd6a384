"""Sparse parity: n bits, of which k decide the label (Barak et al. 2207.08799; Merrill et al. 2303.11873)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from phasemap.tasks.dataset import Dataset
from phasemap.tasks.streams import stream

LISTED_BITS = 20  # up to here the inputs are a draw without replacement; beyond, equal ones are next to impossible


@lru_cache(maxsize=4)
def sparse_parity(n_bits: int, k_bits: int, n_samples: int) -> Dataset:
    """Return random inputs of n bits, -1 or 1; class 1 where an odd number of the first k bits is -1.

    The inputs depend on n and their number alone, and all k share them and their split.
    """
    source = stream("sparse_parity", 0, n_bits)
    if n_bits <= LISTED_BITS:
        chosen = source.permutation(2**n_bits)[:n_samples]
        bits = (chosen[:, None] >> np.arange(n_bits)) & 1
    else:
        bits = source.integers(2, size=(n_samples, n_bits))
    return Dataset(
        name=f"sparse-parity-{n_bits}-{n_samples}",
        inputs=np.ascontiguousarray(1 - 2 * bits, dtype=np.float32),
        labels=bits[:, :k_bits].sum(axis=1) % 2,
        n_classes=2,
    )
