"""Merge shards into one row a trial, and label the trials by a rule; nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from phasemap.phases.curves import QUANTITIES, Curves
from phasemap.phases.labelling import LABEL_COLUMNS, label_curves
from phasemap.results.schema import STATUSES
from phasemap.study.names import FINALS
from phasemap.study.problems import UserError
from phasemap.study.spec import SETTINGS, PhaseRule

TRIAL_COLUMNS = (
    "trial_id",
    *SETTINGS,
    "seed",
    "status",
    *LABEL_COLUMNS[:5],
    *QUANTITIES,
    "corruption_effective",
    "n_train",
    "n_corrupted",
    "n_classes",
    *LABEL_COLUMNS[5:],
    *FINALS,
    "train_seconds",
    "pack_id",
    "host",
    "device",
    "error",
)


def merge_rows(table: pa.Table) -> pa.Table:
    """Keep one row a trial, the best by status, in the order of the ids.

    Merging is commutative, associative and idempotent: which row is kept depends on the rows alone.
    """
    keys = table.select(["trial_id", "status", "pack_id", "host", "error", "train_seconds"]).to_pandas()
    keys["status"] = keys["status"].map({status: rank for rank, status in enumerate(STATUSES)})
    order = keys.fillna({"error": "", "train_seconds": 0.0}).sort_values(list(keys.columns), kind="stable")
    return table.take(pa.array(order.drop_duplicates("trial_id").index.to_numpy()))


def select_rows(table: pa.Table, trial_ids: Sequence[str]) -> pa.Table:
    """Keep the rows of the given trials, in their order; trials without a row are left out."""
    places = {trial_id: i for i, trial_id in enumerate(table["trial_id"].to_pylist())}
    return table.take(pa.array([places[i] for i in trial_ids if i in places], type=pa.int64()))


def trial_table(rows: pa.Table, rule: PhaseRule, at_step: int | None = None) -> pd.DataFrame:
    """Return one row a trial with TRIAL_COLUMNS: settings, labels at the horizon (or at an earlier step), timing.

    Only trials with status ``ok`` get labels. UserError if nothing was recorded by ``at_step``.
    """
    lists = {"step", *QUANTITIES}
    finals = [f"final_{name}" for name in QUANTITIES]
    frame = rows.select([n for n in rows.column_names if n not in lists]).to_pandas()
    frame = frame.rename(columns=dict(zip(finals, QUANTITIES, strict=True)))
    labels = _labels(rows, rule, at_step)
    frame = frame.drop(columns=[name for name in labels.columns if name in frame and name not in QUANTITIES])
    for name in labels.columns:
        if name in QUANTITIES:
            frame.loc[labels.index, name] = labels[name]
    frame = frame.join(labels[list(LABEL_COLUMNS)])
    if at_step is not None:
        frame[list(FINALS)] = np.nan  # known of the final weights only
    return frame[list(TRIAL_COLUMNS)]


def curve_table(rows: pa.Table) -> pa.Table:
    """Return the curves in long form: trial_id, status, corruption, n_corrupted, step and the quantities."""
    counts = np.asarray([len(steps) for steps in rows["step"]], dtype=np.int64)
    repeat = pa.array(np.repeat(np.arange(len(counts)), counts))
    columns = {
        name: rows[name].combine_chunks().take(repeat) for name in ("trial_id", "status", "corruption", "n_corrupted")
    }
    for name in ("step", *QUANTITIES):
        flat = rows[name].combine_chunks().flatten()
        columns[name] = flat if name == "step" else pa.array(flat.to_numpy(zero_copy_only=False), from_pandas=True)
    return pa.table(columns)


def curves_of(rows: pa.Table, quantities: Sequence[str] = QUANTITIES) -> list[tuple[np.ndarray, Curves]]:
    """Return (row numbers, curves) for every group of trials that were recorded at the same steps."""
    rows = rows.select(["step", "corruption", "n_corrupted", *quantities])
    steps = rows["step"].to_pylist()
    groups: dict[tuple[int, ...], list[int]] = {}
    for row, recorded in enumerate(steps):
        groups.setdefault(tuple(recorded), []).append(row)
    found = []
    for recorded, members in groups.items():
        part = rows.take(pa.array(members))
        shape = (len(members), len(recorded))
        values = {
            q: part[q].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(shape) for q in quantities
        }
        curves = Curves(
            steps=np.asarray(recorded, dtype=np.int64),
            values=values,
            corruption=part["corruption"].to_numpy(),
            n_corrupted=part["n_corrupted"].to_numpy(),
        )
        found.append((np.asarray(members), curves))
    return found


def _labels(rows: pa.Table, rule: PhaseRule, at_step: int | None) -> pd.DataFrame:
    """Label the rows with status ``ok``; indexed by row number."""
    ok = np.flatnonzero(np.asarray(rows["status"].to_pylist(), dtype=object) == "ok")
    parts = []
    for members, curves in curves_of(rows.take(pa.array(ok))):
        try:
            until = curves if at_step is None else curves.until(at_step)
        except ValueError as error:
            raise UserError(f"--at-step {at_step}: {error}") from None
        parts.append(label_curves(until, rule).set_index(pd.Index(ok[members])))
    if not parts:
        return pd.DataFrame(columns=[*LABEL_COLUMNS, *QUANTITIES])
    return pd.concat(parts)
