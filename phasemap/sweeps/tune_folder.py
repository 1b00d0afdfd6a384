"""Read the trials of a Ray Tune result folder: files of text, and never a pickle.

A function's last result does not say that it was the last. Which trials came to their end stands in the folder's
experiment_state file: JSON, of which only ids and states are taken (it holds pickles as text, which stay text).
"""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from phasemap.study.values import as_number, is_number
from phasemap.sweeps.sweep import Curve, Sweep, SweepTrial, state_of

PARAMS, RESULT, PROGRESS, ERROR = "params.json", "result.json", "progress.csv", "error.txt"
STATES = "experiment_state-*.json"
STEP, SECONDS, DONE = "training_iteration", "time_total_s", "done"
OWN = frozenset({
    STEP, SECONDS, "trial_id", "date", "timestamp", "pid", "hostname", "node_ip", "done", "experiment_id",
    "experiment_tag", "time_this_iter_s", "time_since_restore", "iterations_since_restore", "timesteps_total",
    "episodes_total", "timesteps_since_restore", "warmup_time", "checkpoint_dir_name", "should_checkpoint",
})  # fmt: skip
"""What Ray adds to each result."""
CONFIG = "config"


def is_tune(folder: Path) -> bool:
    """Tell whether a folder has trials of Ray Tune."""
    return any(True for _ in _trial_folders(folder))


def _trial_folders(folder: Path) -> Iterable[Path]:
    """Yield the folders of trials, by name: those with params.json, of the folder itself or one below it."""
    inside = sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
    yield from (path for path in [folder, *inside] if (path / PARAMS).is_file())


def read_folder(folder: Path) -> Sweep:
    """Read all trials of a result folder; whatever else lies in it is not opened."""
    skipped: Counter[str] = Counter()
    trials = []
    states = _states(folder)
    for path in _trial_folders(folder):
        try:
            config = json.loads((path / PARAMS).read_text(encoding="utf-8"))
            if not isinstance(config, dict):
                raise ValueError
        except (OSError, ValueError):
            skipped[f"with a {PARAMS} that can't be read"] += 1
            continue
        trials.append(_trial(path, config, states))
    trials.sort(key=lambda pair: pair[0])
    return Sweep(
        source="tune",
        name=folder.name,
        place=str(folder),
        trials=[trial for _, trial in trials],
        skipped=skipped,
        told=() if states else (f"no {STATES}: trials whose last result does not say that they are done are stopped",),
    )


def _states(folder: Path) -> dict[str, str]:
    """Return the state of each trial by its id, in Ray's words, from the newest file of states."""
    for path in sorted((one for one in folder.glob(STATES) if one.is_file()), reverse=True):
        try:
            listed = json.loads(path.read_text(encoding="utf-8"))["trial_data"]
            known = [json.loads(one[0]) if isinstance(one[0], str) else one[0] for one in listed]
            return {str(one["trial_id"]): str(one["status"]) for one in known}
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            continue
    return {}


def _trial(folder: Path, config: Mapping[str, Any], states: Mapping[str, str]) -> tuple[tuple[Any, ...], SweepTrial]:
    results = _results(folder)
    last = results[-1] if results else {}
    identity = str(last.get("trial_id") or folder.name)
    state = states.get(identity) or ("TERMINATED" if last.get(DONE) else "RUNNING")
    error = _error(folder) or ("failed" if state == "ERROR" else None)
    status, running = state_of("failed" if error else state)
    trial = SweepTrial(
        source_id=identity,
        settings=flat(config),
        status=status,
        source_state="ERROR" if error else state,
        running=running,
        curves=_curves(results),
        seconds=as_number(last.get(SECONDS)),
        host=str(last["hostname"]) if last.get("hostname") else None,
        error=error,
    )
    first = results[0] if results else {}
    begun = (as_number(first.get("timestamp")) or math.inf) - (as_number(first.get(SECONDS)) or 0.0)
    return (trial.source_id.rpartition("_")[0], trial.source_id, begun), trial


def _results(folder: Path) -> list[dict[str, Any]]:
    """Return the reported results in their order: of result.json, else of progress.csv."""
    results = []
    path = folder / RESULT
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue  # the last line of a program that was killed
            if isinstance(row, dict):
                results.append(flat({key: value for key, value in row.items() if key != CONFIG}))
    if not results and (folder / PROGRESS).is_file():
        with (folder / PROGRESS).open(encoding="utf-8", errors="replace", newline="") as file:
            for text in csv.DictReader(file):
                row = {key: _read(value) for key, value in text.items() if key and not key.startswith("config/")}
                results.append(row)
    return results


def _read(text: Any) -> Any:
    if text in ("True", "False"):
        return text == "True"
    number = as_number(text)
    return text if number is None else number


def _error(folder: Path) -> str | None:
    """Return the last line of what a failed trial raised."""
    path = folder / ERROR
    if not path.is_file():
        return None
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "failed"


def _curves(results: list[dict[str, Any]]) -> dict[str, Curve]:
    names = dict.fromkeys(name for row in results for name, value in row.items() if is_number(value))
    steps = [int(as_number(row.get(STEP)) or number) for number, row in enumerate(results, 1)]
    rows = dict(zip(steps, results, strict=True))  # of a step that was repeated, the last
    shared = sorted(rows)
    return {
        name: (shared, [_value(rows[step].get(name)) for step in shared])
        for name in names
        if name not in OWN and not name.startswith(("perf/", "timers/"))
    }


def _value(value: Any) -> float:
    return float(value) if is_number(value) else math.nan


def flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested mapping with slashes between its keys."""
    flattened: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict) and value:
            flattened |= flat(value, f"{prefix}{key}/")
        else:
            flattened[f"{prefix}{key}"] = value
    return flattened
