"""Tell what a source is, and read it by the reader of its kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from phasemap.study.errors import UserError
from phasemap.sweeps.columns import Wanted
from phasemap.sweeps.sweep import Sweep

ALLOWED = (
    "a CSV or Parquet file, an Optuna storage (sqlite:///FILE, a database or a journal file), a folder of Ray Tune, "
    "an MLflow store (a folder or sqlite:///FILE), W&B's CSV export, or a folder of TensorBoard events"
)
TABLES = (".csv", ".parquet", ".pq")
SQLITE, FILES = "sqlite:///", ("file://", "file:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Further:
    """What else a source may need to be told."""

    study: str | None = None  # which of several studies or experiments
    settings: Sequence[str] = ()  # columns of a table that are settings beside the axes
    curves: Path | None = None  # a table of curves


def read_source(source: str, wanted: Wanted, further: Further) -> Sweep:
    """Read a sweep from a file, folder or URL; UserError where it is none of the known kinds."""
    path = local_path(source)
    if path.is_dir():
        return _read_folder(path, further.study)
    if not path.exists():
        raise UserError(f"{source} does not exist; allowed: {ALLOWED}")
    if path.suffix.lower() in TABLES and not source.startswith(SQLITE):
        return _table(path, wanted, further)
    import phasemap.sweeps.mlflow_store as mlflow
    import phasemap.sweeps.optuna_storage as optuna
    from phasemap.sweeps.database import is_database, kind_of_database

    if not (is_database(path) or source.startswith(SQLITE)):
        return optuna.read_journal(path, further.study)
    reader = optuna if kind_of_database(path) == "optuna" else mlflow
    return reader.read_database(path, further.study)


def local_path(source: str) -> Path:
    """Return the file or folder that a source names; UserError for URLs that would reach out."""
    for start in (SQLITE, *FILES):
        if source.startswith(start):
            return Path(source.removeprefix(start))
    if "://" in source:
        raise UserError(f"{source[:100]} is a URL of {source.partition('://')[0][:20]}; allowed: {ALLOWED}")
    return Path(source)


def _table(path: Path, wanted: Wanted, further: Further) -> Sweep:
    from phasemap.results.tables import read_frame
    from phasemap.sweeps.table import read_trials, sweep_of_table

    return sweep_of_table(
        read_trials(path),
        wanted,
        settings=further.settings,
        curves=read_frame(further.curves) if further.curves else None,
        name=path.stem,
        place=str(path),
    )


def _read_folder(path: Path, study: str | None) -> Sweep:
    import phasemap.sweeps.mlflow_store as mlflow
    import phasemap.sweeps.tensorboard_events as tensorboard
    import phasemap.sweeps.tune_folder as tune

    if tune.is_tune(path):
        return tune.read_folder(path)
    if mlflow.is_store(path):
        return mlflow.read_folder(path, study)
    if tensorboard.is_events(path):
        return tensorboard.read_folder(path)
    raise UserError(f"{path} holds no known kind of sweep; allowed: {ALLOWED}")
