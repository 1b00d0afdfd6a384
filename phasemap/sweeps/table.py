"""Read a sweep from a table with one row a trial, and maybe a long table of curves; W&B's CSV export is one too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from phasemap.study.errors import UserError
from phasemap.study.names import QUANTITY_KINDS, RESERVED_COLUMNS
from phasemap.sweeps.columns import Wanted, found_name
from phasemap.sweeps.naming import valid
from phasemap.sweeps.sweep import Curve, Sweep, SweepTrial, state_of

IDS = ("source_id", "trial_id", "ID", "run_id", "id")
STATES = ("source_state", "status", "state", "State")
STEPS = ("step", "_step", "epoch", "iteration", "training_iteration", "global_step")
WANDB = {"Name", "State"}
WANDB_ONLY = ("Name", "State", "Notes", "User", "Tags", "Created", "Runtime", "Sweep", "ID", "Hostname", "Updated")
"""What W&B puts before a run's settings and numbers."""
DERIVED = frozenset(RESERVED_COLUMNS) - QUANTITY_KINDS.keys()
"""Columns of phasemap's own tables that follow from others."""


def read_frame(path: Path) -> pd.DataFrame:
    """Read a table from a CSV or Parquet file; UserError where it is none."""
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return pd.read_parquet(path)
        return pd.read_csv(path, low_memory=False)
    except FileNotFoundError:
        raise UserError(f"{path} is no file; allowed: a CSV or Parquet file with one row a trial") from None
    except (ValueError, OSError, pd.errors.ParserError) as error:
        raise UserError(f"{path} is no table: {str(error).splitlines()[0][:200]}; allowed: CSV or Parquet") from None


def is_wandb(frame: pd.DataFrame) -> bool:
    """Tell whether a table is W&B's export of runs."""
    return set(frame) >= WANDB


def sweep_of_table(
    frame: pd.DataFrame,
    wanted: Wanted,
    *,
    settings: Sequence[str] = (),
    curves: pd.DataFrame | None = None,
    name: str = "sweep",
    place: str = "the table",
) -> Sweep:
    """Read a table with one row a trial: its axes, the seed and further ``settings`` are settings, other numbers are
    quantities; where quantities are named, the rest are numbers at the end.

    ``curves`` has a row for each trial and step: the same column of ids, ``step``, and quantities.
    """
    frame = frame.rename(columns=str)
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise UserError(f"{place} has more than one column {twice}; allowed: each name once")
    source = "wandb" if is_wandb(frame) else "table"
    names = {column: valid(column) for column in frame}
    asked = [*wanted.axes, *settings, *([wanted.seed] if wanted.seed else [])]
    told_settings = list(dict.fromkeys(found_name(one, names, place) for one in asked))
    id_column = next((column for column in IDS if column in frame and column not in told_settings), None)
    state = next((column for column in STATES if column in frame and column not in told_settings), None)
    numbers, left = _numbers(frame, told_settings, id_column, source)
    quantities = [found_name(one, names, place) for one in wanted.quantities if one in names or one in names.values()]
    if curves is not None:
        curves = curves.rename(columns=str)
        _check_curves(curves, id_column, place)
    by_trial = _curves(curves, id_column, told_settings) if curves is not None and id_column else {}
    in_curves = {name for found in by_trial.values() for name in found}
    last = [column for column in numbers if not quantities or column in quantities or column in in_curves]
    seconds = frame["train_seconds"].tolist() if "train_seconds" in frame else [None] * len(frame)
    trials = [
        SweepTrial(
            source_id=str(identity),
            settings=setting,
            status=status,
            source_state="" if word is None else str(word),
            running=running,
            curves=by_trial.get(str(identity), {}),
            values=value,
            finals=final,
            seconds=None if took is None or took != took else float(took),
            error=error,
        )
        for identity, setting, word, (status, running), value, final, took, error in zip(
            frame[id_column].tolist() if id_column else range(1, len(frame) + 1),
            _rows(frame, told_settings),
            frame[state].tolist() if state else [None] * len(frame),
            [state_of(word) for word in frame[state]] if state else [("ok", False)] * len(frame),
            _rows(frame, last),
            _rows(frame, [column for column in numbers if column not in last]),
            seconds,
            _errors(frame),
            strict=True,
        )
    ]
    told = (f"columns that are no numbers are left out: {', '.join(left[:10])}",) if left else ()
    return Sweep(source=source, name=name, place=place, trials=trials, skipped=Counter(), told=told)


def _errors(frame: pd.DataFrame) -> list[str | None]:
    if "error" not in frame or not (frame["error"].dtype == object or str(frame["error"].dtype) == "str"):
        return [None] * len(frame)
    return [error if isinstance(error, str) else None for error in frame["error"]]


def _numbers(
    frame: pd.DataFrame, settings: Sequence[str], id_column: str | None, source: str
) -> tuple[list[str], list[str]]:
    """Return the columns of numbers that are no settings, and the others that are left out."""
    numbers, left = [], []
    for column in frame:
        known = (source == "wandb" and column in WANDB_ONLY) or column in DERIVED or column in STATES
        if column in settings or column == id_column or known:
            continue
        if pd.api.types.is_numeric_dtype(frame[column]) and not pd.api.types.is_bool_dtype(frame[column]):
            numbers.append(column)
        else:
            left.append(column)
    return numbers, left


def _rows(frame: pd.DataFrame, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Return each row's values of some columns; those that are missing are left out."""
    found: list[dict[str, Any]] = [{} for _ in range(len(frame))]
    for column in columns:
        values = frame[column]
        there = values.notna().to_numpy()
        for row, (value, is_there) in zip(found, zip(values.tolist(), there, strict=True), strict=True):
            if is_there:
                row[column] = value
    return found


def _check_curves(curves: pd.DataFrame, id_column: str | None, place: str) -> None:
    if id_column is None:
        raise UserError(f"{place} has no column of ids, which its curves need; allowed: {', '.join(IDS)}")
    if id_column not in curves:
        raise UserError(f"the curves have no column {id_column}; needed: the trials' ids as in {place}")
    if not any(name in curves for name in STEPS):
        raise UserError(f"the curves have no column of steps; allowed: {', '.join(STEPS)}")


def _curves(curves: pd.DataFrame, id_column: str | None, settings: Sequence[str]) -> dict[str, Mapping[str, Curve]]:
    """Return each trial's curves by the quantity; records without a value are left out."""
    step = next(name for name in STEPS if name in curves)
    ordered = curves.sort_values([id_column, step], kind="stable")
    ordered = ordered[ordered[step].notna()].drop_duplicates([id_column, step], keep="last")
    names = [
        name
        for name in ordered
        if name not in (id_column, step, *settings)
        and name not in DERIVED
        and pd.api.types.is_numeric_dtype(ordered[name])
    ]
    ids = ordered[id_column].to_numpy()
    starts = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]]) if len(ids) else np.zeros(0, dtype=int)
    ends = [*starts[1:], len(ids)]
    steps = ordered[step].astype("int64").tolist()
    values = {name: ordered[name].astype(float).tolist() for name in names}
    found: dict[str, Mapping[str, Curve]] = {}
    for start, end in zip(starts, ends, strict=True):
        shared = steps[start:end]
        found[str(ids[start])] = {name: (shared, values[name][start:end]) for name in names}
    return found
