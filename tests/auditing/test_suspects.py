"""Ranking, planted flips and probabilities."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from phasemap.auditing.suspects import (
    OTHERS,
    USUAL,
    Calibration,
    Copy,
    Evidence,
    Neighbourhood,
    Planted,
    check,
    choose,
    clear_rate,
    evidence,
    neighbours,
    plant,
    suspect_table,
)


def test_planted_flips_are_wrong_as_many_as_promised_and_half_go_to_the_runner_up():
    source = np.random.default_rng(0)
    held_out = source.dirichlet(np.ones(4), size=1000).astype(np.float32)
    labels = source.integers(4, size=1000)
    flipped, planted = plant(labels, held_out, seed=1)
    assert planted.sum() == 50
    assert (flipped[~planted] == labels[~planted]).all()
    others = held_out.copy()
    others[np.arange(1000), labels] = -1
    to_runner_up = flipped[planted] == others.argmax(axis=1)[planted]
    assert 25 <= to_runner_up.sum() <= 45
    assert (plant(labels, held_out, seed=2)[1] != planted).any()


def simulated(rate, n=8000, planted_share=0.05, seed=0):
    """Return suspicion and planted flips where wrong labels, planted or not, are alike and lie higher."""
    source = np.random.default_rng(seed)
    planted = source.random(n) < planted_share
    wrong = planted | (source.random(n) < rate)
    return np.where(wrong, 0.5, -0.4) + 0.25 * source.normal(size=n), planted, wrong


def support_of(truth, sureness, n_classes):
    """Return what is said of rows (n, C): sureness (n,) of the true class over an even share for all."""
    rest = (1 - sureness)[:, None] / n_classes
    return rest + sureness[:, None] * np.eye(n_classes)[truth]


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.2, 0.4])
@pytest.mark.parametrize("kind", ["uniform", "class"])
def test_the_share_of_wrong_labels_is_read_off_clear_rows(rate, kind):
    source = np.random.default_rng(3)
    truth, wrong = source.integers(4, size=6000), source.random(6000) < rate
    shift = source.integers(1, 4, size=6000) if kind == "uniform" else 1
    labels = np.where(wrong, (truth + shift) % 4, truth)
    said = support_of(truth, source.random(6000), 4)
    unclear = np.flatnonzero(said.max(axis=1) < 0.4)
    said[unclear] = np.roll(said[unclear], 1, axis=1)  # networks are mistaken, and don't know better
    found = clear_rate(Evidence(suspicion=np.zeros(6000), classes=said), labels)
    assert found.low - 0.01 <= rate <= found.high + 0.01
    assert found.high - found.low < 0.04


def test_clear_rows_are_those_with_the_widest_margin_of_each_answer():
    said = np.array([[0.5, 0.45, 0.05], [0.45, 0.3, 0.25], [0.48, 0.4, 0.12], [0.1, 0.1, 0.8]])
    found = Evidence(suspicion=np.zeros(4), classes=said)
    clear = [1, 2, 3]  # two of the three rows with the first answer, and the only one with another
    for row in range(4):
        labels = said.argmax(axis=1)
        labels[row] = 1
        assert clear_rate(found, labels).value == pytest.approx((row in clear) / 3)


@pytest.mark.parametrize(
    ("wrong", "rate"),
    [
        ([*range(0, 100, 10), *range(100, 200, 8)], 23 / 200),  # 10 % and 13 %: both thirds are clear
        ([*range(0, 100, 10), *range(100, 200, 2)], 10 / 100),  # 10 % and 50 %: the next third is harder
        ([*range(100, 200, 2)], 0.0),
        ([*range(0, 100, 2)], 50 / 200),  # where fewer differ, the next third is as clear
    ],
)
def test_the_next_third_counts_as_clear_unless_its_labels_differ_more_often(wrong, rate):
    truth = np.zeros(300, dtype=np.int64)
    said, labels = support_of(truth, np.linspace(0.9, 0.4, 300), 3), truth.copy()  # the surest row first
    labels[wrong] = 1
    assert clear_rate(Evidence(suspicion=np.zeros(300), classes=said), labels).value == pytest.approx(rate)


@st.composite
def evidences(draw):
    """Evidence about rows of three classes, with their labels."""
    n = draw(st.integers(1, 40))
    said = draw(arrays(np.float64, (n, 3), elements=st.floats(0.01, 1)))
    said /= said.sum(axis=1, keepdims=True)
    labels = draw(arrays(np.int64, n, elements=st.integers(0, 2)))
    near = np.zeros((n, 1), dtype=np.int64)
    return evidence(said, labels, near, said, labels, OTHERS[-1]), labels


@settings(max_examples=30, deadline=None)
@given(evidences(), st.floats(0, 1), st.floats(0, 1))
def test_probabilities_rise_and_have_means_within_what_is_known(example, low, high):
    found, labels = example
    low, high = sorted([low, high])
    fitted = Calibration.of(found, labels, low, high)
    probability, cautious = fitted.probability(found.suspicion), fitted.cautious(found.suspicion)
    order = np.argsort(found.suspicion)
    assert (np.diff(probability[order]) >= 0).all()
    assert (np.diff(cautious[order]) >= 0).all()
    assert (probability >= cautious).all()
    allowed = np.clip([low, high], 1e-4, 0.9)
    assert allowed[0] - 1e-6 <= cautious.mean() <= probability.mean() + 1e-9 <= allowed[1] + 1e-6
    if low <= clear_rate(found, labels).value <= high:
        assert cautious.mean() == pytest.approx(np.clip(clear_rate(found, labels).value, 1e-4, 0.9), abs=1e-6)


def test_a_label_that_a_third_of_all_speaks_against_is_at_least_as_likely_wrong_as_not():
    truth, sureness = np.zeros(300, dtype=np.int64), np.linspace(0.9, 0.35, 300)
    said, labels = support_of(truth, sureness, 3), truth.copy()
    labels[-15:] = 1  # behind all rows that are clear
    near = np.zeros((300, 1), dtype=np.int64)
    found = evidence(said, labels, near, said, labels, Neighbourhood(0.0, 0.0))
    probability = Calibration.of(found, labels).probability(found.suspicion)
    assert found.suspicion[-15:].min() > 1 / 3
    assert (probability[-15:] >= 0.5).all()
    assert (probability[:-15] < 0.05).all()


def test_only_the_reported_probability_counts_mistakes_among_rows_that_are_less_clear():
    truth, sureness = np.zeros(300, dtype=np.int64), np.linspace(0.9, 0.3, 300)
    said, labels = support_of(truth, sureness, 3), truth.copy()
    labels[160:195] = 1  # behind the surest third, within the surer two thirds
    near = np.zeros((300, 1), dtype=np.int64)
    found = evidence(said, labels, near, said, labels, Neighbourhood(0.0, 0.0))
    fitted = Calibration.of(found, labels)
    assert fitted.cautious(found.suspicion).mean() == pytest.approx(1e-4)
    assert fitted.probability(found.suspicion).mean() > 0.1
    assert (fitted.probability(found.suspicion[160:195]) > 0.5).all()


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.4])
def test_probabilities_are_calibrated_where_mistakes_are_spread_evenly(rate):
    source = np.random.default_rng(2)
    truth, wrong = source.integers(3, size=9000), source.random(9000) < rate
    labels = np.where(wrong, (truth + source.integers(1, 3, size=9000)) % 3, truth)
    said, near = support_of(truth, source.beta(4, 2, size=9000), 3), np.zeros((9000, 1), dtype=np.int64)
    found = evidence(said, labels, near, said, labels, Neighbourhood(0.0, 0.0))
    probability = Calibration.of(found, labels).probability(found.suspicion)
    for low, high in ((0.0, 0.5), (0.5, 1.0)):
        inside = (probability >= low) & (probability < high)
        assert probability[inside].mean() == pytest.approx(wrong[inside].mean(), abs=0.12)


@pytest.mark.parametrize("weights", [USUAL, *OTHERS])
def test_evidence_is_the_margin_of_row_and_neighbours_together(weights):
    source = np.random.default_rng(3)
    held_out = source.dirichlet(np.ones(3), size=12).astype(np.float32)
    labels, near = source.integers(3, size=12), source.integers(12, size=(12, 4))
    found = evidence(held_out, labels, near, held_out, labels, weights)
    for row in range(12):
        support = held_out[row].astype(float) + weights.held_out * np.mean([held_out[j] for j in near[row]], axis=0)
        for j in near[row]:
            support[labels[j]] += weights.votes / 4
        support /= 1 + weights.held_out + weights.votes
        best = max(support[c] for c in range(3) if c != labels[row])
        assert found.suspicion[row] == pytest.approx(best - support[labels[row]], abs=1e-5)
        np.testing.assert_allclose(found.classes[row], support, atol=1e-5)


def copy_of(certainty, wrong_before, n=2000):
    """Return a copy of two classes with neighbours of the same class, and how sure networks are of the true one."""
    source = np.random.default_rng(0)
    truth, near = np.arange(n) % 2, (np.arange(n)[:, None] + 2 * np.arange(1, 6)) % n
    planted = source.random(n) < 0.05
    wrong = planted | (source.random(n) < wrong_before)
    held_out = certainty * np.eye(2)[truth] + (1 - certainty) * source.dirichlet([1, 1], size=n)
    return Copy(labels=np.where(wrong, 1 - truth, truth), planted=planted, held_out=held_out), near


def test_networks_that_tell_nothing_do_not_count_where_the_labels_of_neighbours_do():
    copy, near = copy_of(certainty=0.0, wrong_before=0.0)
    assert choose([copy], near) == OTHERS[-1]
    planted = Planted.of([copy, copy], near)
    assert planted.neighbourhood == OTHERS[-1]
    np.testing.assert_array_equal(planted.suspicion[:2000], copy.suspicion(near, OTHERS[-1]))


def test_networks_that_tell_much_of_neighbours_count_where_labels_are_often_wrong():
    copy, near = copy_of(certainty=0.2, wrong_before=0.35)
    assert choose([copy], near) == USUAL


def test_neighbours_are_the_nearest_other_rows():
    points = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    for row, near in enumerate(neighbours(points)):
        distance = np.linalg.norm(points - points[row], axis=1)
        assert set(near) == set(np.argsort(distance)[1:11])


def test_a_good_ranking_is_trusted_and_a_random_one_is_not():
    source = np.random.default_rng(0)
    planted = source.random(1000) < 0.05
    good = planted + 0.3 * source.normal(size=1000)
    found = check(Planted(suspicion=good, planted=planted), rate=0.0)
    assert found.trusted
    assert found.auc.value == pytest.approx(roc_auc_score(planted, good), abs=0.01)
    lost = check(Planted(suspicion=source.normal(size=1000), planted=planted), rate=0.0)
    assert not lost.trusted
    assert lost.auc.low < 0.5 < lost.auc.high


def test_labels_that_were_wrong_before_do_not_count_against_the_ranking():
    suspicion, planted, wrong = simulated(0.4)
    right_or_planted = ~wrong | planted
    found = check(Planted(suspicion=suspicion, planted=planted), rate=0.4)
    assert np.isfinite(check(Planted(suspicion=suspicion, planted=planted), rate=1.0).auc.value)
    expected = roc_auc_score(planted[right_or_planted], suspicion[right_or_planted])
    assert found.auc.low <= expected <= found.auc.high
    assert found.found.value > 0.9


def test_the_table_has_every_row_most_suspect_first_with_one_of_three_kinds():
    classes = np.array([[0.1, 0.8, 0.1], [0.4, 0.35, 0.25], [0.9, 0.05, 0.05]])
    found = Evidence(suspicion=np.array([0.7, -0.05, -0.85]), classes=classes)
    probability = expit(np.array([3.0, -1.0, -5.0]))
    table = suspect_table(found, probability, np.array([0.9, 0.3, 0.0]), np.zeros(3, dtype=int), ("a", "b", "c"))
    assert list(table.columns) == ["row", "given_label", "suggested_label", "probability", "kind"]
    assert table["row"].tolist() == [0, 1, 2]
    assert table["kind"].tolist() == ["wrong", "ambiguous", "rare"]
    assert table["suggested_label"].tolist() == ["b", "a", "a"]
