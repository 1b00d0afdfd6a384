"""Log each trial of a run when it ends, and the map at the end: for TensorBoard, MLflow or W&B."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
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
MLFLOW_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
"""By default MLflow tries for minutes to reach a server, and each time anew; the run would wait."""

logger = logging.getLogger("phasemap")


class Writer(Protocol):
    """Where trials are logged."""

    def write(self, trial: TrialRecord) -> None:
        """Log one trial."""

    def write_map(self, picture: Path) -> None:
        """Log the run's picture."""


class Tracking:
    """Logs the trials of the shards that it is told of; a tracker that fails is told once, and the run goes on."""

    def __init__(self, folder: RunFolder, names: Sequence[str]) -> None:
        self._folder = folder
        self._writers: dict[str, Writer] = {}
        self._study: Study | None = None
        self.n_logged = 0
        self.failed: dict[str, str] = {}  # by tracker: why it was given up
        for name in names:
            try:
                with _impatient():
                    self._writers[name] = _writer(folder, name)
            except UserError:  # the tool is not installed
                raise
            except Exception as error:  # its server is out of reach, its files are damaged
                self._give_up([name], error)

    def stored(self, shard: Path) -> None:
        """Log the trials of a shard."""
        try:
            told = self._records(shard)
        except Exception as error:  # logging must harm no run
            self._give_up(list(self._writers), error)
            return
        for name, writer in list(self._writers.items()):
            try:
                with _impatient():
                    for trial in told:
                        writer.write(trial)
            except Exception as error:  # whatever another tool raises
                self._give_up([name], error)
        self.n_logged += len(told)

    def ended(self) -> None:
        """Log the map."""
        for name, writer in list(self._writers.items()):
            try:
                with _impatient():
                    writer.write_map(self._folder.diagram)
            except Exception as error:  # whatever another tool raises
                self._give_up([name], error)

    def _records(self, shard: Path) -> list[TrialRecord]:
        self._study = self._study or load_resolved(self._folder.study)
        rows = read_shard(shard, schema=shard_schema(self._study))
        return list(trial_records(self._study, trial_table(rows, self._study.phases), long_curves(self._study, rows)))

    def _give_up(self, names: list[str], error: Exception) -> None:
        for name in names:
            self._writers.pop(name, None)
            self.failed[name] = f"{type(error).__name__}: {str(error).splitlines()[0][:300] if str(error) else ''}"
            logger.warning("--track %s stopped, the run goes on: %s", name, self.failed[name])


@contextmanager
def _impatient() -> Iterator[None]:
    """Let MLflow give up a server within seconds, where the user has not said otherwise."""
    own = {name: value for name, value in MLFLOW_PATIENCE.items() if name not in os.environ}
    os.environ.update(own)
    try:
        yield
    finally:
        for name in own:
            os.environ.pop(name, None)


def long_curves(study: Study, rows: pa.Table) -> pd.DataFrame:
    """Return the curves of a shard's rows in long form."""
    lists = ["step", *study.recorded.quantities]
    frame: pd.DataFrame = rows.select(["trial_id", *lists]).to_pandas()
    return frame.explode(lists).dropna(subset=["step"]).astype({"step": "int64", **dict.fromkeys(lists[1:], float)})


def tracking(folder: RunFolder, names: tuple[str, ...]) -> Tracking:
    """Return what logs into tools: beside the run, of MLflow where MLFLOW_TRACKING_URI says.

    UserError where a tool is not installed, or the run is in an object store; one that fails in another way is told.
    """
    if folder.remote is not None:
        raise UserError(f"--track logs beside the run; allowed: a local storage, and not {folder.location}")
    return Tracking(folder, names)


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
