"""Merge shards into one row a trial, and label the trials by a rule; nothing is trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from phasemap.phases.curves import Curves
from phasemap.phases.labelling import label_columns, label_curves, name_columns, needed_of, number_columns
from phasemap.phases.terms import own_terms, term_column, term_columns
from phasemap.results.schema import LAST, STATUSES, named
from phasemap.study.errors import UserError
from phasemap.study.spec import PhaseRule

COLUMN_TYPES = {float: pa.float64(), bool: pa.bool_(), int: pa.int64()}


def trial_schema(schema: pa.Schema, rule: PhaseRule, *, terms: bool = False) -> pa.Schema:
    """Return the columns, in order, of the table of trials whose shards have ``schema``; with ``terms`` theirs too."""
    facts = sorted(named(schema, "fact"), key=lambda name: pa.types.is_integer(schema.field(name).type))
    fields = [
        *(schema.field(name) for name in ("trial_id", *named(schema, "setting"), "seed", "status")),
        *(pa.field(name, pa.string()) for name in name_columns(rule)),
        *(pa.field(name.removeprefix(LAST), pa.float64()) for name in named(schema, "last")),
        *map(schema.field, facts),
        *(pa.field(name, COLUMN_TYPES[kind]) for name, kind in number_columns(rule).items()),
        *(schema.field(name) for name in (*named(schema, "final"), "train_seconds", "pack_id", "host", "device")),
        *(schema.field(name) for name in ("kernel", *named(schema, "text"), "error")),
        *(pa.field(name, pa.float64()) for name in _term_names(rule, terms=terms)),
    ]
    return pa.schema([field.with_metadata(None) for field in fields])


def _term_names(rule: PhaseRule, *, terms: bool) -> list[str]:
    return [term_column(term) for term in own_terms(rule)] if terms else []


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


def trial_table(rows: pa.Table, rule: PhaseRule, *, terms: bool = False) -> pd.DataFrame:
    """Return ``trial_rows`` as a data frame."""
    return trial_frame(trial_rows(rows, rule, terms=terms))


def trial_frame(rows: pa.Table) -> pd.DataFrame:
    """Return labelled rows as a data frame, whose truth values may be missing."""
    frame: pd.DataFrame = rows.to_pandas()
    first = rows.schema.names.index("status")  # settings stand before it, and have no missing truths
    truths = [field.name for field in list(rows.schema)[first:] if field.type == pa.bool_()]
    return frame.astype(dict.fromkeys(truths, "boolean"))


def trial_rows(rows: pa.Table, rule: PhaseRule, at_step: int | None = None, *, terms: bool = False) -> pa.Table:
    """Return one row a trial with ``trial_schema``: settings, labels at the rule's step (or at an earlier one), timing.

    With ``terms`` the values of the terms of own labels follow, as a search needs them.
    Only trials with status ``ok`` get labels. At the horizon ``needed_of`` the rule are all that is needed of the
    curves; at an earlier step all of them are. UserError if nothing was recorded by ``at_step``.
    """
    at_step = rule.at_step if at_step is None else at_step
    labels = _labels(rows, rule, at_step, terms=terms).reindex(range(len(rows)))
    quantities = [name.removeprefix(LAST) for name in named(rows.schema, "last")]
    schema = trial_schema(rows.schema, rule, terms=terms)
    there = set(rows.column_names)
    columns = {name: rows[name] if name in there else None for name in schema.names}
    for name in (*label_columns(rule), *_term_names(rule, terms=terms)):
        columns[name] = pa.array(labels[name], schema.field(name).type, from_pandas=True)
    for name in quantities:
        columns[name] = rows[f"{LAST}{name}"]
        if at_step is not None:
            columns[name] = pc.coalesce(pa.array(labels[name], pa.float64(), from_pandas=True), columns[name])
    if at_step is not None:  # known of the final weights only
        columns |= {name: pa.nulls(len(rows), pa.float64()) for name in named(rows.schema, "final")}
    return pa.table(columns, schema=schema)


def curve_table(rows: pa.Table) -> pa.Table:
    """Return the curves in long form: trial_id, status, the settings and facts among the columns, step, quantities."""
    counts = pc.list_value_length(rows["step"]).to_numpy()
    repeat = pa.array(np.repeat(np.arange(len(counts)), counts))
    further = (*named(rows.schema, "setting"), *named(rows.schema, "fact"))
    columns = {name: rows[name].combine_chunks().take(repeat) for name in ("trial_id", "status", *further)}
    for name in ("step", *named(rows.schema, "curve")):
        flat = rows[name].combine_chunks().flatten()
        columns[name] = flat if name == "step" else pa.array(flat.to_numpy(zero_copy_only=False), from_pandas=True)
    return pa.table(columns)


def curves_of(rows: pa.Table, quantities: Sequence[str], facts: Sequence[str] = ()) -> list[tuple[np.ndarray, Curves]]:
    """Return (row numbers, curves) for every group of trials that were recorded at the same steps."""
    rows = rows.select(["step", *quantities, *facts])
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
            facts={name: part[name].cast(pa.float64()).to_numpy() for name in facts},
            n=len(members),
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
    known, facts = named(rows.schema, "curve"), needed_of(rule)[1]
    for members, curves in curves_of(rows.take(pa.array(ok)) if len(ok) < len(rows) else rows, known, facts):
        try:
            until = curves if at_step is None else curves.until(at_step)
        except ValueError as error:
            raise UserError(f"--at-step {at_step}: {error}") from None
        further = term_columns(until, rule) if terms else {}
        parts.append(label_curves(until, rule).assign(**further).set_index(pd.Index(ok[members])))
    if not parts:
        names = [*label_columns(rule), *_term_names(rule, terms=terms), *known]
        return pd.DataFrame(columns=names, index=pd.Index([], dtype=int))
    return pd.concat(parts)
