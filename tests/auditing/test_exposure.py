"""The attack on membership: nothing to tell gives the false alarms, everything to tell gives all."""

import numpy as np

from phasemap.auditing.measures import Answers, exposure, true_positive_rate


def answers_with(effect, rounds=20, n=400):
    source = np.random.default_rng(0)
    halves = [source.permutation(n) < n // 2 for _ in range(rounds)]
    trained = np.array([half for pair in halves for half in (pair, ~pair)])
    odds = source.normal(size=n) * 3 + source.normal(size=trained.shape) + effect * trained
    return Answers(
        trained=trained,
        right=odds > 0,
        log_odds=odds.astype(np.float32),
        held_out=np.full((n, 2), 0.5, dtype=np.float32),
    )


def test_without_a_difference_members_are_told_as_often_as_others():
    found = exposure(answers_with(0.0))
    assert 0.0 <= found.value <= 0.03


def test_a_large_difference_gives_nearly_all_members_away_though_rows_differ_more():
    assert exposure(answers_with(6.0)).value > 0.9


def test_the_rate_is_that_of_the_strictest_threshold_within_the_false_alarms():
    source = np.random.default_rng(1)
    for _ in range(20):
        score, member = np.round(source.normal(size=300), 1), source.random(300) < 0.5
        best = max((score[member] > t).mean() for t in np.unique(score) if (score[~member] > t).mean() <= 0.01)
        assert true_positive_rate(score, member) == best


def test_too_few_trainings_give_no_number():
    assert np.isnan(exposure(answers_with(1.0, rounds=3)).value)


def test_the_interval_of_a_rate_ends_at_1():
    found = exposure(answers_with(5.0, rounds=6))
    assert found.value < found.high <= 1.0


def test_the_interval_of_a_rate_begins_at_0():
    assert exposure(answers_with(0.0, rounds=4, n=300)).low >= 0.0
