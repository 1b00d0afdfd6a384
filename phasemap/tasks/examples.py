"""One seed's view of a data set: the split, the corrupted labels, and which examples are which."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from phasemap.study.networks import NetworkTrial
from phasemap.study.sizes import count
from phasemap.tasks.corruption import (
    SYMMETRIC,
    Noise,
    corruption_order,
    given_labels,
    noise_of,
    rule_labels,
    wrong_labels,
)
from phasemap.tasks.dataset import Dataset, Ints
from phasemap.tasks.load import dataset_of
from phasemap.tasks.splits import split_rows
from phasemap.tasks.streams import stream

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """What one trial sees of a data set: B training examples in a fixed order, and the held-out rest."""

    dataset: Dataset
    train: Ints  # (B,) rows of the data set
    test: Ints  # (M - B,) rows, never corrupted
    given: Ints  # (B,) the labels trained on
    wrong: Bools  # (B,) whether the given label differs from the true one
    rule: Ints  # (M - B,) the held-out examples' wrong labels by the noise's rule, NO_LABEL where there is none
    n_chosen: int = 0  # how many were given a drawn label, by chance maybe the right one

    @property
    def n_corrupted(self) -> int:
        """The number of training labels that are really wrong."""
        return int(self.wrong.sum())

    @property
    def order(self) -> Ints:
        """The rows of the data set (M,) as networks get them, training examples first."""
        return np.concatenate([self.train, self.test])

    @property
    def targets(self) -> Ints:
        """The labels (M,) in that order: those trained on, then the true ones of held-out examples."""
        return np.concatenate([self.given, self.dataset.labels[self.test]])


def draw_examples(
    dataset: Dataset,
    *,
    seed: int,
    data_fraction: float,
    corruption: float,
    noise: Noise = SYMMETRIC,
    split: str = "random",
) -> Examples:
    """Split a data set and corrupt a share of its training labels, symmetrically unless told otherwise.

    Within a seed everything is paired: the training set is a prefix of one permutation (or a part of a balanced
    split), the corrupted examples are the first in the order of their kind of noise, and each example has one wrong
    label drawn once. A drawn label that happens to be the true one leaves the example clean.
    """
    train, test = split_rows(dataset, seed=seed, data_fraction=data_fraction, split=split)
    given, n_chosen = given_labels(dataset, train, seed=seed, share=corruption, noise=noise)
    return Examples(
        dataset=dataset,
        train=train,
        test=test,
        given=given,
        wrong=given != dataset.labels[train],
        rule=rule_labels(dataset, noise)[test],
        n_chosen=n_chosen,
    )


def repaired(examples: Examples, *, seed: int, share: float) -> Examples:
    """Set a share of the wrong labels right; within a seed a larger share adds to a smaller one's."""
    wrong = np.flatnonzero(examples.wrong)
    rank = stream("repair_order", seed, examples.dataset.name).permutation(len(examples.dataset.labels))
    chosen = wrong[np.argsort(rank[examples.train[wrong]])][: count(share, len(wrong))]
    return _with_labels(examples, chosen, examples.dataset.labels[examples.train[chosen]])


def corrupted(examples: Examples, *, seed: int, share: float, noise: Noise) -> Examples:
    """Give a share of all training examples wrong labels, of those that have the right ones.

    The order is that of their kind of noise and begins where the corruption from the start ended.
    """
    rank = corruption_order(examples.dataset, seed, noise.kind)[examples.train]
    order = np.roll(np.argsort(rank, kind="stable"), -examples.n_chosen)
    chosen = order[~examples.wrong[order]][: count(share, len(rank))]
    return _with_labels(examples, chosen, wrong_labels(examples.dataset, seed, noise)[examples.train[chosen]])


def _with_labels(examples: Examples, chosen: Ints, labels: Ints) -> Examples:
    given = examples.given.copy()
    given[chosen] = labels
    return replace(examples, given=given, wrong=given != examples.dataset.labels[examples.train])


def examples_of(trial: NetworkTrial, after: int | None = None) -> Examples:
    """Draw what a trial sees: its task's data set, split and corrupted for its seed.

    ``after`` a step, with what was changed in mid-training up to there; else as at the start.
    """
    examples = draw_examples(
        dataset_of(trial),
        seed=trial.seed,
        data_fraction=trial.data_fraction,
        corruption=trial.corruption,
        noise=noise_of(trial),
        split=trial.split,
    )
    if after is not None and trial.repair and trial.repair_at is not None and trial.repair_at <= after:
        examples = repaired(examples, seed=trial.seed, share=trial.repair)
    if after is not None and trial.corrupt and trial.corrupt_at is not None and trial.corrupt_at <= after:
        examples = corrupted(examples, seed=trial.seed, share=trial.corrupt, noise=noise_of(trial))
    return examples
