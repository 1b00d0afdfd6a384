"""Kinds of label corruption: what each does, and what they share within a seed."""

import hashlib
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from phasemap.study.sizes import count
from phasemap.tasks.corruption import NO_LABEL, Noise, corruption_order, flip_rates, rule_labels, wrong_labels
from phasemap.tasks.dataset import Dataset
from phasemap.tasks.examples import draw_examples
from phasemap.tasks.load import images, modular
from phasemap.tasks.streams import stream


def features(n_examples=120, n_classes=4, n_features=3):
    source = np.random.default_rng(0)
    return Dataset(
        name=f"features-{n_examples}",
        inputs=source.normal(size=(n_examples, n_features)).astype(np.float32),
        labels=source.integers(n_classes, size=n_examples),
        n_classes=n_classes,
    )


def matrix(n_classes):
    """Three classes in four keep .2 of their labels; class 0 keeps all."""
    rows = np.full((n_classes, n_classes), 0.8 / (n_classes - 1))
    np.fill_diagonal(rows, 0.2)
    rows[0] = np.eye(n_classes)[0]
    return tuple(map(tuple, rows.tolist()))


DATA = {"tokens": modular("modular_addition", 7), "features": features()}
KINDS = ("symmetric", "asymmetric", "pair_flip", "shift", "region", "instance")
SHUFFLED = ("symmetric", "asymmetric", "pair_flip", "shift")  # that share one random order
ALWAYS_WRONG = ("pair_flip", "shift", "instance")

data_sets = st.sampled_from(list(DATA.values()))
kinds = st.sampled_from(KINDS)
seeds = st.integers(0, 5)
shares = st.floats(0, 1).map(lambda v: float(f"{v:.12g}"))
fractions = st.floats(0.1, 0.9)


def noise_of_kind(kind, data):
    return Noise(
        kind=kind, matrix=matrix(data.n_classes) if kind == "asymmetric" else None, shift_by=3 if kind == "shift" else 1
    )


def draw(data, kind, seed=0, fraction=0.7, corruption=0.5):
    noise = noise_of_kind(kind, data)
    return draw_examples(data, seed=seed, data_fraction=fraction, corruption=corruption, noise=noise)


@pytest.mark.parametrize(
    ("kind", "modulus", "seed", "fraction", "corruption", "expected"),
    [
        ("modular_addition", 97, 0, 0.5, 0.35, "b71c7e259e33c544"),
        ("modular_multiplication", 31, 7, 0.75, 0.2, "203345c17a69324f"),
        ("modular_addition", 7, 1, 0.6, 1.0, "f740faf11168dc83"),
    ],
)
def test_symmetric_corruption_is_what_it_was_before_there_were_other_kinds(
    kind, modulus, seed, fraction, corruption, expected
):
    drawn = draw_examples(modular(kind, modulus), seed=seed, data_fraction=fraction, corruption=corruption)
    content = np.concatenate([drawn.train, drawn.test, drawn.given]).astype("<i8").tobytes()
    assert hashlib.sha256(content).hexdigest()[:16] == expected


@given(data=data_sets, kind=kinds, seed=seeds, fraction=fractions, corruption=shares)
def test_every_kind_corrupts_as_many_training_examples_as_asked_for(data, kind, seed, fraction, corruption):
    drawn = draw(data, kind, seed, fraction, corruption)
    wanted = count(corruption, len(drawn.train))
    assert drawn.n_corrupted <= wanted
    if kind in ALWAYS_WRONG:
        assert drawn.n_corrupted == wanted
    assert ((drawn.given >= 0) & (drawn.given < data.n_classes)).all()


@given(data=data_sets, kind=kinds, seed=seeds, fraction=fractions, low=shares, high=shares)
def test_corrupted_sets_are_nested_in_corruption(data, kind, seed, fraction, low, high):
    few, many = (draw(data, kind, seed, fraction, share) for share in sorted((low, high)))
    assert (few.train == many.train).all()
    assert (many.wrong | ~few.wrong).all()
    assert (many.given[few.wrong] == few.given[few.wrong]).all()


@given(data=data_sets, kind=kinds, seed=seeds, small=fractions, large=fractions)
def test_training_sets_and_wrong_labels_are_nested_in_data_fraction(data, kind, seed, small, large):
    few, many = (draw(data, kind, seed, fraction, 1.0) for fraction in sorted((small, large)))
    assert (many.train[: len(few.train)] == few.train).all()
    assert (many.given[: len(few.train)] == few.given).all()


@given(data=data_sets, kind=kinds, seed=seeds, small=fractions, large=fractions, corruption=shares)
def test_an_order_does_not_depend_on_the_data_fraction(data, kind, seed, small, large, corruption):
    """Among the smaller training set, the larger one's corrupted examples come before its clean ones."""
    few, many = (draw(data, kind, seed, fraction, corruption) for fraction in sorted((small, large)))
    rank = corruption_order(data, seed, kind)
    assert sorted(rank) == list(range(len(data.labels)))
    for drawn in (few, many):
        chosen = sorted(drawn.train, key=lambda row: rank[row])[: count(corruption, len(drawn.train))]
        assert set(drawn.train[drawn.wrong]) <= set(chosen)


@given(data=data_sets, seed=seeds, fraction=fractions, corruption=shares)
def test_kinds_of_one_seed_share_split_and_order(data, seed, fraction, corruption):
    drawn = {kind: draw(data, kind, seed, fraction, corruption) for kind in KINDS}
    for one, other in itertools.pairwise(KINDS):
        assert (drawn[one].train == drawn[other].train).all()
        assert (drawn[one].test == drawn[other].test).all()
    for kind in SHUFFLED:
        assert (corruption_order(data, seed, kind) == corruption_order(data, seed, "symmetric")).all()
    chosen = set(drawn["pair_flip"].train[drawn["pair_flip"].wrong])
    assert chosen == set(drawn["shift"].train[drawn["shift"].wrong])
    for kind in ("symmetric", "asymmetric"):
        assert set(drawn[kind].train[drawn[kind].wrong]) <= chosen


@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_pair_flip_takes_the_next_class_and_shift_one_further_on(data):
    for kind, by in (("pair_flip", 1), ("shift", 3)):
        drawn = draw(data, kind)
        truth = data.labels[drawn.train]
        assert (drawn.given[drawn.wrong] == (truth[drawn.wrong] + by) % data.n_classes).all()
    flipped = draw_examples(data, seed=0, data_fraction=0.7, corruption=0.5, noise=Noise(kind="shift"))
    assert (flipped.given == draw(data, "pair_flip").given).all()


def test_asymmetric_labels_follow_the_rows_of_their_matrix():
    rows = ((0.5, 0.3, 0.2, 0.0), (0.0, 1.0, 0.0, 0.0), (0.1, 0.2, 0.3, 0.4), (0.0, 0.0, 1.0, 0.0))
    labels = np.arange(40_000) % 4
    data = Dataset(name="many", inputs=np.zeros((40_000, 1), dtype=np.float32), labels=labels, n_classes=4)
    drawn = wrong_labels(data, 3, Noise(kind="asymmetric", matrix=rows))
    for true, row in enumerate(rows):
        counts = np.bincount(drawn[labels == true], minlength=4)
        possible = np.array(row) > 0
        assert counts[~possible].sum() == 0
        if possible.sum() > 1:
            assert chisquare(counts[possible], 10_000 * np.array(row)[possible]).pvalue > 1e-3


def test_a_class_whose_row_keeps_it_stays_clean():
    drawn = draw(DATA["features"], "asymmetric", corruption=1.0)
    truth = DATA["features"].labels[drawn.train]
    assert not drawn.wrong[truth == 0].any()
    assert 0.6 < drawn.wrong[truth != 0].mean() < 0.95


@given(seed=seeds, modulus=st.integers(2, 9), share=shares)
def test_a_region_of_tokens_is_a_square_on_the_torus(seed, modulus, share):
    data = modular("modular_addition", modulus)
    centre = data.inputs[stream("region_centre", seed, data.name).integers(modulus**2)]
    rank = corruption_order(data, seed, "region")
    chosen = rank < count(share, modulus**2)

    def distance(pair):
        return max(min((a - b) % modulus, (b - a) % modulus) for a, b in zip(pair, centre, strict=True))

    distances = np.array([distance(pair) for pair in data.inputs.tolist()])
    assert chosen.sum() == count(share, modulus**2)
    assert not chosen.any() or chosen.all() or distances[chosen].max() <= distances[~chosen].min()
    ties = corruption_order(data, seed, "symmetric")
    for radius in set(distances):
        inside = distances == radius
        assert (np.argsort(rank[inside]) == np.argsort(ties[inside])).all()


@given(seed=seeds, fraction=fractions, corruption=shares)
def test_a_region_of_features_is_the_nearest_part_of_the_training_set(seed, fraction, corruption):
    data = DATA["features"]
    drawn = draw(data, "region", seed, fraction, corruption)
    centre = data.inputs[stream("region_centre", seed, data.name).integers(len(data.labels))]
    distance = ((data.inputs[drawn.train].astype(float) - centre) ** 2).sum(axis=1)
    nearest = np.zeros(len(drawn.train), dtype=bool)
    nearest[np.argsort(distance)[: count(corruption, len(drawn.train))]] = True
    assert not drawn.wrong[~nearest].any()
    assert (drawn.given[drawn.wrong] == draw(data, "symmetric", seed, fraction, 1.0).given[drawn.wrong]).all()


@given(seed=seeds)
def test_flip_rates_are_probabilities_that_differ(seed):
    rates = flip_rates(DATA["features"], seed)
    assert ((rates > 0) & (rates <= 1)).all()
    assert rates.std() > 0.05


def test_examples_with_a_higher_flip_rate_are_corrupted_more_often():
    data = features(n_examples=4000)
    early = corruption_order(data, 1, "instance") < 400
    rates = flip_rates(data, 1)
    assert abs(rates.mean() - 0.2) < 0.02
    expected = (rates**2).mean() / rates.mean()  # of the first in a weighted draw
    assert rates.mean() + 0.5 * (expected - rates.mean()) < rates[early].mean() < expected + 0.01


def test_instance_labels_depend_on_the_inputs_alone_up_to_chance():
    """Copies of one example get the same few labels, never the true one, and constant features do no harm."""
    base = features(n_examples=400, n_classes=6, n_features=8)
    inputs = base.inputs.copy()
    inputs[:200] = inputs[0]
    inputs[:, 3] = 1.0
    labels = base.labels.copy()
    labels[:200] = 2
    data = Dataset(name="copies", inputs=inputs, labels=labels, n_classes=6)
    drawn = wrong_labels(data, 0, Noise(kind="instance"))
    assert (drawn != labels).all()
    copies = np.bincount(drawn[:200], minlength=6) / 200
    others = np.bincount(drawn[200:], minlength=6) / 200
    assert copies.max() > others.max() + 0.1


def test_instance_labels_of_tokens_are_those_of_their_one_hot_inputs():
    data = DATA["tokens"]
    weights = stream("instance_weights", 0, data.name).standard_normal((2, 7, 7))
    one_hot = np.eye(7)[data.inputs]  # (M, 2, 7)
    scores = one_hot.reshape(49, 14) @ weights.reshape(14, 7)
    uniform = stream("instance_labels", 0, data.name).random(49)
    drawn = wrong_labels(data, 0, Noise(kind="instance"))
    for row in range(49):
        odds = np.exp(scores[row])
        odds[data.labels[row]] = 0
        edges = np.concatenate([[0], np.cumsum(odds / odds.sum())])
        assert edges[drawn[row]] <= uniform[row] < edges[drawn[row] + 1]


def test_rules_name_the_wrong_label_where_there_is_one():
    data = Dataset(name="four", inputs=np.zeros((4, 1), dtype=np.float32), labels=np.arange(4), n_classes=4)
    rows = ((1, 0, 0, 0), (0.3, 0.3, 0, 0.4), (0.2, 0.2, 0.6, 0), (0, 0, 1, 0))
    assert rule_labels(data, Noise(kind="asymmetric", matrix=rows)).tolist() == [NO_LABEL, 3, 0, 2]
    assert rule_labels(data, Noise(kind="pair_flip")).tolist() == [1, 2, 3, 0]
    assert rule_labels(data, Noise(kind="shift", shift_by=2)).tolist() == [2, 3, 0, 1]
    for kind in ("symmetric", "region", "instance"):
        assert (rule_labels(data, Noise(kind=kind)) == NO_LABEL).all()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_works_on_images(kind):
    drawn = draw(images("digits"), kind, corruption=0.3)
    assert len(drawn.train) == count(0.7, 1797)
    assert 0.15 < drawn.wrong.mean() <= 0.3
