"""Write a run's trials where other tools read them: an MLflow store, or TensorBoard events."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from phasemap.results.folder import written
from phasemap.study.errors import UserError
from phasemap.study.spec import Study

TAGS = ("trial_id", "status", "phase", "subphase", "source_id", "source_state")
MOST_METRICS, MOST_PARAMS = 1000, 100  # of MLflow's batches
MLFLOW_STATES = {"ok": "FINISHED", "stopped": "KILLED"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A trial as other tools are told of it."""

    trial_id: str
    status: str
    settings: Mapping[str, Any]  # the seed among them
    records: Mapping[str, Mapping[int, float]]  # of quantities, by step
    numbers: Mapping[str, float]  # at the end
    tags: Mapping[str, str]


def told_trials(study: Study, trials: pd.DataFrame, curves: pd.DataFrame) -> Iterator[Told]:
    """Yield each trial with its curves."""
    quantities, finals = list(study.recorded.quantities), list(study.recorded.finals)
    groups = {str(name): one for name, one in curves.groupby("trial_id", sort=False)}
    for row in trials.to_dict("records"):
        own = groups.get(row["trial_id"])
        records: dict[str, dict[int, float]] = {}
        if own is not None:
            for name in quantities:
                there = own[own[name].notna()]
                records[name] = dict(zip(there["step"].tolist(), there[name].tolist(), strict=True))
        settings = {name: row[name] for name in study.declared if not _missing(row[name])}
        yield Told(
            trial_id=row["trial_id"],
            status=row["status"],
            settings={**settings, "seed": int(row["seed"])},
            records={name: values for name, values in records.items() if values},
            numbers={name: row[name] for name in (*quantities, *finals) if not _missing(row[name])},
            tags={name: str(row[name]) for name in TAGS if name in row and not _missing(row[name])},
        )


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def export_mlflow(study: Study, trials: pd.DataFrame, curves: pd.DataFrame, target: str) -> None:
    """Write trials as runs of a new experiment, named like the study, of an MLflow store (a folder or sqlite:///FILE).

    UserError where mlflow is not installed, or the store has such an experiment.
    """
    try:
        import mlflow
        from mlflow.entities import Metric, Param, RunTag
        from mlflow.exceptions import MlflowException
    except ImportError:
        raise UserError("mlflow is not installed; pip install 'phasemap[sweeps]'") from None
    uri = target if "://" in target else Path(target).absolute().as_uri()
    if not uri.startswith(("file://", "sqlite:///")):
        raise UserError(f"{target} is no local store; allowed: a folder, or sqlite:///FILE")
    try:
        client = mlflow.MlflowClient(uri)
        experiment = client.create_experiment(study.name)
        for trial in told_trials(study, trials, curves):
            run = client.create_run(experiment, run_name=trial.trial_id).info.run_id
            records = {**{name: {0: value} for name, value in trial.numbers.items()}, **trial.records}
            metrics = [Metric(name, v, 0, step) for name, values in records.items() for step, v in values.items()]
            params = [Param(name, str(value)) for name, value in trial.settings.items()]
            tags = [RunTag(f"phasemap.{name}", value) for name, value in trial.tags.items()]
            for start in range(0, max(len(metrics), len(params), 1), MOST_PARAMS):
                first = start * (MOST_METRICS // MOST_PARAMS)
                client.log_batch(
                    run,
                    metrics[first : first + MOST_METRICS],
                    params[start : start + MOST_PARAMS],
                    tags if not start else (),
                )
            client.set_terminated(run, MLFLOW_STATES.get(trial.status, "FAILED"))
    except MlflowException as error:
        raise UserError(f"{target}: {str(error).splitlines()[0][:300]}") from None


def export_tensorboard(study: Study, trials: pd.DataFrame, curves: pd.DataFrame, target: Path) -> None:
    """Write each trial into a folder of its own below a new folder, as TensorBoard shows it: scalars and hparams."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise UserError("tensorboardX is not installed; pip install 'phasemap[sweeps]'") from None
    if target.exists():
        raise UserError(f"{target} exists already; allowed: a new folder")
    with written(target):
        for trial in told_trials(study, trials, curves):
            with SummaryWriter(str(target / trial.trial_id)) as writer:
                for name, values in trial.records.items():
                    for step, value in values.items():
                        writer.add_scalar(name, value, step)
                plain = (bool, int, float, str)
                settings = {name: v if isinstance(v, plain) else str(v) for name, v in trial.settings.items()}
                writer.add_hparams(settings, dict(trial.numbers), name="hparams", global_step=0)
