"""Quantities that were recorded less often than others can be labelled by what there is of them."""

import numpy as np
import pandas as pd

import phasemap as pm


def test_a_number_at_the_end_and_a_sparse_curve_are_labelled(tmp_path):
    ids, steps = ["a", "b", "c"], range(1, 61)
    frame = pd.DataFrame({"trial_id": ids, "lr": [0.1, 0.2, 0.3], "score": [0.9, 0.1, np.nan]})
    rows = [{"trial_id": one, "step": step, "loss": 1 / step, "acc": 0.8 if step % 3 == 0 else np.nan}
            for one in ids for step in steps]  # fmt: skip
    (tmp_path / "rule.yaml").write_text("labels: {good: score >= 0.5 and acc >= 0.5, bad: otherwise}\n")
    run = pm.sweeps.from_frame(
        frame, ["lr"], curves=pd.DataFrame(rows), rule=tmp_path / "rule.yaml", run=tmp_path / "run"
    )
    found = run.trials.set_index("source_id").loc[ids]
    assert found["subphase"].tolist()[:2] == ["good", "bad"]
    assert pd.isna(found["subphase"].iloc[2])
    assert found["label_reason"].iloc[2] is not None
