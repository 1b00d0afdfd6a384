"""What a program gets in an audit: some of a user's rows to train on; and what it answers to all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemap.training.program_labels import array_of

SUM_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AuditedRows:
    """The n rows of a user's file with C classes, of which a training sees B; rows are counted from 0."""

    inputs: NDArray[np.float32]  # (n, F) the features as numbers: filled in, standardized, categories one-hot
    train: NDArray[np.int64]  # (B,) the rows to train on
    given: NDArray[np.int64]  # (B,) their labels, in 0..C - 1
    classes: tuple[str, ...]  # (C,) the labels' names
    path: Path  # of the file

    def probabilities(self, predictions: Any, classes: Sequence[int] | None = None) -> NDArray[np.float32]:
        """Return predictions, classes (n,) or probabilities (n, C), as probabilities (n, C).

        ``classes`` (K,) says which class each column of (n, K) is of. ValueError for what is neither.
        """
        found, n, n_classes = array_of(predictions), len(self.inputs), len(self.classes)
        if found.shape == (n,):
            if not (np.isin(found, np.arange(n_classes))).all():
                raise ValueError(f"answer: classes beyond 0 to {n_classes - 1}; allowed: the numbers of the classes")
            return np.eye(n_classes, dtype=np.float32)[found.astype(np.int64)]
        columns = np.arange(n_classes) if classes is None else array_of(classes).astype(np.int64)
        if found.shape != (n, len(columns)) or not np.isin(columns, np.arange(n_classes)).all():
            raise ValueError(
                f"answer: shape {found.shape}; allowed: classes ({n},), probabilities ({n}, {n_classes}), "
                "or those of some classes, with classes= saying which"
            )
        whole = np.zeros((n, n_classes), dtype=np.float32)
        whole[:, columns] = found
        row = first_without_sum(whole)
        if row is not None:
            raise ValueError(
                f"answer: the probabilities of row {row} don't add up to 1; allowed: probabilities (of "
                "scores their softmax), or the classes"
            )
        return whole


def first_without_sum(probabilities: NDArray[Any]) -> int | None:
    """Return the first row of probabilities (n, C) that has a negative or undefined one, or doesn't add up to 1."""
    with np.errstate(invalid="ignore"):
        fine = (probabilities >= 0).all(axis=1) & (np.abs(probabilities.sum(axis=1) - 1) < SUM_TOLERANCE)
    return None if fine.all() else int(np.argmin(fine))
