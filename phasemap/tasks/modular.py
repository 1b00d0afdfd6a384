"""Modular arithmetic: all pairs (m, n) with the label (m + n) mod p or (m n) mod p."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from phasemap.tasks.dataset import Dataset


@lru_cache(maxsize=8)
def modular(kind: str, modulus: int) -> Dataset:
    """Return all modulus^2 pairs, row m * modulus + n, of ``modular_addition`` or ``modular_multiplication``."""
    m, n = np.divmod(np.arange(modulus * modulus, dtype=np.int64), modulus)
    labels = {"modular_addition": m + n, "modular_multiplication": m * n}[kind] % modulus
    return Dataset(name=f"modular-{modulus}", inputs=np.stack([m, n], axis=1), labels=labels, n_classes=modulus)
