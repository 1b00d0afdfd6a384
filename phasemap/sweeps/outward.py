"""Write trials where other tools read them: an MLflow store, TensorBoard events, or offline runs of W&B."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd

from phasemap.results.curves import values_by_step
from phasemap.results.folder import written
from phasemap.study.errors import UserError
from phasemap.study.spec import Study

TAGS = ("trial_id", "status", "phase", "subphase", "source_id", "source_state")
MOST_METRICS, MOST_PARAMS = 900, 100  # of MLflow's batches, which hold 1,000 of both
MLFLOW_STATES = {"ok": "FINISHED", "stopped": "KILLED"}
TENSORBOARD_STATES = {"ok": "STATUS_SUCCESS", "stopped": "STATUS_RUNNING"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """A trial as other tools are told of it."""

    trial_id: str
    status: str
    settings: Mapping[str, Any]  # the seed among them
    records: Mapping[str, Mapping[int, float]]  # of quantities, by step
    numbers: Mapping[str, float]  # at the end
    tags: Mapping[str, str]


def trial_records(study: Study, trials: pd.DataFrame, curves: pd.DataFrame) -> Iterator[TrialRecord]:
    """Yield each trial with its curves."""
    quantities, finals = list(study.recorded.quantities), list(study.recorded.finals)
    recorded = {name: values_by_step(curves, name) for name in quantities}
    for row in trials.to_dict("records"):
        settings = {name: row[name] for name in study.declared if not _missing(row[name])}
        yield TrialRecord(
            trial_id=row["trial_id"],
            status=row["status"],
            settings={**settings, "seed": int(row["seed"])},
            records={name: found[row["trial_id"]] for name, found in recorded.items() if row["trial_id"] in found},
            numbers={name: row[name] for name in (*quantities, *finals) if not _missing(row[name])},
            tags={name: str(row[name]) for name in TAGS if name in row and not _missing(row[name])},
        )


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


class MlflowWriter:
    """Writes trials as runs of an experiment of an MLflow store; UserError where mlflow is not installed or refuses."""

    def __init__(self, name: str, uri: str, *, artifacts: Path | None = None, anew: bool = False) -> None:
        try:
            import mlflow
        except ImportError:
            raise UserError("mlflow is not installed; pip install 'phasemap[sweeps]'") from None
        self._client = mlflow.MlflowClient(uri)
        known = None if anew else self._client.get_experiment_by_name(name)
        location = artifacts.absolute().as_uri() if artifacts else None
        self._experiment = known.experiment_id if known else self._client.create_experiment(name, location)

    def write(self, trial: TrialRecord) -> None:
        """Write one trial as a run that has ended."""
        from mlflow.entities import Metric, Param

        tags = {f"phasemap.{name}": value for name, value in trial.tags.items()}
        run = self._client.create_run(self._experiment, run_name=trial.trial_id, tags=tags).info.run_id
        records = {**{name: {0: value} for name, value in trial.numbers.items()}, **trial.records}
        metrics = [Metric(name, v, 0, step) for name, values in records.items() for step, v in values.items()]
        params = [Param(name, str(value)) for name, value in trial.settings.items()]
        while metrics or params:
            self._client.log_batch(run, metrics[:MOST_METRICS], params[:MOST_PARAMS])
            metrics, params = metrics[MOST_METRICS:], params[MOST_PARAMS:]
        self._client.set_terminated(run, MLFLOW_STATES.get(trial.status, "FAILED"))

    def write_map(self, picture: Path) -> None:
        """Write the run's picture as an artifact of a run of its own."""
        run = self._client.create_run(self._experiment, run_name="map").info.run_id
        self._client.log_artifact(run, str(picture))
        self._client.set_terminated(run)


class TensorBoardWriter:
    """Writes each trial into a folder of its own, as TensorBoard shows it: scalars and hparams."""

    def __init__(self, target: Path) -> None:
        try:
            import tensorboardX
            from tensorboardX.summary import hparams
        except ImportError:
            raise UserError("tensorboardX is not installed; pip install 'phasemap[sweeps]'") from None
        suffix = (
            f".{uuid4().hex[:8]}"  # else the file of a trial that is logged again within a second has the same name
        )
        self._writer = partial(tensorboardX.SummaryWriter, filename_suffix=suffix)
        self._hparams, self._target = hparams, target

    def write(self, trial: TrialRecord) -> None:
        """Write one trial."""
        with self._writer(str(self._target / trial.trial_id)) as writer:
            for name, values in trial.records.items():
                for step, value in values.items():
                    writer.add_scalar(name, value, step)
            plain = (bool, int, float, str)
            settings = {name: v if isinstance(v, plain) else str(v) for name, v in trial.settings.items()}
            for name in trial.numbers.keys() - trial.records.keys():
                writer.add_scalar(name, trial.numbers[name], 0)
            writer.add_text("status", trial.status)
            *before, end = self._hparams(settings, dict(trial.numbers))  # add_hparams would open a second folder
            for summary in (*before, _ended(end, TENSORBOARD_STATES.get(trial.status, "STATUS_FAILURE"))):
                writer.file_writer.add_summary(summary)

    def write_map(self, picture: Path) -> None:
        """Write the run's picture."""
        import numpy as np
        from PIL import Image

        with self._writer(str(self._target / "map")) as writer:
            writer.add_image("map", np.asarray(Image.open(picture).convert("RGB")), 0, dataformats="HWC")


def _ended(end: Any, state: str) -> Any:
    """Return the end of a session of hparams, which tensorboardX always writes as a success, with another state."""
    from tensorboardX.proto.api_pb2 import Status
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

    plugin = end.value[0].metadata.plugin_data
    content = HParamsPluginData.FromString(plugin.content)
    content.session_end_info.status = Status.Value(state)
    plugin.content = content.SerializeToString()
    return end


class WandbWriter:
    """Writes each trial as an offline run of W&B, below a folder; ``wandb sync`` sends them. Nothing is sent here."""

    def __init__(self, name: str, target: Path) -> None:
        try:
            import wandb
        except ImportError:
            raise UserError("wandb is not installed; pip install wandb") from None
        target.mkdir(parents=True, exist_ok=True)
        quiet = wandb.Settings(silent=True, console="off", disable_git=True, save_code=False)
        self._start = partial(wandb.init, project=name, dir=str(target), mode="offline", settings=quiet)
        self._image = wandb.Image

    def write(self, trial: TrialRecord) -> None:
        """Write one trial."""
        config = {**trial.settings, **{f"phasemap_{name}": value for name, value in trial.tags.items()}}
        run = self._start(id=trial.trial_id, name=trial.trial_id, config=config)
        by_step: dict[int, dict[str, float]] = {}
        for name, values in trial.records.items():
            for step, value in values.items():
                by_step.setdefault(step, {})[name] = value
        for step in sorted(by_step):
            run.log(by_step[step], step=step)
        run.summary.update(dict(trial.numbers))
        run.finish(exit_code=0 if trial.status in ("ok", "diverged") else 1)

    def write_map(self, picture: Path) -> None:
        """Write the run's picture."""
        run = self._start(name="map")
        run.log({"map": self._image(str(picture))})
        run.finish()


def export_mlflow(study: Study, trials: pd.DataFrame, curves: pd.DataFrame, target: str) -> None:
    """Write trials as runs of a new experiment, named like the study, of an MLflow store (a folder or sqlite:///FILE).

    UserError where mlflow is not installed, or the store has such an experiment.
    """
    uri = target if "://" in target else Path(target).absolute().as_uri()
    if not uri.startswith(("file://", "sqlite:///")):
        raise UserError(f"{target} is not a local store; allowed: a folder, or sqlite:///FILE")
    try:
        writer = MlflowWriter(study.name, uri, anew=True)
        for trial in trial_records(study, trials, curves):
            writer.write(trial)
    except UserError:
        raise
    except Exception as error:  # whatever MLflow says of a store that it can't use
        raise UserError(f"{target}: {str(error).splitlines()[0][:300]}") from None


def export_to_folder(
    study: Study, trials: pd.DataFrame, curves: pd.DataFrame, target: Path, *, wandb: bool = False
) -> None:
    """Write each trial into a folder of its own below a new folder, for TensorBoard or as offline runs of W&B."""
    if target.exists():
        raise UserError(f"{target} exists already; allowed: a new folder")
    with written(target):
        writer = WandbWriter(study.name, target) if wandb else TensorBoardWriter(target)
        for trial in trial_records(study, trials, curves):
            writer.write(trial)
