"""How large tasks are, without loading more than a named file: for checks and for the cost of trials."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from phasemap.study.data_files import read_arrays
from phasemap.study.names import FACTS
from phasemap.study.networks import NetworkTrial
from phasemap.study.operations import Table, table_size
from phasemap.study.own_parts import DataSize, OwnTrial

PARTS_TOLERANCE = 1e-6
IMAGES = {"digits": (1797, 64), "mnist5k": (5000, 784)}  # examples and pixels; both have ten classes


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSize:
    """The size of a data set, and its name in messages."""

    name: str
    n_examples: int
    n_inputs: int  # features; of tokens, the length of their concatenated one-hot vectors
    n_classes: int
    tokens: bool


SIZED_BY = ("task", "modulus", "dataset", "path", "table", "n_bits", "n_samples")
"""The settings that the size of a task depends on."""


def task_size(settings: Mapping[str, Any]) -> TaskSize:
    """Return the size of the data set of settings ``SIZED_BY``; BadFileError if it is in a file that can't be used."""
    task, modulus = settings["task"], settings["modulus"]
    if task == "arrays":
        arrays = read_arrays(settings["path"] or "")
        rows, columns = arrays.inputs.shape
        name = Path(settings["path"] or "").name
        return TaskSize(name=name, n_examples=rows, n_inputs=columns, n_classes=arrays.n_classes, tokens=False)
    if task == "images":
        rows, columns = IMAGES[settings["dataset"]]
        return TaskSize(name=settings["dataset"], n_examples=rows, n_inputs=columns, n_classes=10, tokens=False)
    if task == "sparse_parity":
        n_bits, rows = settings["n_bits"], settings["n_samples"]
        return TaskSize(name=f"{n_bits} bits", n_examples=rows, n_inputs=n_bits, n_classes=2, tokens=False)
    return _of_tokens(settings["table"] if task == "operation" else None, modulus)


def trial_size(trial: NetworkTrial) -> TaskSize:
    """Return the size of a trial's data set; of a user's own data as it was when the study was read."""
    if isinstance(trial, OwnTrial) and (part := trial.parts.get("task")):
        return own_size(part.name, trial.parts.size_of(trial.values_of(part)))
    return task_size({name: getattr(trial, name) for name in SIZED_BY})


def own_size(name: str, data: DataSize) -> TaskSize:
    """Return the size of a user's own data as that of a task."""
    inputs = math.prod(data.shape) * (data.n_classes if data.tokens else 1)
    return TaskSize(
        name=name, n_examples=data.n_examples, n_inputs=inputs, n_classes=data.n_classes, tokens=data.tokens
    )


def network_facts(settings: Mapping[str, Any]) -> dict[str, float]:
    """Return what the settings of a network tell of its data before it is trained: the facts, by their names."""
    size = task_size(settings)
    return facts_of(settings, n_examples=size.n_examples, n_classes=size.n_classes)


def facts_of(settings: Mapping[str, Any], *, n_examples: int, n_classes: int) -> dict[str, float]:
    """Return the facts of a network's data, by their names."""
    n_train = count(settings["data_fraction"], n_examples)
    n_corrupted = count(settings["corruption"], n_train)
    facts = (n_train, n_corrupted, n_classes, n_corrupted / max(n_train, 1))
    return dict(zip(FACTS, facts, strict=True))


@lru_cache(maxsize=256)
def _of_tokens(table: Table | None, modulus: int) -> TaskSize:
    """Return the size of a table's task, or without one that of all pairs."""
    pairs, classes = (modulus * modulus, modulus) if table is None else table_size(table, modulus)
    name = f"modulus {modulus}" if table is None else table if isinstance(table, str) else "the table"
    return TaskSize(name=name, n_examples=pairs, n_inputs=2 * classes, n_classes=classes, tokens=True)


def count(share: float, total: int) -> int:
    """Count a share of a total: int(share * total) with the rounding errors of the product taken out."""
    return int(round(share * total, 9))


def parts_of(data_fraction: float) -> int:
    """Return the m of a balanced split, whose fraction is 1 / m or 1 - 1 / m; ValueError for other fractions."""
    parts = round(1 / min(data_fraction, 1 - data_fraction))
    if abs(min(data_fraction, 1 - data_fraction) * parts - 1) > PARTS_TOLERANCE:
        raise ValueError(f"{data_fraction:g} is neither 1 / m nor 1 - 1 / m")
    return parts
