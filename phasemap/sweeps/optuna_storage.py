"""Read a study from an Optuna storage: an SQLite database or a journal file; nothing is written into either."""

from __future__ import annotations

import json
import math
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from phasemap.study.axes import Scale
from phasemap.study.errors import UserError
from phasemap.study.values import is_number
from phasemap.sweeps.database import columns_in, database, one_of
from phasemap.sweeps.sweep import Sweep, SweepTrial, state_of, status_of

NOT_STARTED = "waiting"
SPECIAL = {"INF_POS": math.inf, "INF_NEG": -math.inf, "NAN": math.nan}


@dataclass(slots=True)
class _Trial:
    """What an Optuna storage holds of a trial."""

    number: int
    state: str
    params: dict[str, Any] = field(default_factory=dict)
    values: list[float | None] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    reports: list[float] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)
    seconds: float | None = None


def read_database(path: Path, study: str | None = None) -> Sweep:
    """Read a study of an Optuna database; without ``study`` it must be the only one."""
    with database(path) as connection:
        studies = dict(connection.execute("SELECT study_name, study_id FROM studies").fetchall())
        name, study_id = one_of(studies, study, str(path), "study")
        objectives = connection.execute("SELECT count(*) FROM study_directions WHERE study_id = ?", (study_id,))
        n_objectives = max(1, objectives.fetchone()[0])
        trials = _trials(connection, study_id)
        scales = _read_params(connection, study_id, trials)
        _read_values(connection, study_id, trials, n_objectives)
        _read_attributes(connection, study_id, trials)
    return _sweep(name, str(path), trials.values(), scales, n_objectives)


def _trials(connection: sqlite3.Connection, study_id: int) -> dict[int, _Trial]:
    rows = connection.execute(
        "SELECT trial_id, number, state, datetime_start, datetime_complete FROM trials WHERE study_id = ? "
        "ORDER BY number, trial_id",
        (study_id,),
    )
    return {
        trial_id: _Trial(number=number, state=state, seconds=_seconds(start, end))
        for trial_id, number, state, start, end in rows
    }


def _seconds(start: Any, end: Any) -> float | None:
    try:
        took = datetime.fromisoformat(str(end)) - datetime.fromisoformat(str(start))
    except ValueError:
        return None
    return took.total_seconds()


def _of_study(table: str, columns: str, order: str) -> str:
    return f"SELECT {columns} FROM {table} t JOIN trials USING (trial_id) WHERE trials.study_id = ? ORDER BY {order}"


def _read_params(connection: sqlite3.Connection, study_id: int, trials: Mapping[int, _Trial]) -> dict[str, Scale]:
    scales: dict[str, Scale] = {}
    columns = "trial_id, param_name, param_value, distribution_json"
    for trial_id, name, value, text in connection.execute(_of_study("trial_params", columns, "param_id"), (study_id,)):
        distribution = _distribution(text)
        trials[trial_id].params[name] = distribution.to_external_repr(value)
        if name not in scales:
            scales[name] = _scale(distribution)
    return scales


@cache
def _distribution(text: str) -> Any:
    from optuna.distributions import json_to_distribution

    try:
        return json_to_distribution(text)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"a parameter's distribution can't be read: {error}; allowed: those of Optuna") from None


def _scale(distribution: Any) -> Scale:
    if hasattr(distribution, "choices"):
        return "ordinal"
    return "log" if getattr(distribution, "log", False) else "linear"


def _read_values(
    connection: sqlite3.Connection, study_id: int, trials: Mapping[int, _Trial], n_objectives: int
) -> None:
    kinds = _if_there(connection, "trial_values", "value_type")
    query = _of_study("trial_values", f"trial_id, objective, value, {kinds}", "trial_value_id")
    for trial_id, objective, value, kind in connection.execute(query, (study_id,)):
        trial = trials[trial_id]
        trial.values = trial.values or [None] * n_objectives
        trial.values[objective] = SPECIAL.get(kind, value)
    table = "trial_intermediate_values"
    kinds = _if_there(connection, table, "intermediate_value_type")
    query = _of_study(table, f"trial_id, step, intermediate_value, {kinds}", "trial_id, step")
    for trial_id, step, value, kind in connection.execute(query, (study_id,)):
        trial = trials[trial_id]
        trial.steps.append(step)
        trial.reports.append(SPECIAL.get(kind, math.nan if value is None else value))


def _if_there(connection: sqlite3.Connection, table: str, column: str) -> str:
    """Return what to ask for in place of a column that older releases have not."""
    return column if column in columns_in(connection, table) else "NULL"


def _read_attributes(connection: sqlite3.Connection, study_id: int, trials: Mapping[int, _Trial]) -> None:
    query = _of_study("trial_user_attributes", "trial_id, key, value_json", "trial_user_attribute_id")
    for trial_id, key, text in connection.execute(query, (study_id,)):
        try:
            trials[trial_id].attributes[key] = json.loads(text)
        except ValueError:
            continue


def read_journal(path: Path, study: str | None = None) -> Sweep:
    """Read a study of an Optuna journal file; without ``study`` it must be the only one."""
    from optuna.storages import JournalStorage

    storage = _replayed(JournalStorage, path)
    studies = {one.study_name: one._study_id for one in storage.get_all_studies()}
    name, study_id = one_of(studies, study, str(path), "study")
    trials: list[_Trial] = []
    scales: dict[str, Scale] = {}
    for trial in storage.get_all_trials(study_id, deepcopy=False):
        scales |= {key: _scale(one) for key, one in trial.distributions.items() if key not in scales}
        reports = sorted(trial.intermediate_values.items())
        trials.append(
            _Trial(
                number=trial.number,
                state=trial.state.name,
                params=dict(trial.params),
                values=list(trial.values or ()),
                steps=[step for step, _ in reports],
                reports=[value for _, value in reports],
                attributes=dict(trial.user_attrs),
                seconds=_seconds(trial.datetime_start, trial.datetime_complete),
            )
        )
    return _sweep(name, str(path), trials, scales, len(storage.get_study_directions(study_id)))


def _replayed(storage: Any, path: Path) -> Any:
    """Let Optuna replay a journal that it can't write; UserError where the file is none."""
    from optuna.storages.journal import BaseJournalBackend

    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        logs = [json.loads(line) for line in lines[:-1]]
        logs += _last(lines)
        if not logs or not all(isinstance(log, dict) and "op_code" in log for log in logs):
            raise ValueError("it has lines of another kind")
    except (ValueError, OSError) as error:
        raise UserError(
            f"{path} is neither an SQLite database nor an Optuna journal: {error}; allowed: a storage of Optuna"
        ) from None

    class _ReadOnly(BaseJournalBackend):
        def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
            return logs[log_number_from:]

        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            raise AssertionError("a journal is only read")

    try:
        return storage(_ReadOnly())
    except Exception as error:
        raise UserError(f"{path} can't be replayed by Optuna: {error!r:.200}") from None


def _last(lines: list[str]) -> list[Any]:
    """Return the last line, unless a program is writing it."""
    try:
        return [json.loads(line) for line in lines[-1:]]
    except ValueError:
        return []


def _sweep(name: str, place: str, found: Iterable[_Trial], scales: Mapping[str, Scale], n_objectives: int) -> Sweep:
    skipped: Counter[str] = Counter()
    texts: dict[str, None] = {}
    names = ["value"] if n_objectives == 1 else [f"values_{number}" for number in range(n_objectives)]
    trials = []
    for trial in found:
        if trial.state.lower() == NOT_STARTED:
            skipped["not started"] += 1
            continue
        numbers = {key: float(value) for key, value in trial.attributes.items() if is_number(value)}
        texts |= dict.fromkeys(key for key in trial.attributes if key not in numbers)
        status, running = state_of(trial.state)
        trials.append(
            SweepTrial(
                source_id=str(trial.number),
                settings=trial.params,
                status=status_of(status, trial.attributes.get("status")),
                source_state=trial.state,
                running=running,
                curves={names[0]: (trial.steps, trial.reports)} if trial.steps else {},
                values={key: value for key, value in zip(names, trial.values, strict=False) if value is not None},
                finals=numbers,
                seconds=trial.seconds,
            )
        )
    told = (f"user attributes that are not numbers are left out: {', '.join(list(texts)[:10])}",) if texts else ()
    return Sweep(source="optuna", name=name, place=place, trials=trials, skipped=skipped, told=told, scales=scales)
