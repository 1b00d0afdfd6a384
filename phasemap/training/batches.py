"""Minibatches: which training examples a step sees, from the seed and the data set alone."""

from __future__ import annotations

import numpy as np

from phasemap.study.networks import NetworkTrial
from phasemap.tasks.dataset import Dataset, Ints
from phasemap.tasks.streams import stream


class Batches:
    """Batches of one seed: the training examples in a new random order each epoch, cut without a remainder.

    A batch that reaches the end of an epoch goes on with the next one, so that all batches have the same size and all
    examples are seen equally often. The order is that of one permutation of the whole data set an epoch, so training
    sets of different size see their common examples in the same order.
    """

    def __init__(self, *, seed: int, dataset_name: str, total: int, n_train: int, batch_size: int) -> None:
        self._seed, self._name, self._total = seed, dataset_name, total
        self.n_train, self.batch_size = n_train, batch_size
        self._orders: dict[int, Ints] = {}

    def rows(self, step: int) -> Ints:
        """Return the training examples (batch size,) of one step, counted from 1."""
        start = (step - 1) * self.batch_size
        epochs = range(start // self.n_train, (start + self.batch_size - 1) // self.n_train + 1)
        if list(self._orders) != list(epochs):
            self._orders = {e: self._orders[e] if e in self._orders else self._order(e) for e in epochs}
        first = start - epochs[0] * self.n_train
        orders = list(self._orders.values())
        seen = orders[0] if len(orders) == 1 else np.concatenate(orders)
        return seen[first : first + self.batch_size]

    def _order(self, epoch: int) -> Ints:
        order = stream("minibatches", self._seed, self._name, epoch).permutation(self._total)
        return order[order < self.n_train]


def make_batches(trial: NetworkTrial, data: Dataset, n_train: int) -> Batches | None:
    """Return a trial's minibatches, or None for full batches; ValueError if its training set can't fill one."""
    size = trial.batch_size
    if isinstance(size, str):
        return None
    if size > n_train:
        raise ValueError(f"batch_size {size} is larger than the training set of {n_train} examples")
    return Batches(seed=trial.seed, dataset_name=data.name, total=len(data.labels), n_train=n_train, batch_size=size)
