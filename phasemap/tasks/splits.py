"""Which examples a trial trains on, and which are held out."""

from __future__ import annotations

import numpy as np

from phasemap.study.sizes import count, parts_of
from phasemap.tasks.dataset import Dataset, Ints
from phasemap.tasks.streams import stream


def split_rows(dataset: Dataset, *, seed: int, data_fraction: float, split: str) -> tuple[Ints, Ints]:
    """Return the training rows and the held-out rows of a data set for one seed.

    ``random``: the training set is a prefix of one permutation. ``balanced``: see ``part_numbers``; with m parts, seed
    q m + r holds out (or, below one half, trains on) part r of the parts drawn for round q. So over the m seeds of a
    round every example is held out equally often, and with a fraction of one half two seeds are complements.
    """
    total = len(dataset.labels)
    if split == "random":
        order = stream("split", seed, dataset.name).permutation(total)
        n_train = count(data_fraction, total)
        return order[:n_train], order[n_train:]
    n_parts = parts_of(data_fraction)
    round_, part = divmod(seed, n_parts)
    order = stream("balanced_order", round_, dataset.name).permutation(total)
    inside = (part_numbers(dataset, round_, n_parts) == part)[order]
    trained = inside if data_fraction < 0.5 else ~inside
    return order[trained], order[~trained]


def part_numbers(dataset: Dataset, round_: int, n_parts: int) -> Ints:
    """Deal the examples out to parts: (M,) in 0..n_parts - 1, stratified by class, groups whole.

    Without groups each class is spread to within one example, and so are the parts' sizes.
    """
    source = stream("balanced_parts", round_, dataset.name, n_parts)
    groups = np.arange(len(dataset.labels)) if dataset.groups is None else dataset.groups
    first, units, sizes = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)[1:]
    classes = dataset.labels[first]
    order = np.lexsort((source.permutation(len(first)), -sizes, classes))
    part = np.empty(len(first), dtype=np.int64)
    if sizes.max() == 1:
        part[order] = (np.arange(len(first)) + source.integers(n_parts)) % n_parts
    else:
        part[order] = _deal(sizes[order], classes[order], source.permutation(n_parts))
    return part[units]


def _deal(sizes: Ints, classes: Ints, parts: Ints) -> Ints:
    """Give each group, in order, to the part that has least of its class so far, and of these to the smallest part."""
    in_class, in_all = np.zeros(len(parts), dtype=np.int64), np.zeros(len(parts), dtype=np.int64)
    dealt = np.empty(len(sizes), dtype=np.int64)
    for number, size in enumerate(sizes):
        if number and classes[number] != classes[number - 1]:
            in_class[:] = 0
        chosen = np.lexsort((in_all, in_class))[0]
        dealt[number] = parts[chosen]
        in_class[chosen] += size
        in_all[chosen] += size
    return dealt
