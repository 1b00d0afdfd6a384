"""All labels of trials from their curves, as one table."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from phasemap.phases.curves import ACCURACIES, QUANTITIES, Curves
from phasemap.phases.rules import DOSHI2024, MEMORIZED_FRACTION, phases, settled, subphases
from phasemap.phases.timing import delayed, step_times
from phasemap.study.names import STEP_TIMES
from phasemap.study.spec import PhaseRule

LABEL_COLUMNS = (
    "phase",
    "subphase",
    "rule",
    "subphase_doshi2024",
    "subphase_memorized_fraction",
    "peak_test_accuracy",
    *STEP_TIMES,
    "delayed",
    "horizon",
    "settled",
)


def label_curves(curves: Curves, rule: PhaseRule) -> pd.DataFrame:
    """Label n trials at the horizon of their curves: one row a trial, LABEL_COLUMNS and the last quantities."""
    subphase = subphases(curves, rule)
    times = step_times(curves, rule)
    columns = {
        "phase": phases(subphase),
        "subphase": subphase,
        "rule": rule.rule,
        "subphase_doshi2024": subphases(curves, DOSHI2024),
        "subphase_memorized_fraction": subphases(curves, MEMORIZED_FRACTION if rule.rule == "doshi2024" else rule),
        "peak_test_accuracy": curves.values["test_accuracy"].max(axis=1),
        **times,
        "delayed": pd.array(delayed(times), dtype="boolean"),
        "horizon": np.full(len(curves), curves.steps[-1]),
        "settled": pd.array(settled(curves, rule), dtype="boolean"),
        **{name: curves.values[name][:, -1] for name in QUANTITIES if name in curves.values},
    }
    return pd.DataFrame(columns)


def label_frame(frame: pd.DataFrame, rule: PhaseRule) -> pd.DataFrame:
    """Label trials given in long form: trial_id, step, the accuracies, and corruption and n_corrupted per trial.

    Returns a table indexed by trial_id with LABEL_COLUMNS. Where the table has a status, only trials that ended ``ok``
    get labels. Raises ValueError when a column is missing.
    """
    missing = [c for c in ("trial_id", "step", "corruption", "n_corrupted", *ACCURACIES) if c not in frame]
    if missing:
        raise ValueError(f"the curves lack the columns {', '.join(missing)}")
    parts = []
    for ids, whole in curves_in(frame):
        curves = whole if rule.at_step is None else whole.until(rule.at_step)
        labels = label_curves(curves, rule)[list(LABEL_COLUMNS)]
        parts.append(labels.set_index(pd.Index(ids, name="trial_id")))
    return pd.concat(parts) if parts else pd.DataFrame(columns=list(LABEL_COLUMNS))


def curves_in(frame: pd.DataFrame) -> Iterator[tuple[np.ndarray, Curves]]:
    """Yield (trial ids, curves) for every group of ``ok`` trials in long form that were recorded at the same steps."""
    if "status" in frame:
        frame = frame[frame["status"] == "ok"]
    ordered = frame.sort_values(["trial_id", "step"])
    steps = ordered.groupby("trial_id", sort=False)["step"].agg(tuple)
    for same_steps, ids in steps.groupby(steps, sort=False).groups.items():
        rows = ordered[ordered["trial_id"].isin(ids)]
        shape = (len(ids), len(same_steps))
        first = rows.iloc[:: shape[1]]
        yield (
            first["trial_id"].to_numpy(),
            Curves(
                steps=np.asarray(same_steps, dtype=np.int64),
                values={q: rows[q].to_numpy(dtype=float).reshape(shape) for q in ACCURACIES},
                corruption=first["corruption"].to_numpy(dtype=float),
                n_corrupted=first["n_corrupted"].to_numpy(dtype=np.int64),
            ),
        )
