"""Label corruption: in which order examples are corrupted, and the label that each of them then gets.

Both are drawn once per seed for all examples of a data set, so that corrupted sets are nested in data fraction and
corruption, and kinds that share an order corrupt the same examples.

Instance-dependent corruption is after Xia et al. 2020 (arXiv 2006.07836, algorithm 2). There each example has a flip
rate q from a truncated normal distribution, and its label becomes wrong with that probability, by softmax(x W_y) over
the other classes, with W_y normal. Simplified here: one W for all true classes y; and exactly as many examples are
corrupted as asked for, by an order without replacement with weights q, whose mean is the same at every share (so that
corrupted sets are nested) and only the ratios of which matter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phasemap.study.networks import NetworkTrial
from phasemap.study.sizes import count
from phasemap.tasks.dataset import Dataset, Ints
from phasemap.tasks.streams import stream

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def inverse_cdf(weights: Floats, uniform: Floats) -> Ints:
    """Draw a class for each row of weights (M, C) >= 0 by one uniform number in [0, 1) each: (M,)."""
    cumulative = np.cumsum(weights, axis=1)
    cumulative /= cumulative[:, -1:]
    return (uniform[:, None] >= cumulative).sum(axis=1)


RATE_MEAN, RATE_STD = 0.2, 0.1  # of the rates before they are cut to [0, 1]: the paper's at a noise rate of 20 %


def flip_rates(dataset: Dataset, seed: int) -> Floats:
    """Draw each example's rate (M,) from a normal distribution truncated to [0, 1]."""
    uniform = stream("instance_rates", seed, dataset.name).random(len(dataset.labels))
    from scipy.special import ndtr, ndtri  # for those alone who need it

    low, high = ndtr((np.array([0.0, 1.0]) - RATE_MEAN) / RATE_STD)
    rates = RATE_MEAN + RATE_STD * ndtri(low + (high - low) * uniform)
    return np.clip(rates, np.finfo(float).tiny, 1.0)


def race_times(dataset: Dataset, seed: int) -> Floats:
    """Draw each example's time (M,), exponential with its rate: the first ones are a weighted draw without replacement.

    (Efraimidis and Spirakis 2006.)
    """
    exponential = stream("instance_race", seed, dataset.name).exponential(size=len(dataset.labels))
    return exponential / flip_rates(dataset, seed)


def instance_labels(dataset: Dataset, seed: int) -> Ints:
    """Draw for each example (M,) a wrong label from softmax(x W) over the other classes.

    Features are standardized, constant ones count as 0. Tokens are one-hot: a row of W for each position and token.
    """
    scores = _scores(dataset, seed)
    scores[np.arange(len(scores)), dataset.labels] = -np.inf
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return inverse_cdf(weights, stream("instance_labels", seed, dataset.name).random(len(weights)))


def _scores(dataset: Dataset, seed: int) -> Floats:
    """Return x W (M, C)."""
    source = stream("instance_weights", seed, dataset.name)
    if dataset.tokens:
        positions, tokens = dataset.inputs.shape[1], dataset.n_classes
        weights = source.standard_normal((positions, tokens, dataset.n_classes))
        return np.asarray(weights[np.arange(positions), dataset.inputs].sum(axis=1))
    features = dataset.inputs.astype(np.float64)
    deviation = features.std(axis=0)
    standardized = (features - features.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    return np.asarray(standardized @ source.standard_normal((features.shape[1], dataset.n_classes)))


NO_LABEL = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """A kind of label corruption with its settings."""

    kind: str = "symmetric"
    matrix: tuple[tuple[float, ...], ...] | None = None  # of asymmetric: (C, C), row y distributes the new label
    shift_by: int = 1


SYMMETRIC = Noise()


def noise_of(trial: NetworkTrial) -> Noise:
    """Return a trial's kind of corruption."""
    return Noise(kind=trial.corruption_kind, matrix=trial.matrix, shift_by=trial.shift_by)


def corruption_order(dataset: Dataset, seed: int, kind: str) -> Ints:
    """Return each example's rank (M,): those of lowest rank in the training set are corrupted first.

    At random, but for ``region``: nearest to a random example first; and ``instance``: see ``race_times``.
    """
    rank = stream("corruption_order", seed, dataset.name).permutation(len(dataset.labels))
    if kind == "region":
        return _ranks(region_distances(dataset, seed), rank)
    return _ranks(race_times(dataset, seed), rank) if kind == "instance" else rank


def _ranks(keys: Floats, ties: Ints) -> Ints:
    """Rank examples (M,) by rising keys, equal ones in the order of ``ties``."""
    ranks = np.empty(len(keys), dtype=np.int64)
    ranks[np.lexsort((ties, keys))] = np.arange(len(keys))
    return ranks


def region_distances(dataset: Dataset, seed: int) -> Floats:
    """Return each example's distance (M,) from a random one.

    Features: Euclidean. Tokens: the largest of the cyclic distances, so that a ball is a square on the torus.
    """
    centre = stream("region_centre", seed, dataset.name).integers(len(dataset.labels))
    gaps = np.abs(dataset.inputs - dataset.inputs[centre])
    if dataset.tokens:
        return np.minimum(gaps, dataset.n_classes - gaps).max(axis=1).astype(np.float64)
    return np.linalg.norm(gaps.astype(np.float64), axis=1)


def wrong_labels(dataset: Dataset, seed: int, noise: Noise) -> Ints:
    """Return for each example (M,) the label that it gets if it is corrupted.

    - ``symmetric``, ``region``: uniform over all classes, the true one included (Doshi et al. 2024).
    - ``asymmetric``: from the true label's row of the matrix; what it leaves on the diagonal stays clean.
    - ``pair_flip``: the next class (Han et al. 2018, arXiv 1804.06872).
    - ``shift``: the class ``shift_by`` further on, modulo their number; by default the same as ``pair_flip``.
    - ``instance``: see ``instance_labels``.
    """
    if noise.kind in ("symmetric", "region"):
        return stream("wrong_labels", seed, dataset.name).integers(dataset.n_classes, size=len(dataset.labels))
    if noise.kind == "asymmetric":
        rows = np.asarray(noise.matrix)[dataset.labels]  # (M, C)
        return inverse_cdf(rows, stream("asymmetric_labels", seed, dataset.name).random(len(rows)))
    if noise.kind == "instance":
        return instance_labels(dataset, seed)
    return rule_labels(dataset, noise)


def rule_labels(dataset: Dataset, noise: Noise) -> Ints:
    """Return for each example (M,) the wrong label that the noise's rule gives it, or NO_LABEL.

    ``asymmetric``: the most probable label other than the true one (of equals the first), if it has any mass. Kinds
    other than ``pair_flip``, ``shift`` and ``asymmetric`` follow no rule.
    """
    if noise.kind in ("pair_flip", "shift"):
        by = noise.shift_by if noise.kind == "shift" else 1
        return (dataset.labels + by) % dataset.n_classes
    if noise.kind == "asymmetric":
        others = np.array(noise.matrix)  # (C, C)
        np.fill_diagonal(others, 0.0)
        return np.where(others.max(axis=1) > 0, others.argmax(axis=1), NO_LABEL)[dataset.labels]
    return np.full(len(dataset.labels), NO_LABEL)


def given_labels(dataset: Dataset, train: Ints, *, seed: int, share: float, noise: Noise) -> tuple[Ints, int]:
    """Return the labels (B,) of rows of a data set with a share of them drawn anew, and how many these are."""
    rank = corruption_order(dataset, seed, noise.kind)[train]
    chosen = np.argsort(rank, kind="stable")[: count(share, len(train))]
    given = dataset.labels[train].copy()
    given[chosen] = wrong_labels(dataset, seed, noise)[train[chosen]]
    return given, len(chosen)


def data_facts(n_train: int, n_corrupted: int, n_classes: int) -> dict[str, float | int]:
    """Return what is known of a trial's data, by the names of the table of trials."""
    counts: dict[str, float | int] = {"n_train": n_train, "n_corrupted": n_corrupted, "n_classes": n_classes}
    return counts | ({"corruption_effective": n_corrupted / n_train} if n_train else {})


def accuracies(right: Bools, as_given: Bools, held_out_right: Bools, wrong: Bools) -> dict[str, float]:
    """Return the five accuracies of answers to B training examples, some with wrong labels, and to held-out ones."""
    return {
        "train_accuracy": share_of(as_given),
        "test_accuracy": share_of(held_out_right),
        "clean_accuracy": share_of(right[~wrong]),
        "memorized_accuracy": share_of(as_given[wrong]),
        "recovered_accuracy": share_of(right[wrong]),
    }


def share_of(hits: NDArray[np.bool_]) -> float:
    """Return the share of hits; NaN of none."""
    return float(hits.mean()) if len(hits) else math.nan
