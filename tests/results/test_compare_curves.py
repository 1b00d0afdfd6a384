"""Two trainings of one trial are equal to the bit, within tolerance, or different."""

import dataclasses
import math

import pytest
from conftest import study_of
from synthetic import result_of

from phasemap.results.curve_comparison import compare
from phasemap.results.shards import shard_table
from phasemap.study.spec import PhaseRule
from phasemap.study.trials import expand

RULE = PhaseRule()
TRIAL = next(iter(expand(study_of(training={"steps": 300}))))


def table(result):
    return shard_table("pack", [result])


def changed(result, name, at, value):
    """Return a result with one value of one curve changed."""
    curve = list(result.curves[name])
    curve[at] = value(curve[at])
    return dataclasses.replace(result, curves={**result.curves, name: curve})


@pytest.fixture(scope="module")
def stored():
    return result_of(TRIAL, "ok")


def test_the_same_curve_is_met_to_the_bit_wherever_it_was_trained(stored):
    other = dataclasses.replace(stored, train_seconds=9.0, device="cuda")
    found = compare(table(stored), table(other), RULE)
    assert found.verdict == "bit"
    assert found.stored == found.replayed
    assert all(deviation.equal for deviation in found.deviations.values())


@pytest.mark.parametrize(("factor", "verdict"), [(1 + 1e-12, "tolerance"), (1 + 9e-4, "tolerance"), (1.002, "not_met")])
def test_the_first_steps_decide_between_tolerance_and_not_met(stored, factor, verdict):
    other = changed(stored, "train_loss", 3, lambda value: value * factor)
    found = compare(table(stored), table(other), RULE)
    assert found.verdict == verdict
    deviation = found.deviations["train_loss"]
    assert deviation.at_step == stored.steps[3]
    assert deviation.relative == pytest.approx(factor - 1, rel=1e-3)
    assert deviation.largest == pytest.approx(abs(stored.curves["train_loss"][3]) * (factor - 1), rel=1e-3)
    assert found.deviations["test_loss"].equal


def test_later_steps_may_drift_while_the_phase_stays(stored):
    late = changed(stored, "test_loss", -1, lambda value: value * 3)
    found = compare(table(stored), table(late), RULE)
    assert found.verdict == "tolerance"
    assert found.deviations["test_loss"].relative == 0
    assert found.deviations["test_loss"].at_step == 300


def test_another_phase_is_not_met(stored):
    zeros = dict.fromkeys(("train_accuracy", "test_accuracy"), [0.0] * len(stored.steps))
    early = {name: [*stored.curves[name][:20], *values[20:]] for name, values in zeros.items()}
    found = compare(table(stored), table(dataclasses.replace(stored, curves=stored.curves | early)), RULE)
    assert found.verdict == "not_met"
    assert found.stored.phase != found.replayed.phase


def test_a_value_that_only_one_has_is_not_met(stored):
    found = compare(table(stored), table(changed(stored, "train_loss", 2, lambda _: math.nan)), RULE)
    assert found.verdict == "not_met"
    assert found.deviations["train_loss"].largest == math.inf


def test_a_diverged_trial_is_met_if_it_diverges_after_the_same_record():
    diverged = result_of(TRIAL, "diverged")
    assert compare(table(diverged), table(diverged), RULE).verdict == "bit"
    shorter = dataclasses.replace(
        diverged, steps=diverged.steps[:-1], curves={name: curve[:-1] for name, curve in diverged.curves.items()}
    )
    found = compare(table(diverged), table(shorter), RULE)
    assert found.verdict == "not_met"
    assert (found.stored.last_step, found.replayed.last_step) == (diverged.steps[-1], diverged.steps[-2])
    assert compare(table(result_of(TRIAL, "ok")), table(diverged), RULE).verdict == "not_met"
