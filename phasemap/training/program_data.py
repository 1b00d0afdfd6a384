"""The data of a program: label corruption and the five accuracies, by the same orders as for built-in tasks; and of an
audit some of a user's rows to train on, with what is answered to all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemap.tasks.corruption import Noise, accuracies, given_labels
from phasemap.tasks.dataset import Dataset

CORRUPTIONS = ("symmetric", "asymmetric", "pair_flip", "shift", "region", "instance")
BY_INPUTS = ("region", "instance")
NAME = "program"  # of its data, in the keys of random streams: the same order for all trials of a seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrupted:
    """Training labels of which a share was corrupted; of the kind of array that they came as."""

    given: Any  # (B,) the labels to train on
    wrong: Any  # (B,) whether the given label differs from the true one
    truth: NDArray[np.int64]  # (B,)
    n_classes: int

    @property
    def n_corrupted(self) -> int:
        """The number of labels that are really wrong."""
        return int(self.wrong.sum())


def corrupted(
    labels: Any,
    share: float,
    *,
    seed: int,
    kind: str = "symmetric",
    classes: int | None = None,
    inputs: Any = None,
    matrix: Sequence[Sequence[float]] | None = None,
    shift_by: int = 1,
) -> Corrupted:
    """Corrupt a share of labels (B,); within a seed the corrupted sets are nested, and each wrong label is drawn once.

    ``matrix`` (C, C) is for ``asymmetric``, ``inputs`` (B, ...) for ``region`` and ``instance``. ValueError for what
    can't be.
    """
    truth = _labels(labels)
    n_classes = int(truth.max()) + 1 if classes is None else classes
    if not isinstance(share, int | float | np.number) or not 0 <= share <= 1:
        raise ValueError(f"corrupt: share = {share!r} is not allowed; allowed: a number in [0, 1]")
    if kind not in CORRUPTIONS:
        raise ValueError(f"corrupt: kind = {kind!r} is not allowed; allowed: {', '.join(CORRUPTIONS)}")
    if truth.min() < 0 or truth.max() >= n_classes:
        raise ValueError(f"corrupt: labels from {truth.min()} to {truth.max()}; allowed: 0 to classes - 1")
    if kind in BY_INPUTS and inputs is None:
        raise ValueError(f"corrupt: kind {kind} looks at the inputs; needed: inputs=...")
    if kind == "asymmetric" and (np.zeros(0) if matrix is None else np.asarray(matrix)).shape != (n_classes, n_classes):
        raise ValueError(f"corrupt: kind asymmetric needs matrix of shape ({n_classes}, {n_classes})")
    if kind == "asymmetric" and (row := first_without_sum(np.asarray(matrix))) is not None:
        raise ValueError(f"corrupt: row {row} of matrix doesn't add up to 1; allowed: probabilities of the new labels")
    if inputs is not None and len(inputs) != len(truth):
        raise ValueError(f"corrupt: {len(inputs)} inputs for {len(truth)} labels; allowed: one for each")
    features = np.zeros((len(truth), 1), np.float32) if inputs is None else array_of(inputs).reshape(len(truth), -1)
    data = Dataset(name=NAME, inputs=features.astype(np.float32), labels=truth, n_classes=n_classes)
    rows = None if matrix is None else tuple(tuple(map(float, row)) for row in matrix)
    noise = Noise(kind=kind, matrix=rows, shift_by=shift_by)
    given, _ = given_labels(data, np.arange(len(truth)), seed=seed, share=share, noise=noise)
    return Corrupted(given=_like(labels, given), wrong=_like(labels, given != truth), truth=truth, n_classes=n_classes)


def scored(labels: Corrupted, train: Any, test: Any, test_labels: Any) -> dict[str, float]:
    """Return the five accuracies of a record; nan for shares of no examples.

    Predictions are classes (B,) or scores (B, C), in the order of the labels.
    """
    if not isinstance(labels, Corrupted):
        raise ValueError(f"score: labels = {type(labels).__name__}; needed: what trial.corrupt returned")
    trained, held_out, truth = _classes("train", train), _classes("test", test), _labels(test_labels)
    for what, found, known in (("train", trained, labels.truth), ("test", held_out, truth)):
        if len(found) != len(known):
            raise ValueError(f"score: {len(found)} {what} predictions for {len(known)} labels")
    given, wrong = array_of(labels.given), array_of(labels.wrong)
    return accuracies(trained == labels.truth, trained == given, held_out == truth, wrong)


def array_of(values: Any) -> NDArray[Any]:
    """Return an array, or a tensor on any device, as an array."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def _labels(values: Any) -> NDArray[np.int64]:
    found = array_of(values)
    if found.ndim != 1 or not len(found) or found.dtype.kind not in "iu":
        raise ValueError(f"labels of shape {found.shape} and type {found.dtype}; allowed: whole numbers (B,)")
    return found.astype(np.int64)


def _classes(what: str, values: Any) -> NDArray[np.int64]:
    found = array_of(values)
    if found.ndim == 2 and found.shape[1] > 1:
        return found.argmax(axis=1)
    if found.ndim != 1 or found.dtype.kind not in "iufb" or (found != np.round(found)).any():
        raise ValueError(
            f"score: {what} predictions of shape {found.shape} and type {found.dtype}; allowed: classes as whole "
            "numbers (B,), or scores (B, C) of two or more classes"
        )
    return found.astype(np.int64)


def _like(labels: Any, values: NDArray[Any]) -> Any:
    """Return values as what labels are: a tensor on their device, or an array."""
    if not hasattr(labels, "detach"):
        return values
    import torch

    return torch.as_tensor(values, device=labels.device)


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
