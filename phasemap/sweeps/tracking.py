"""Log each trial of a run when it ends, and the map at the end: for TensorBoard, MLflow or W&B."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Protocol

import pandas as pd
import pyarrow as pa

from phasemap.results.folder import RunFolder
from phasemap.results.merge import trial_table
from phasemap.results.schema import shard_schema
from phasemap.results.shards import read_shard
from phasemap.study.errors import UserError
from phasemap.study.file import load_resolved
from phasemap.study.spec import Study
from phasemap.sweeps.outward import MlflowWriter, TensorBoardWriter, TrialRecord, WandbWriter, trial_records

MLFLOW_URI = "MLFLOW_TRACKING_URI"

logger = logging.getLogger("phasemap")


class Writer(Protocol):
    """Where trials are logged."""

    def write(self, trial: TrialRecord) -> None:
        """Log one trial."""

    def write_map(self, picture: Path) -> None:
        """Log the run's picture."""


class Tracking:
    """Logs the trials of the shards that it is told of; a tracker that fails is told once, and the run goes on."""

    def __init__(self, folder: RunFolder, writers: dict[str, Writer]) -> None:
        self._folder, self._writers = folder, writers
        self._study: Study | None = None
        self.n_logged = 0
        self.failed: dict[str, str] = {}  # by tracker: why it was given up

    def stored(self, shard: Path) -> None:
        """Log the trials of a shard."""
        try:
            told = self._records(shard)
        except Exception as error:  # logging must harm no run
            self._give_up(list(self._writers), error)
            return
        for name, writer in list(self._writers.items()):
            try:
                for trial in told:
                    writer.write(trial)
            except Exception as error:  # whatever another tool raises
                self._give_up([name], error)
        self.n_logged += len(told)

    def ended(self) -> None:
        """Log the map."""
        for name, writer in list(self._writers.items()):
            try:
                writer.write_map(self._folder.diagram)
            except Exception as error:  # whatever another tool raises
                self._give_up([name], error)

    def _records(self, shard: Path) -> list[TrialRecord]:
        self._study = self._study or load_resolved(self._folder.study)
        rows = read_shard(shard, schema=shard_schema(self._study))
        return list(trial_records(self._study, trial_table(rows, self._study.phases), long_curves(self._study, rows)))

    def _give_up(self, names: list[str], error: Exception) -> None:
        for name in names:
            del self._writers[name]
            self.failed[name] = f"{type(error).__name__}: {str(error).splitlines()[0][:300] if str(error) else ''}"
            logger.warning("--track %s stopped, the run goes on: %s", name, self.failed[name])


def long_curves(study: Study, rows: pa.Table) -> pd.DataFrame:
    """Return the curves of a shard's rows in long form."""
    lists = ["step", *study.recorded.quantities]
    frame: pd.DataFrame = rows.select(["trial_id", *lists]).to_pandas()
    return frame.explode(lists).dropna(subset=["step"]).astype({"step": "int64", **dict.fromkeys(lists[1:], float)})


def tracking(folder: RunFolder, names: tuple[str, ...]) -> Tracking:
    """Return what logs into tools: beside the run, of MLflow where MLFLOW_TRACKING_URI says.

    UserError where a tool is not installed, or the run is in an object store.
    """
    if folder.remote is not None:
        raise UserError(f"--track logs beside the run; allowed: a local storage, and not {folder.location}")
    return Tracking(folder, {name: _writer(folder, name) for name in names})


def _writer(folder: RunFolder, name: str) -> Writer:
    if name == "tensorboard":
        return TensorBoardWriter(folder.path / name)
    if name == "wandb":
        return WandbWriter(folder.name, folder.path)
    if given := os.environ.get(MLFLOW_URI):
        return MlflowWriter(folder.name, given)
    folder.path.mkdir(parents=True, exist_ok=True)
    database = folder.path / "mlflow.db"
    writer = MlflowWriter(folder.name, f"sqlite:///{database.absolute()}", artifacts=folder.path / "mlartifacts")
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")  # MLflow commits often: fewer waits for the disk
    return writer
