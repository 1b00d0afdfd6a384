"""Columns of a sweep as the rows of a shard."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from phasemap.results.schema import LAST, shard_schema
from phasemap.results.shards import as_stored
from phasemap.study.errors import visible
from phasemap.study.program_study import ProgramStudy
from phasemap.sweeps.columns import Columns
from phasemap.sweeps.sweep import Curve, SweepTrial

ONLY_STEP = 1  # of a trial whose source has no curves


def shard_rows(columns: Columns, study: ProgramStudy, chosen: Sequence[int], pack_id: str) -> pa.Table:
    """Return the chosen trials as rows of a shard, as a file holds them."""
    trials = [columns.trials[number] for number in chosen]
    schema = shard_schema(study)
    steps, curves = _curves(trials, [*columns.quantities])
    data: dict[str, Any] = {
        "trial_id": [columns.trial_ids[number] for number in chosen],
        **{name: [values[number] for number in chosen] for name, values in columns.settings.items()},
        "seed": [columns.seeds[number] for number in chosen],
        "status": [trial.status for trial in trials],
        "error": _texts(trial.error for trial in trials),
        **{made: [_number(trial.finals.get(name)) for trial in trials] for name, made in columns.finals.items()},
        "train_seconds": [trial.seconds for trial in trials],
        "pack_id": [pack_id] * len(trials),
        "host": _texts(trial.host for trial in trials),
        "source_id": _texts(trial.source_id for trial in trials),
        "source_state": _texts(trial.source_state for trial in trials),
        **{f"{LAST}{made}": _lasts(trials, name) for name, (made, _) in columns.quantities.items()},
        "step": steps,
        **{made: curves[name] for name, (made, _) in columns.quantities.items()},
    }
    arrays = [_array(data.get(field.name), field, len(trials), steps) for field in schema]
    return as_stored(pa.table(arrays, schema=schema))


def _array(values: Any, field: pa.Field, length: int, steps: Sequence[Sequence[int]]) -> pa.Array:
    if values is None and pa.types.is_list(field.type):  # a quantity that the run has and this source lacks
        values = [[math.nan] * len(recorded) for recorded in steps]
    return pa.nulls(length, field.type) if values is None else pa.array(values, field.type)


def _texts(values: Iterable[str | None]) -> list[str | None]:
    return [value if value is None else visible(value) for value in values]


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _lasts(trials: Iterable[SweepTrial], name: str) -> list[float | None]:
    """Return a quantity's last value of each trial: what the source says it came to, else the end of its curve."""
    lasts = []
    for trial in trials:
        value = trial.values.get(name)
        if value is None:
            curve = trial.curves.get(name)
            value = curve[1][-1] if curve and len(curve[1]) else None
        lasts.append(value)
    return lasts


def _curves(
    trials: Sequence[SweepTrial], names: Sequence[str]
) -> tuple[list[Sequence[int]], dict[str, list[Sequence[float]]]]:
    """Put the quantities of each trial on the same steps; NaN where one was not recorded."""
    all_steps, curves = [], {name: [] for name in names}  # type: ignore[var-annotated]
    for trial in trials:
        steps = _steps(trial.curves.values())
        if not steps and any(trial.values.get(name) is not None for name in names):
            steps = [ONLY_STEP]
        all_steps.append(steps)
        for name in names:
            curves[name].append(_on_steps(trial.curves.get(name), steps, trial.values.get(name)))
    return all_steps, curves


def _steps(curves: Iterable[Curve]) -> Sequence[int]:
    """Return all steps at which anything was recorded, rising."""
    distinct = [steps for steps, _ in curves if len(steps)]
    if not distinct:
        return []
    if all(steps is distinct[0] or steps == distinct[0] for steps in distinct[1:]):
        return distinct[0]
    return sorted(set().union(*distinct))


def _on_steps(curve: Curve | None, steps: Sequence[int], value: float | None) -> Sequence[float]:
    """Return a curve's values at the given steps; a quantity without a curve has its value at the last of them."""
    if curve is None or not len(curve[0]):
        return [math.nan] * (len(steps) - 1) + [_number(value)] if len(steps) else []
    if curve[0] is steps or curve[0] == steps:
        return curve[1]
    known: Mapping[int, float] = dict(zip(*curve, strict=True))
    return [known.get(step, math.nan) for step in steps]
