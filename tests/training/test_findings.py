"""What the paper says of small networks, trained here: findings that a wrong kernel, rule or task would break."""

import numpy as np
import pytest
from conftest import CPU, trial_of

from phasemap.phases.curves import Curves
from phasemap.phases.labels import phases, subphases
from phasemap.study.names import QUANTITIES
from phasemap.study.spec import PhaseRule
from phasemap.training.population import train_pack

WEIGHT_DECAYS = (5.0, 10.0, 15.0, 20.0, 25.0)


def phases_over_weight_decay(activation):
    """Train networks that differ in their weight decay and return each one's phase."""
    trials = [
        trial_of(
            trial_id=f"{activation}-{decay}", modulus=31, width=128, steps=800, data_fraction=0.75, corruption=0.1,
            weight_decay=decay, activation=activation,
        )
        for decay in WEIGHT_DECAYS
    ]  # fmt: skip
    results = train_pack(trials, device=CPU)
    curves = Curves(
        steps=np.asarray(results[0].steps),
        values={name: np.asarray([r.curves[name] for r in results]) for name in QUANTITIES},
        facts={
            "corruption": np.asarray([r.trial.corruption for r in results]),
            "n_corrupted": np.asarray([r.facts["n_corrupted"] for r in results]),
        },
    )
    return phases(subphases(curves, PhaseRule()), PhaseRule()).tolist()


@pytest.mark.parametrize(("activation", "forgets"), [("square", True), ("relu", False)])
def test_networks_with_square_activation_forget_under_weight_decay_and_those_with_relu_never_do(activation, forgets):
    found = phases_over_weight_decay(activation)
    assert found[0] == "grokking"
    assert ("forgetting" in found) == forgets
