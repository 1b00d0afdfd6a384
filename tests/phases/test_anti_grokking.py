"""Anti-grokking is told from memorization and from forgetting, by the rule file that ships with the laws."""

from pathlib import Path

import pandas as pd
import pytest

import phasemap as pm

RULE = Path(__file__).parents[2] / "studies" / "laws" / "anti_grokking_rule.yml"
STEPS = (1, 10, 100, 300, 600, 910, 920, 940, 970, 1000)
UP, KEPT = (0.1, 0.2, 0.5), (0.5, 0.95, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
CURVES = {  # of the test and the training accuracy
    "anti_grokking": ((*UP, 0.95, 0.99, 0.6, 0.5, 0.4, 0.4, 0.3), KEPT),
    "memorization": ((*UP, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6), KEPT),
    "forgetting": ((*UP, 0.95, 0.99, 0.6, 0.5, 0.4, 0.4, 0.3), (*KEPT[:5], 0.7, 0.6, 0.5, 0.5, 0.4)),
    "confusion": ((*UP, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6), (0.5,) * 10),
    "grokking": ((*UP, 0.95, 0.99, 0.6, 0.95, 0.96, 0.97, 0.98), KEPT),  # a dip is no loss
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
