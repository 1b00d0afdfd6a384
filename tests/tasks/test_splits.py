"""Balanced splits: every example is held out equally often, classes are spread evenly, groups stay whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasemap.study.sizes import parts_of
from phasemap.tasks.dataset import Dataset
from phasemap.tasks.splits import part_numbers, split_rows


def dataset(labels, groups=None):
    labels = np.asarray(labels)
    inputs = np.arange(len(labels), dtype=np.float32)[:, None]
    return Dataset(name="rows", inputs=inputs, labels=labels, n_classes=int(labels.max()) + 1, groups=groups)


labelled = st.lists(st.integers(0, 3), min_size=12, max_size=60).map(np.array)


@given(labels=labelled, parts=st.integers(2, 6), round_=st.integers(0, 3))
def test_over_a_round_every_example_is_held_out_exactly_once(labels, parts, round_):
    data = dataset(labels)
    held_out = [
        split_rows(data, seed=round_ * parts + part, data_fraction=1 - 1 / parts, split="balanced")[1]
        for part in range(parts)
    ]
    assert sorted(np.concatenate(held_out)) == list(range(len(labels)))


@given(labels=labelled, round_=st.integers(0, 3))
def test_two_halves_of_a_round_are_complements(labels, round_):
    first, second = (
        split_rows(dataset(labels), seed=2 * round_ + i, data_fraction=0.5, split="balanced") for i in (0, 1)
    )
    assert set(first[0]) == set(second[1])
    assert set(first[1]) == set(second[0])


@given(labels=labelled, parts=st.integers(2, 5))
def test_each_class_and_the_whole_are_spread_to_within_one_example(labels, parts):
    part = part_numbers(dataset(labels), 0, parts)
    for chosen in (np.ones(len(labels), dtype=bool), *(labels == c for c in range(4))):
        sizes = np.bincount(part[chosen], minlength=parts)
        assert sizes.max() - sizes.min() <= 1


@given(labels=labelled, data=st.data(), parts=st.integers(2, 4))
def test_groups_stay_whole_and_parts_differ_by_no_more_than_a_group(labels, data, parts):
    groups = np.array(data.draw(st.lists(st.integers(0, 7), min_size=len(labels), max_size=len(labels))))
    part = part_numbers(dataset(labels, groups), 0, parts)
    for group in np.unique(groups):
        assert len(set(part[groups == group])) == 1
    sizes = np.bincount(part, minlength=parts)
    assert sizes.max() - sizes.min() <= np.bincount(groups).max() * 4  # one group for each class at most


def test_a_small_fraction_trains_on_one_part_and_holds_out_the_rest():
    data = dataset(np.arange(40) % 4)
    train, test = split_rows(data, seed=3, data_fraction=0.25, split="balanced")
    assert len(train) == 10
    assert len(test) == 30
    assert np.bincount(data.labels[train]).max() <= 3


def test_rounds_differ():
    data = dataset(np.zeros(40, dtype=int))
    splits = {tuple(sorted(split_rows(data, seed=2 * q, data_fraction=0.5, split="balanced")[0])) for q in range(5)}
    assert len(splits) == 5


@pytest.mark.parametrize(("fraction", "parts"), [(0.5, 2), (0.2, 5), (0.8, 5), (0.0625, 16), (0.333333333333, 3)])
def test_fractions_of_parts_are_recognized(fraction, parts):
    assert parts_of(fraction) == parts


def test_other_fractions_are_refused():
    with pytest.raises(ValueError, match=r"0.6 is neither"):
        parts_of(0.6)
