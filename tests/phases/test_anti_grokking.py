"""Anti-grokking is told from memorization and from forgetting, by the rule file that ships with the laws."""

from pathlib import Path

import pandas as pd
import pytest
from conftest import run_in_process, study_of

import phasemap as pm

RULE = Path(__file__).parents[2] / "studies" / "laws" / "anti_grokking_rule.yml"
STEPS = (1, 10, 100, 300, 600, 910, 920, 940, 970, 1000)
UP, KEPT = (0.1, 0.2, 0.5), (0.5, 0.95, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
CURVES = {  # of the test and the training accuracy
    "anti_grokking": ((*UP, 0.95, 0.99, 0.6, 0.5, 0.4, 0.4, 0.3), KEPT),
    "memorization": ((*UP, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6), KEPT),
    "forgetting": ((*UP, 0.95, 0.99, 0.6, 0.5, 0.4, 0.4, 0.3), (*KEPT[:5], 0.7, 0.6, 0.5, 0.5, 0.4)),
    "confusion": ((*UP, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6), (0.5,) * 10),
    "grokking": ((*UP, 0.95, 0.99, 0.6, 0.95, 0.96, 0.97, 0.98), KEPT),  # a dip is not a loss
}


@pytest.mark.parametrize("label", CURVES)
def test_made_up_curves_get_their_label(label):
    test, train = CURVES[label]
    curves = pd.DataFrame({"trial_id": "a", "step": STEPS, "test_accuracy": test, "train_accuracy": train})
    curves = curves.assign(clean_accuracy=train)
    (row,) = pm.label(curves, str(RULE)).to_dict("records")
    assert row["subphase"] == label
    assert (row["anti_grokking_step"] > 600) == (label in ("anti_grokking", "forgetting"))
    assert row["lost_accuracy"] == pytest.approx(max(test) - sorted(test[5:])[2])


def test_a_network_that_generalized_and_then_learns_wrong_labels_by_heart_anti_groks(tmp_path):
    """A real training: 40 % of the labels turn wrong after step 250, when it answers all held-out examples."""
    study = study_of(
        task={"kind": "modular_addition", "modulus": 23},
        model={"width": 64},
        training={"steps": 600},
        interventions={"corrupt": 0.4, "corrupt_at": 250},
        axes={"weight_decay": [0.0]},
        fixed={"data_fraction": 0.7},
        phases={"rule": str(RULE)},
        seeds=1,
    )
    (row,) = pm.Run(run_in_process(study, tmp_path)).trials.to_dict("records")
    assert row["subphase"] == "anti_grokking"
    assert row["train_accuracy"] == 1
    assert row["anti_grokking_step"] > 250
    assert row["lost_accuracy"] > 0.5
