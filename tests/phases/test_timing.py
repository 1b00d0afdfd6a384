"""Step times: interpolated in log(step), null where nothing happened."""

import numpy as np
import pytest
from test_rules import curves

from phasemap.phases.curves import Curves
from phasemap.phases.labels import columns, step_times
from phasemap.study.rule_file import packaged_rule, rule_of
from phasemap.study.spec import PhaseRule

RULE = PhaseRule()


def times(**values):
    base = {"test_accuracy": 0.0, "clean_accuracy": 0.0, "memorized_accuracy": 0.0}
    return {name: value[0] for name, value in step_times(curves(**(base | values)), rule_of(RULE)).items()}


def test_rises_are_interpolated_in_the_logarithm_of_the_step():
    found = times(clean_accuracy=[0, 0.8, 1.0, 1.0], test_accuracy=[0, 0, 0.8, 1.0])
    assert found["memorization_step"] == pytest.approx(10**1.5)
    assert found["grokking_step"] == pytest.approx(10**2.5)


def test_what_was_so_from_the_start_happened_at_the_first_record():
    assert times(clean_accuracy=1.0)["memorization_step"] == 1


def test_what_did_not_happen_by_the_horizon_is_null():
    assert all(np.isnan(value) for value in times().values())


def test_forgetting_is_the_fall_after_which_test_accuracy_stays_low():
    assert times(test_accuracy=[1.0, 0.5, 1.0, 0.8])["forgetting_step"] == pytest.approx(10**2.5)
    assert np.isnan(times(test_accuracy=[1.0, 0.5, 0.5, 1.0])["forgetting_step"])
    assert np.isnan(times(test_accuracy=[0.1, 0.5, 0.8, 0.1])["forgetting_step"])


def test_unlearning_is_the_fall_below_half_of_a_peak_of_at_least_one_half():
    assert times(memorized_accuracy=[0.2, 0.8, 0.6, 0.2])["unlearning_step"] == pytest.approx(10**2.5)
    assert np.isnan(times(memorized_accuracy=[0.2, 0.49, 0.1, 0.0])["unlearning_step"])
    assert np.isnan(times(memorized_accuracy=[0.2, 0.8, 0.3, 0.8])["unlearning_step"])
    assert np.isnan(times(memorized_accuracy=np.nan)["unlearning_step"])


def test_delayed_compares_the_two_steps_and_is_null_without_either():
    ratio = {
        "memorization_step": np.asarray([10.0, 10, np.nan, 10]),
        "grokking_step": np.asarray([30.0, 29, 9, np.nan]),
    }
    four = Curves(
        steps=np.asarray([1]), values={}, facts={"corruption": np.zeros(4), "n_corrupted": np.zeros(4, dtype=np.int64)}
    )
    found = columns(four, packaged_rule("memorized_fraction"), ratio)["delayed"]
    assert found.tolist() == [True, False, None, None]


def test_crossings_divide_their_interval_in_proportion():
    assert times(test_accuracy=[0.0, 0.7, 0.8, 1.0])["grokking_step"] == pytest.approx(10**2.5)
    assert times(test_accuracy=[0.0, 0.87, 0.99, 1.0])["grokking_step"] == pytest.approx(10**1.25)


def test_a_peak_of_one_half_is_enough_to_be_unlearned():
    assert times(memorized_accuracy=[0.2, 0.5, 0.3, 0.1])["unlearning_step"] == pytest.approx(10 ** (2.25))
    assert np.isnan(times(memorized_accuracy=[0.2, 0.499, 0.1, 0.0])["unlearning_step"])


def test_steps_follow_their_own_threshold():
    rule = PhaseRule(generalized=0.6, memorized=0.8)
    found = step_times(
        curves(test_accuracy=[0, 0.6, 0.6, 0.6], clean_accuracy=[0, 0, 0.8, 0.8], memorized_accuracy=0.0), rule_of(rule)
    )
    assert found["grokking_step"] == pytest.approx([10.0])
    assert found["memorization_step"] == pytest.approx([100.0])
