"""What many trained networks answer to every row: when they were trained on it, and when it was held out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from phasemap.tasks.dataset import Dataset, Ints

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Weights = Mapping[str, NDArray[np.float32]]

CHUNK_ROWS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The answers of T networks to n rows with C classes, against the labels that the networks were given."""

    trained: Bools  # (T, n) whether the row was in the network's training set
    right: Bools  # (T, n) whether the answer is the given label
    log_odds: NDArray[np.float32]  # (T, n) log p / (1 - p) of the given label
    held_out: NDArray[np.float32]  # (n, C) mean probabilities of the networks that had not seen the row


def probabilities(weights: Weights, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return log probabilities (M, C) of an MLP with ReLU and without a norm, for inputs (M, F)."""
    units = np.maximum(inputs @ weights["input"].T, 0)
    for number in range(sum(name.startswith("hidden") for name in weights)):
        units = np.maximum(units @ weights[f"hidden.{number}"].T, 0)
    return np.asarray(log_softmax(units @ weights["W"].T, axis=1), dtype=np.float32)


def mean_probabilities(inputs: NDArray[np.float32], networks: Iterable[Weights]) -> NDArray[np.float32]:
    """Return the mean probabilities (n, C) of networks for rows that none of them was trained on."""
    total: Any = 0.0
    count = 0
    for weights in networks:
        total, count = total + np.exp(_in_chunks(weights, inputs)), count + 1
    return np.asarray(total / count, dtype=np.float32)


def _in_chunks(weights: Weights, inputs: NDArray[Any]) -> NDArray[np.float32]:
    starts = range(0, len(inputs), CHUNK_ROWS)
    return np.concatenate([probabilities(weights, inputs[i : i + CHUNK_ROWS]) for i in starts])


def collect(dataset: Dataset, networks: Iterable[tuple[Ints, Weights]]) -> Answers:
    """Ask networks, each with the rows it was trained on, for their answers to all rows of a data set."""
    n, every = len(dataset.labels), np.arange(len(dataset.labels))
    trained, right, odds = [], [], []
    sums = np.zeros((n, dataset.n_classes), dtype=np.float32)
    counts = np.zeros(n, dtype=np.float32)
    for rows, weights in networks:
        inside = np.zeros(n, dtype=bool)
        inside[rows] = True
        logs = _in_chunks(weights, dataset.inputs)
        given = logs[every, dataset.labels].astype(np.float64)
        trained.append(inside)
        right.append(logs.argmax(axis=1) == dataset.labels)
        odds.append(log_odds(given).astype(np.float32))
        sums[~inside] += np.exp(logs[~inside])
        counts += ~inside
    with np.errstate(invalid="ignore"):
        held_out = sums / counts[:, None]
    return Answers(trained=np.array(trained), right=np.array(right), log_odds=np.array(odds), held_out=held_out)


def log_odds(log_probability: Floats) -> Floats:
    """Return log p / (1 - p) from log p, finite also where p rounds to 1 (Carlini et al. 2022, section VI-A)."""
    return log_probability - np.log(np.maximum(-np.expm1(log_probability), 1e-12))
