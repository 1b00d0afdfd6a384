"""What is measured at a record, against an obvious count."""

import math

import numpy as np
import pytest
from conftest import CPU, trial_of

from phasemap.study.names import QUANTITIES
from phasemap.tasks.examples import examples_of
from phasemap.training.population import train_pack
from phasemap.training.recording import Evaluation, measure

ROWS = tuple(tuple(1.0 if y == 0 and z == 0 else 1.0 if y and z == y - 1 else 0.0 for z in range(7)) for y in range(7))
"""Class 0 stays as it is; the others become the one before."""


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"corruption_kind": "pair_flip"}, lambda y: (y + 1) % 7),
        ({"corruption_kind": "shift", "shift_by": 3}, lambda y: (y + 3) % 7),
        ({"corruption_kind": "asymmetric", "matrix": ROWS}, lambda y: y - 1 if y else None),
    ],
)
def test_rule_capture_is_the_share_of_held_out_answers_that_follow_the_noise(settings, rule):
    examples = examples_of(trial_of(modulus=7, corruption=0.3, data_fraction=0.6, **settings))
    predicted = np.random.default_rng(0).integers(7, size=49)
    measured = measure(examples, Evaluation(predicted=predicted, train_loss=0.0, test_loss=0.0, norms={}))
    held_out = list(zip(predicted[len(examples.train) :], examples.dataset.labels[examples.test], strict=True))
    counted = [answer == rule(y) for answer, y in held_out if rule(y) is not None]
    assert 0 < len(counted) <= len(held_out)
    assert measured["rule_capture"] == pytest.approx(sum(counted) / len(counted))
    assert list(measured) == list(QUANTITIES)


@pytest.mark.parametrize("kind", ["symmetric", "region", "instance"])
def test_noise_without_a_rule_captures_nothing(kind):
    examples = examples_of(trial_of(modulus=7, corruption=0.3, corruption_kind=kind))
    answers = Evaluation(predicted=np.zeros(49, dtype=int), train_loss=0.0, test_loss=0.0, norms={})
    assert math.isnan(measure(examples, answers)["rule_capture"])


def test_a_network_that_is_taught_another_rule_is_captured_by_it():
    """With every label shifted, the rule of the training labels is (m + n + 1) mod p."""
    trial = trial_of(
        modulus=13, width=48, steps=300, data_fraction=0.8, weight_decay=4.0, corruption=1.0,
        corruption_kind="pair_flip",
    )  # fmt: skip
    (result,) = train_pack([trial], device=CPU)
    assert result.curves["rule_capture"][-1] > 0.9
    assert result.curves["test_accuracy"][-1] < 0.1
