"""Read a sweep from a table with one row a trial, and maybe a long table of curves; W&B's CSV export is one too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from phasemap.results.tables import check_size, read_frame
from phasemap.study.errors import UserError
from phasemap.study.names import QUANTITY_KINDS, RESERVED_COLUMNS
from phasemap.study.values import as_number
from phasemap.sweeps.columns import Wanted, found_name, valid
from phasemap.sweeps.sweep import Curve, Status, Sweep, SweepTrial, state_of

IDS = ("source_id", "trial_id", "ID", "run_id", "id")
MOST_TRIALS = 200_000  # of a table: memory grows with their number
UNNAMED = "Unnamed: "  # what pandas calls a column without a name: an index
STATES = ("source_state", "status", "state", "State")
STEPS = ("step", "_step", "epoch", "iteration", "training_iteration", "global_step")
WANDB = {"Name", "State"}
WANDB_ONLY = ("Name", "State", "Notes", "User", "Tags", "Created", "Runtime", "Sweep", "ID", "Hostname", "Updated")
"""What W&B puts before a run's settings and numbers."""
DERIVED = frozenset(RESERVED_COLUMNS) - QUANTITY_KINDS.keys()
"""Columns of phasemap's own tables that follow from others."""


def read_trials(path: Path) -> pd.DataFrame:
    """Read a table of trials from a CSV or Parquet file; columns without a name are left out, since they are an index.

    UserError where it is none, or has more than ``MOST_TRIALS`` rows.
    """
    frame = read_frame(path, most=MOST_TRIALS)
    return frame[[name for name in frame if not str(name).startswith(UNNAMED)]]


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
    check_size(len(frame), place, MOST_TRIALS)
    frame = frame.rename(columns=str)
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise UserError(f"{place} has more than one column {twice}; allowed: each name once")
    source = "wandb" if is_wandb(frame) else "table"
    names = {column: valid(column) for column in frame}
    asked = [*wanted.axes, *settings, *([wanted.seed] if wanted.seed else [])]
    told_settings = list(dict.fromkeys(found_name(one, names, place) for one in asked))
    id_column = next((column for column in IDS if column in frame and column not in told_settings), None)
    states, words = _states(frame, told_settings)
    numbers, left = _numbers(frame, told_settings, id_column, source)
    quantities = [found_name(one, names, place) for one in wanted.quantities if one in names or one in names.values()]
    joined, by_trial = None, {}
    if curves is not None:
        curves = curves.rename(columns=str)
        joined = _joined_by(frame, curves, place)
        by_trial = _curves(curves, joined, told_settings)
    in_curves = {name for found in by_trial.values() for name in found}
    last = [column for column in numbers if not quantities or column in quantities or column in in_curves]
    ids = frame[id_column].tolist() if id_column else range(1, len(frame) + 1)
    nothing = [None] * len(frame)
    columns = {
        "source_id": map(str, ids),
        "settings": _rows(frame, told_settings),
        "source_state": words,
        "status": [status for status, _ in states],
        "running": [running for _, running in states],
        "curves": [by_trial.get(str(key), {}) for key in frame[joined]] if joined else [{}] * len(frame),
        "values": _rows(frame, last),
        "finals": _rows(frame, [column for column in numbers if column not in last]),
        "seconds": [None if one != one else as_number(one) for one in frame.get("train_seconds", nothing)],
        "error": _errors(frame),
    }
    trials = [SweepTrial(**dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]
    told = [f"columns that are not numbers are left out: {', '.join(left[:10])}"] if left else []
    told += [f"{name[:80]!r} is left out: no trial has a number for it" for name in numbers if frame[name].isna().all()]
    return Sweep(source=source, name=name, place=place, trials=trials, told=tuple(told), settings=tuple(told_settings))


def _states(frame: pd.DataFrame, settings: Sequence[str]) -> tuple[list[tuple[Status, bool]], list[str]]:
    """Return what each row's trial came to, and the source's word; a row without a word is a finished trial.

    A table of phasemap's has both columns, of which ``status`` counts.
    """
    there = [column for column in STATES if column in frame and column not in settings]
    if not there:
        return [("ok", False)] * len(frame), [""] * len(frame)
    words = [frame[column].astype(object).where(frame[column].notna(), "") for column in (*there, there[0])][:2]
    decides = words[1] if len(there) > 1 else words[0]
    known = {word: state_of(word) if word != "" else ("ok", False) for word in set(decides)}
    return [known[word] for word in decides], [str(word) for word in words[0]]


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


def _joined_by(frame: pd.DataFrame, curves: pd.DataFrame, place: str) -> str:
    """Return the column of ids that a table and its curves have."""
    for name in IDS:
        if name in frame and name in curves:
            if not any(step in curves for step in STEPS):
                raise UserError(f"the curves have no column of steps; allowed: {', '.join(STEPS)}")
            return name
    raise UserError(f"{place} and its curves have no column of ids in common; allowed: {', '.join(IDS)}")


def _curves(curves: pd.DataFrame, id_column: str, settings: Sequence[str]) -> dict[str, Mapping[str, Curve]]:
    """Return each trial's curves by the quantity; records without a value are left out."""
    step = next(name for name in STEPS if name in curves)
    ordered = curves.sort_values([id_column, step], kind="stable")
    ordered = ordered[ordered[step].notna()].drop_duplicates([id_column, step], keep="last")
    others = [name for name in ordered if name not in (id_column, step, *settings) and name not in DERIVED]
    names = [name for name in others if pd.api.types.is_numeric_dtype(ordered[name])]
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
