"""Read an experiment from an MLflow store: its database or its folder; no artifact is touched."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phasemap.study.errors import UserError
from phasemap.study.values import as_number
from phasemap.sweeps.database import columns_in, database, one_of
from phasemap.sweeps.settings import from_texts
from phasemap.sweeps.sweep import Curve, Sweep, SweepTrial, single_records, state_of, status_of

STATES = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
META, PARAMS, METRICS, TAGS = "meta.yaml", "params", "metrics", "tags"
STATUS = "phasemap.status"  # the tag of exported trials
MOST_BYTES = 1 << 20  # of a run's own description


@dataclass(slots=True)
class _Run:
    """What an MLflow store holds of a run."""

    identity: str
    state: str
    started: float
    seconds: float | None
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, list[tuple[int, int, float]]] = field(default_factory=lambda: defaultdict(list))
    # (step, time, value) by key
    exported: str | None = None  # the status that phasemap exported


def read_database(path: Path, experiment: str | None = None) -> Sweep:
    """Read an experiment of an MLflow database; without ``experiment`` it must be the only one that has runs."""
    with database(path) as connection:
        rows = connection.execute(
            "SELECT DISTINCT experiments.name, experiment_id FROM experiments JOIN runs USING (experiment_id) "
            "WHERE runs.lifecycle_stage = 'active'"
        )
        name, number = one_of(dict(rows.fetchall()), experiment, str(path), "experiment with runs")
        deleted = connection.execute(
            "SELECT count(*) FROM runs WHERE experiment_id = ? AND lifecycle_stage != 'active'", (number,)
        ).fetchone()[0]
        runs = {
            identity: _Run(identity, str(state), float(start or 0), _seconds(start, end))
            for identity, state, start, end in connection.execute(
                "SELECT run_uuid, status, start_time, end_time FROM runs "
                "WHERE experiment_id = ? AND lifecycle_stage = 'active'",
                (number,),
            )
        }
        of_runs = "JOIN runs USING (run_uuid) WHERE experiment_id = ? AND lifecycle_stage = 'active'"
        for key, value, identity in connection.execute(
            f"SELECT key, value, run_uuid FROM params {of_runs} ORDER BY key", (number,)
        ):
            runs[identity].params[key] = value
        query = f"SELECT value, run_uuid FROM tags {of_runs} AND key = ?"
        for value, identity in connection.execute(query, (number, STATUS)):
            runs[identity].exported = value
        nan = "is_nan" if "is_nan" in columns_in(connection, METRICS) else "0"
        for key, step, time, value, is_nan, identity in connection.execute(
            f"SELECT key, step, timestamp, value, {nan}, run_uuid FROM metrics {of_runs} ORDER BY key", (number,)
        ):
            runs[identity].metrics[key].append((step, time, math.nan if is_nan else value))
    return _sweep(name, str(path), runs.values(), {"deleted": deleted} if deleted else {})


def is_store(folder: Path) -> bool:
    """Tell whether a folder is an MLflow store, or one of its experiments."""
    return bool(_experiments(folder))


def _experiments(folder: Path) -> list[Path]:
    """Return the folders of experiments: those with a description that names one."""
    candidates = [folder, *sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")]
    return [path for path in candidates if (path / META).is_file() and "experiment_id" in _meta(path)]


def _meta(folder: Path) -> Mapping[str, Any]:
    """Read a description as lines of ``key: value``, which is all that MLflow writes; a YAML reader is slow."""
    path = folder / META
    if path.stat().st_size > MOST_BYTES:
        raise UserError(f"{path} is larger than {MOST_BYTES} bytes; allowed: what MLflow writes")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    pairs = (line.partition(":") for line in lines if not line.startswith((" ", "#")))
    return {key.strip(): value.strip().strip("'\"") for key, colon, value in pairs if colon}


def read_folder(folder: Path, experiment: str | None = None) -> Sweep:
    """Read an experiment of an MLflow folder; without ``experiment`` it must be the only one that has runs."""
    runs_of = {}
    for path in _experiments(folder):
        runs = [run for run in sorted(path.iterdir()) if run.is_dir() and (run / META).is_file()]
        if runs:
            runs_of[str(_meta(path).get("name", path.name))] = runs
    numbers = {name: number for number, name in enumerate(runs_of)}
    name, _ = one_of(numbers, experiment, str(folder), "experiment with runs")
    skipped: Counter[str] = Counter()
    kept = []
    for path in runs_of[name]:
        meta = _meta(path)
        if meta.get("lifecycle_stage", "active") != "active":
            skipped["deleted"] += 1
        else:
            kept.append(_read_run(path, meta))
    return _sweep(name, str(folder), kept, skipped)


def _read_run(folder: Path, meta: Mapping[str, Any]) -> _Run:
    state = str(meta.get("status", ""))
    start, end = as_number(meta.get("start_time")), as_number(meta.get("end_time"))
    run = _Run(
        identity=str(meta.get("run_id") or meta.get("run_uuid") or folder.name),
        state=STATES.get(int(state), state) if state.isdigit() else state,
        started=start or 0.0,
        seconds=_seconds(start, end),
    )
    for key, path in _files(folder / PARAMS):
        run.params[key] = path.read_text(encoding="utf-8", errors="replace")
    tag = folder / TAGS / STATUS
    run.exported = tag.read_text(encoding="utf-8", errors="replace") if tag.is_file() else None
    for key, path in _files(folder / METRICS):
        records = run.metrics[key]
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            parts = line.split()
            try:
                records.append((int(parts[2]) if len(parts) > 2 else 0, int(parts[0]), float(parts[1])))
            except (ValueError, IndexError):
                continue
    return run


def _files(folder: Path, prefix: str = "") -> Iterable[tuple[str, Path]]:
    """Yield (key, file) of a folder of values; a key with a slash is a file in a folder. No link is followed."""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            continue
        if path.is_dir():
            yield from _files(path, f"{prefix}{path.name}/")
        elif path.is_file():
            yield f"{prefix}{path.name}", path


def _seconds(start: float | None, end: float | None) -> float | None:
    return (end - start) / 1000 if start and end else None


def _sweep(name: str, place: str, stored: Iterable[_Run], skipped: Mapping[str, int]) -> Sweep:
    runs = sorted(stored, key=lambda run: (run.started, run.identity))
    names = dict.fromkeys(key for run in runs for key in run.params)
    columns = {key: from_texts([run.params.get(key) for run in runs]) for key in names}
    trials = []
    for number, run in enumerate(runs):
        status, running = state_of(run.state)
        trials.append(
            SweepTrial(
                source_id=run.identity,
                settings={key: columns[key][number] for key in run.params},
                status=status_of(status, run.exported),
                source_state=run.state,
                running=running,
                curves=_curves(run.metrics),
                values={key: records[0][2] for key, records in run.metrics.items() if len(records) == 1},
                seconds=run.seconds,
            )
        )
    return Sweep(source="mlflow", name=name, place=place, trials=trials, skipped=skipped)


def _curves(metrics: Mapping[str, list[tuple[int, int, float]]]) -> dict[str, Curve]:
    """Return the metrics with more than one record over their steps; of records at one step the last is kept.

    Where all records stand at one step, they were logged without steps, and are counted in their order.
    """
    if all(len(records) < 2 for records in metrics.values()):
        return single_records({key: (step, value) for key, ((step, _, value),) in metrics.items()})
    curves: dict[str, Curve] = {}
    shared: dict[tuple[int, ...], list[int]] = {}
    for key, records in metrics.items():
        if len(records) < 2:
            continue
        records.sort()
        if records[0][0] == records[-1][0]:
            records = [(number, time, value) for number, (_, time, value) in enumerate(records)]
        by_step = {step: value for step, _, value in records}
        steps = shared.setdefault(tuple(by_step), list(by_step))
        curves[key] = (steps, list(by_step.values()))
    return curves
