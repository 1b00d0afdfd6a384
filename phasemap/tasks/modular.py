"""Operations on pairs: modular arithmetic, (m + n) mod p or (m n) mod p, and any table."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from phasemap.study.operations import Table, table_rows
from phasemap.tasks.dataset import Dataset


@lru_cache(maxsize=8)
def modular(kind: str, modulus: int) -> Dataset:
    """Return all modulus^2 pairs, row m * modulus + n, of ``modular_addition`` or ``modular_multiplication``."""
    m, n = np.divmod(np.arange(modulus * modulus, dtype=np.int64), modulus)
    labels = {"modular_addition": m + n, "modular_multiplication": m * n}[kind] % modulus
    return Dataset(name=f"modular-{modulus}", inputs=np.stack([m, n], axis=1), labels=labels, n_classes=modulus)


@lru_cache(maxsize=8)
def operation(table: Table, modulus: int) -> Dataset:
    """Return all pairs (a, b) of a table with the label a * b, row by row."""
    labels = np.array(table_rows(table, modulus), dtype=np.int64)  # (elements, columns)
    pairs = np.stack(np.divmod(np.arange(labels.size, dtype=np.int64), labels.shape[1]), axis=1)
    name = f"operation-{labels.shape[0]}x{labels.shape[1]}"  # those of one size are paired
    return Dataset(name=name, inputs=pairs, labels=labels.ravel(), n_classes=len(labels))
