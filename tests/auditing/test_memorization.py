"""Scores and the decomposition against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasemap.auditing.measures import Answers, decompose, scores


def answers_of(seed, rounds=6, n=20):
    source = np.random.default_rng(seed)
    halves = [source.permutation(n) < n // 2 for _ in range(rounds)]
    trained = np.array([half for pair in halves for half in (pair, ~pair)])
    right = source.random(trained.shape) < np.where(trained, 0.9, 0.6)
    odds = source.normal(size=trained.shape).astype(np.float32)
    return Answers(trained=trained, right=right, log_odds=odds, held_out=np.full((n, 2), 0.5, dtype=np.float32))


@given(seed=st.integers(0, 50))
def test_a_score_is_the_difference_of_two_shares(seed):
    answers = answers_of(seed)
    found = scores(answers)
    for row in range(20):
        inside = [answers.right[t, row] for t in range(12) if answers.trained[t, row]]
        outside = [answers.right[t, row] for t in range(12) if not answers.trained[t, row]]
        assert len(inside) == len(outside) == 6
        assert found.score[row] == pytest.approx(np.mean(inside) - np.mean(outside))
        assert found.error[row] == pytest.approx(np.sqrt(np.var(inside) / 5 + np.var(outside) / 5))


@given(seed=st.integers(0, 50))
def test_training_accuracy_is_the_sum_of_its_parts_and_the_mean_score_is_the_gap(seed):
    answers = answers_of(seed)
    wrong = np.random.default_rng(seed).random(20)
    found = decompose(answers, wrong)
    parts = found.held_out_accuracy.value + found.useful.value + found.harmful.value
    assert found.train_accuracy.value == pytest.approx(parts)
    assert found.gap.value == pytest.approx(scores(answers).score.mean())
    by_hand = (scores(answers).score * wrong).mean()
    assert found.harmful.value == pytest.approx(by_hand)


def test_intervals_over_rounds_cover_the_gap_nearly_as_often_as_they_say():
    hits = 0
    for seed in range(200):
        gap = decompose(answers_of(seed, rounds=5, n=100), np.zeros(100)).gap
        hits += gap.low <= 0.3 <= gap.high
    assert 0.90 <= hits / 200 <= 0.99


def test_only_labels_that_are_wrong_for_sure_count_as_harmful():
    answers = answers_of(1)
    assert decompose(answers, np.zeros(20)).harmful.value == 0
    assert decompose(answers, np.ones(20)).useful.value == 0
