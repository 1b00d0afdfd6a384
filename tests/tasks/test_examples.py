"""Splits and corruption: exact counts, and streams that are shared by what is compared."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasemap.study.sizes import count
from phasemap.tasks.examples import draw_examples
from phasemap.tasks.load import modular
from phasemap.tasks.streams import stream

moduli = st.integers(2, 13)
seeds = st.integers(0, 5)
shares = st.floats(0, 1).map(lambda v: float(f"{v:.12g}"))


def test_the_data_set_is_all_pairs_with_their_answers():
    for kind, answer in (("modular_addition", lambda m, n: m + n), ("modular_multiplication", lambda m, n: m * n)):
        data = modular(kind, 5)
        assert data.n_classes == 5
        assert [tuple(pair) for pair in data.inputs] == [(m, n) for m in range(5) for n in range(5)]
        assert all(label == answer(m, n) % 5 for (m, n), label in zip(data.inputs, data.labels, strict=True))


@pytest.mark.parametrize(
    ("share", "total", "expected"), [(0.7, 10, 7), (0.29, 100, 29), (0.5, 9409, 4704), (0.0, 7, 0)]
)
def test_shares_are_counted_without_rounding_errors(share, total, expected):
    assert count(share, total) == expected


@given(p=moduli, seed=seeds, fraction=st.floats(0.3, 0.9), corruption=shares)
def test_train_and_test_split_all_examples_and_test_labels_stay_true(p, seed, fraction, corruption):
    data = modular("modular_addition", p)
    drawn = draw_examples(data, seed=seed, data_fraction=fraction, corruption=corruption)
    assert sorted([*drawn.train, *drawn.test]) == list(range(p * p))
    assert len(drawn.train) == count(fraction, p * p)
    assert drawn.n_corrupted <= count(corruption, len(drawn.train))
    assert (drawn.wrong == (drawn.given != data.labels[drawn.train])).all()


@given(p=moduli, seed=seeds, small=st.floats(0.3, 0.9), large=st.floats(0.3, 0.9), corruption=shares)
def test_training_sets_of_rising_data_fraction_are_nested(p, seed, small, large, corruption):
    data = modular("modular_addition", p)
    small, large = sorted((small, large))
    less = draw_examples(data, seed=seed, data_fraction=small, corruption=corruption)
    more = draw_examples(data, seed=seed, data_fraction=large, corruption=corruption)
    assert (more.train[: len(less.train)] == less.train).all()


@given(p=moduli, seed=seeds, low=shares, high=shares)
def test_corrupted_sets_of_rising_corruption_are_nested_with_the_same_wrong_labels(p, seed, low, high):
    data = modular("modular_multiplication", p)
    low, high = sorted((low, high))
    few = draw_examples(data, seed=seed, data_fraction=0.7, corruption=low)
    many = draw_examples(data, seed=seed, data_fraction=0.7, corruption=high)
    assert (few.train == many.train).all()
    assert (many.wrong | ~few.wrong).all()
    assert (many.given[few.wrong] == few.given[few.wrong]).all()


def test_drawn_labels_are_uniform_and_about_one_in_p_is_right_by_chance():
    data = modular("modular_addition", 31)
    shares_wrong = []
    for seed in range(40):
        drawn = draw_examples(data, seed=seed, data_fraction=0.75, corruption=1.0)
        shares_wrong.append(drawn.wrong.mean())
    expected, trials = 1 - 1 / 31, 40 * 720
    deviation = (expected * (1 - expected) / trials) ** 0.5
    assert abs(np.mean(shares_wrong) - expected) < 4 * deviation


def test_streams_belong_to_their_seed_and_purpose():
    first = stream("split", 0, "a").permutation(50)
    assert (first == stream("split", 0, "a").permutation(50)).all()
    for other in (stream("split", 1, "a"), stream("wrong_labels", 0, "a"), stream("split", 0, "b")):
        assert (first != other.permutation(50)).any()


@given(seed=seeds, small=st.floats(0.3, 0.9), large=st.floats(0.3, 0.9))
def test_an_example_has_the_same_wrong_label_at_any_data_fraction(seed, small, large):
    data = modular("modular_addition", 11)
    few = draw_examples(data, seed=seed, data_fraction=small, corruption=1.0)
    many = draw_examples(data, seed=seed, data_fraction=large, corruption=1.0)
    labels = dict(zip(many.train.tolist(), many.given.tolist(), strict=True))
    assert all(
        labels.get(row, given) == given for row, given in zip(few.train.tolist(), few.given.tolist(), strict=True)
    )


def test_the_corrupted_examples_are_the_first_in_their_own_order():
    data = modular("modular_addition", 11)
    wrong = [set() for _ in range(2)]
    for seed in range(2):
        drawn = draw_examples(data, seed=seed, data_fraction=0.9, corruption=0.5)
        rank = stream("corruption_order", seed, data.name).permutation(121)
        first = sorted(drawn.train, key=lambda row: rank[row])[: count(0.5, len(drawn.train))]
        assert set(drawn.train[drawn.wrong]) <= set(first)
        assert len(set(first) - set(drawn.train[drawn.wrong])) <= 12  # right by chance: about 1 in 11
        wrong[seed] = {place for place, flag in enumerate(drawn.wrong) if flag}
    assert wrong[0] != wrong[1]


def test_tasks_on_the_same_inputs_are_paired():
    one, other = (
        draw_examples(modular(kind, 7), seed=3, data_fraction=0.5, corruption=0.0)
        for kind in ("modular_addition", "modular_multiplication")
    )
    assert (one.train == other.train).all()
