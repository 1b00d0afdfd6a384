"""Merge shards into one row a trial, and label the trials by a rule; nothing is trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from phasemap.phases.curves import QUANTITIES, Curves
from phasemap.phases.labelling import LABEL_COLUMNS, label_curves, needed_of, own_columns
from phasemap.phases.terms import own_terms, term_column, term_columns
from phasemap.results.schema import SHARD_SCHEMA, STATUSES
from phasemap.study.errors import UserError
from phasemap.study.names import FINALS
from phasemap.study.networks import NETWORK_SETTINGS
from phasemap.study.spec import PhaseRule

N_NAMES = LABEL_COLUMNS.index("label_reason") + 1  # of the columns of labels, the first are texts
TRIAL_COLUMNS = (
    "trial_id",
    *NETWORK_SETTINGS,
    "seed",
    "status",
    *LABEL_COLUMNS[:N_NAMES],
    *QUANTITIES,
    "corruption_effective",
    "n_train",
    "n_corrupted",
    "n_classes",
    *LABEL_COLUMNS[N_NAMES:],
    *FINALS,
    "train_seconds",
    "pack_id",
    "host",
    "device",
    "kernel",
    "error",
)
LABEL_TYPES = {"horizon": pa.int64(), "delayed": pa.bool_(), "settled": pa.bool_()} | dict.fromkeys(
    LABEL_COLUMNS[:N_NAMES], pa.string()
)  # the others are numbers
TRIAL_SCHEMA = pa.schema(
    [
        SHARD_SCHEMA.field(name)
        if name in SHARD_SCHEMA.names and name not in QUANTITIES
        else pa.field(name, LABEL_TYPES.get(name, pa.float64()))
        for name in TRIAL_COLUMNS
    ]
)


def trial_schema(rule: PhaseRule, *, terms: bool = False) -> pa.Schema:
    """Return the schema of the table of trials: TRIAL_SCHEMA, the columns of own labels, and with ``terms`` theirs."""
    own = own_columns(rule).items()
    fields = [pa.field(name, pa.bool_() if kind is bool else pa.float64()) for name, kind in own]
    fields += [pa.field(term_column(term), pa.float64()) for term in (own_terms(rule) if terms else ())]
    return pa.schema([*TRIAL_SCHEMA, *fields])


MERGE_KEYS = ["trial_id", "status", "pack_id", "host", "error", "train_seconds"]
"""What decides which of a trial's rows is kept, in this order."""


def merge_rows(table: pa.Table) -> pa.Table:
    """Keep one row a trial, the best by status, in the order of the ids.

    Merging is commutative, associative and idempotent: which row is kept depends on the rows alone.
    """
    return table.take(pa.array(merged_order(table)))


def merged_order(table: pa.Table) -> np.ndarray:
    """Return the numbers of the rows that a merge keeps; reads the columns MERGE_KEYS."""
    keys = table.select(MERGE_KEYS).combine_chunks()
    keys = keys.set_column(1, "status", pc.index_in(keys["status"], value_set=pa.array(STATUSES)))
    keys = keys.set_column(4, "error", pc.fill_null(keys["error"], ""))
    keys = keys.set_column(5, "train_seconds", pc.fill_null(keys["train_seconds"], 0.0))
    order = pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in MERGE_KEYS])
    ids = keys["trial_id"].take(order)
    first = np.ones(len(ids), dtype=bool)
    if len(ids) > 1:
        first[1:] = pc.not_equal(ids.slice(1), ids.slice(0, len(ids) - 1)).to_numpy()
    return np.asarray(order.to_numpy()[first], dtype=np.int64)


def select_rows(table: pa.Table, trial_ids: Sequence[str]) -> pa.Table:
    """Keep the rows of the given trials, in their order; trials without a row are left out."""
    ids = pa.array(trial_ids, pa.string())
    return table.take(pc.index_in(ids, value_set=table["trial_id"].combine_chunks()).drop_null())


def trial_table(rows: pa.Table, rule: PhaseRule, at_step: int | None = None, *, terms: bool = False) -> pd.DataFrame:
    """Return ``trial_rows`` as a data frame."""
    return trial_frame(trial_rows(rows, rule, at_step, terms=terms))


def trial_frame(rows: pa.Table) -> pd.DataFrame:
    """Return labelled rows as a data frame, whose truth values may be missing."""
    frame: pd.DataFrame = rows.to_pandas()
    settings = (*NETWORK_SETTINGS, *SHARD_SCHEMA.names)
    truths = [field.name for field in rows.schema if field.type == pa.bool_() and field.name not in settings]
    return frame.astype(dict.fromkeys(truths, "boolean"))


def trial_rows(rows: pa.Table, rule: PhaseRule, at_step: int | None = None, *, terms: bool = False) -> pa.Table:
    """Return one row a trial with TRIAL_COLUMNS: settings, labels at the rule's step (or at an earlier one), timing.

    With ``terms`` the values of the terms of own labels follow, as a search needs them.
    Only trials with status ``ok`` get labels. At the horizon ``needed_of`` the rule are all that is needed of the
    curves; at an earlier step all of them are. UserError if nothing was recorded by ``at_step``.
    """
    at_step = rule.at_step if at_step is None else at_step
    labels = _labels(rows, rule, at_step, terms=terms).reindex(range(len(rows)))
    schema = trial_schema(rule, terms=terms)
    columns = {name: rows[name] if name in rows.column_names else None for name in schema.names}
    for name in (*LABEL_COLUMNS, *schema.names[len(TRIAL_SCHEMA.names) :]):
        columns[name] = pa.array(labels[name], schema.field(name).type, from_pandas=True)
    for name in QUANTITIES:
        columns[name] = rows[f"final_{name}"]
        if at_step is not None:
            columns[name] = pc.coalesce(pa.array(labels[name], pa.float64(), from_pandas=True), columns[name])
    if at_step is not None:
        columns |= {name: pa.nulls(len(rows), pa.float64()) for name in FINALS}  # known of the final weights only
    return pa.table(columns, schema=schema)


def curve_table(rows: pa.Table) -> pa.Table:
    """Return the curves in long form: trial_id, status, corruption, n_corrupted, step and the quantities."""
    counts = pc.list_value_length(rows["step"]).to_numpy()
    repeat = pa.array(np.repeat(np.arange(len(counts)), counts))
    columns = {
        name: rows[name].combine_chunks().take(repeat) for name in ("trial_id", "status", "corruption", "n_corrupted")
    }
    for name in ("step", *QUANTITIES):
        flat = rows[name].combine_chunks().flatten()
        columns[name] = flat if name == "step" else pa.array(flat.to_numpy(zero_copy_only=False), from_pandas=True)
    return pa.table(columns)


def curves_of(
    rows: pa.Table, quantities: Sequence[str] = QUANTITIES, facts: Sequence[str] = ()
) -> list[tuple[np.ndarray, Curves]]:
    """Return (row numbers, curves) for every group of trials that were recorded at the same steps."""
    rows = rows.select(["step", "corruption", "n_corrupted", *quantities, *facts])
    found = []
    for recorded, members in _same_steps(rows["step"].combine_chunks()):
        part = rows if len(members) == len(rows) else rows.take(pa.array(members))
        shape = (len(members), len(recorded))
        values = {
            q: part[q].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(shape) for q in quantities
        }
        curves = Curves(
            steps=recorded,
            values=values,
            corruption=part["corruption"].to_numpy(),
            n_corrupted=part["n_corrupted"].to_numpy(),
            facts={name: part[name].cast(pa.float64()).to_numpy() for name in facts},
        )
        found.append((members, curves))
    return found


def steps_in(rows: pa.Table) -> list[int]:
    """Return all steps at which any of the trials was recorded, rising."""
    return sorted(pc.unique(pc.list_flatten(rows["step"])).to_pylist())


def _same_steps(steps: pa.ListArray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (steps, row numbers) for every group of lists that are the same."""
    lengths = pc.list_value_length(steps).to_numpy()
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        lists = steps.take(pa.array(rows)).flatten().to_numpy().reshape(len(rows), length)
        if (lists == lists[:1]).all():  # the common case
            yield lists[0], rows
            continue
        distinct, group = np.unique(lists, axis=0, return_inverse=True)
        for number, recorded in enumerate(distinct):
            yield recorded, rows[group.ravel() == number]


def _labels(rows: pa.Table, rule: PhaseRule, at_step: int | None, *, terms: bool) -> pd.DataFrame:
    """Label the rows with status ``ok``; indexed by row number."""
    ok = np.flatnonzero(pc.equal(rows["status"], "ok").to_numpy())
    parts = []
    known = [name for name in QUANTITIES if name in rows.column_names]
    facts = needed_of(rule)[1]
    for members, curves in curves_of(rows.take(pa.array(ok)) if len(ok) < len(rows) else rows, known, facts):
        try:
            until = curves if at_step is None else curves.until(at_step)
        except ValueError as error:
            raise UserError(f"--at-step {at_step}: {error}") from None
        labelled = label_curves(until, rule)
        if terms:
            labelled = labelled.assign(**term_columns(until, rule))
        parts.append(labelled.set_index(pd.Index(ok[members])))
    if not parts:
        further = trial_schema(rule, terms=terms).names[len(TRIAL_SCHEMA.names) :]
        return pd.DataFrame(columns=[*LABEL_COLUMNS, *further, *QUANTITIES], index=pd.Index([], dtype=int))
    return pd.concat(parts)
