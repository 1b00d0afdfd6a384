"""The files of a run: every name in one place, and writing that is whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from phasemap.study.problems import UnreachableError, UserError

DEFAULT_STORAGE = "runs"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run's folder, ``<storage>/<study name>``."""

    path: Path

    @property
    def name(self) -> str:
        """The run's name, which is the study's."""
        return self.path.name

    @property
    def study(self) -> Path:
        """The study as resolved."""
        return self.path / "study.yaml"

    @property
    def provenance(self) -> Path:
        """The list of executions."""
        return self.path / "provenance.json"

    @property
    def log(self) -> Path:
        """The run's log."""
        return self.path / "run.log"

    @property
    def lock(self) -> Path:
        """The lock that keeps two drivers off one run."""
        return self.path / "lock.json"

    @property
    def shards(self) -> Path:
        """One Parquet file a pack."""
        return self.path / "shards"

    @property
    def checkpoints(self) -> Path:
        """The state of packs in training."""
        return self.path / "checkpoints"

    @property
    def cache(self) -> Path:
        """What can be made again at any time: the labels of the shards that were read before."""
        return self.path / "cache"

    @property
    def search(self) -> Path:
        """The state of an adaptive search, as a journal of Optuna: a cache too."""
        return self.cache / "optuna.journal"

    @property
    def inside(self) -> Path:
        """What was recorded inside the networks, one Parquet file a pack."""
        return self.path / "inside"

    @property
    def weights(self) -> Path:
        """The final weights that are kept, one file a trial."""
        return self.path / "weights"

    @property
    def neurons(self) -> Path:
        """The derived table of what was recorded inside the networks."""
        return self.path / "neurons.parquet"

    @property
    def trials(self) -> Path:
        """The derived table of trials."""
        return self.path / "trials.parquet"

    @property
    def curves(self) -> Path:
        """The derived table of curves."""
        return self.path / "curves.parquet"

    @property
    def points(self) -> Path:
        """The derived table of points: the phase diagram."""
        return self.path / "points.parquet"

    @property
    def diagram(self) -> Path:
        """The default picture."""
        return self.path / "diagram.png"

    def shard(self, pack_id: str) -> Path:
        """The shard of one pack."""
        return self.shards / f"{pack_id}.parquet"

    def inside_file(self, pack_id: str) -> Path:
        """What was recorded inside the networks of one pack."""
        return self.inside / f"{pack_id}.parquet"

    def weights_file(self, trial_id: str) -> Path:
        """The final weights of one trial."""
        return self.weights / f"{trial_id}.npz"

    def checkpoint(self, pack_id: str) -> Path:
        """The checkpoint of one pack."""
        return self.checkpoints / f"{pack_id}.pt"

    def create(self) -> None:
        """Make the folder; UnreachableError if it can't be written."""
        try:
            self.shards.mkdir(parents=True, exist_ok=True)
            self.checkpoints.mkdir(exist_ok=True)
            probe = self.path / f".probe-{uuid.uuid4().hex}"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise UnreachableError(f"the storage {self.path} can't be written: {error.strerror}") from None

    def remove_if_empty(self) -> None:
        """Remove a folder that was made for nothing: no shard, no file."""
        for path in (self.shards, self.checkpoints, self.path):
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()

    def remove_derived(self) -> None:
        """Remove the derived tables, which then are made from the shards when they are asked for."""
        self.remove_labelled()
        for path in (self.curves, self.neurons):
            path.unlink(missing_ok=True)

    def remove_labelled(self) -> None:
        """Remove those derived tables that depend on the rule."""
        for path in (self.trials, self.points):
            path.unlink(missing_ok=True)

    def move_aside(self) -> Path:
        """Rename the folder to NAME.old-TIMESTAMP and return the new path."""
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        target = self.path.with_name(f"{self.path.name}.old-{stamp}")
        try:
            self.path.rename(target)
        except OSError as error:
            raise UnreachableError(f"{self.path} can't be moved aside: {error.strerror}") from None
        return target


def storage_path(storage: str | Path | None) -> Path:
    """Return the local folder of a storage; UserError for kinds that are not available yet."""
    text = str(storage or DEFAULT_STORAGE)
    if text.startswith("file://"):
        return Path(text.removeprefix("file://"))
    if "://" in text:
        raise UserError(f"--storage {text}: object stores are not available yet; allowed: a local or shared folder")
    return Path(text)


def find_run(run: str | Path, storage: str | Path | None = None) -> RunFolder:
    """Find a run by its folder or, with a storage, by its name; UserError if there is none."""
    path = Path(run) if storage is None else storage_path(storage) / str(run)
    by_name = Path(DEFAULT_STORAGE) / str(run)
    for candidate in (path, by_name) if storage is None else (path,):
        if (candidate / "study.yaml").is_file():
            return RunFolder(candidate)
    raise UserError(f"{path} is not a run: it has no study.yaml; allowed: a run's folder, or its name with --storage")


def list_runs(storage: str | Path | None) -> list[RunFolder]:
    """List the runs of a storage by name."""
    root = storage_path(storage)
    if not root.is_dir():
        return []
    return [RunFolder(path) for path in sorted(root.iterdir()) if (path / "study.yaml").is_file()]


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, make it durable, and rename it when it is whole."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp{path.suffix}")
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    write_whole(path, lambda temporary: _write_text(temporary, text))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a binary file whole or not at all."""
    write_whole(path, lambda temporary: _write_bytes(temporary, content))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _write_bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)
