"""The files of a run: every name in one place, and writing that is whole or not at all."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from phasemap.results.remote import Remote, copy_of, is_remote
from phasemap.study.errors import UnreachableError, UserError
from phasemap.study.imported import MEASURED

DEFAULT_STORAGE = "runs"
LOCK_FILES = ("lock.json", "lock.beat")
PROBE_BYTES = 1 << 16  # a full disk still takes an empty file


class _Named:
    """The path of what has this name in a run's folder."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, folder: RunFolder, owner: type[RunFolder]) -> Path:
        return folder.path / self._name


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run's folder, ``<storage>/<study name>``; of one in an object store, this process's copy.

    A file is read after ``fetch`` (of a folder's files after ``fetch_all``), written by ``write`` and removed by
    ``remove``, so that the copy and the store agree.
    """

    path: Path
    remote: Remote | None = None

    @property
    def location(self) -> str:
        """Where the run is, as a user named it."""
        return self.remote.uri if self.remote else str(self.path)

    @property
    def name(self) -> str:
        """The run's name, which is the study's."""
        return self.path.name

    study = _Named("study.yaml")  # the study, with every default filled in
    measured = _Named(MEASURED)  # the points of a sweep that was made elsewhere, where they lie on no grid
    provenance = _Named("provenance.json")  # the list of executions
    log = _Named("run.log")  # the run's log
    lock = _Named("lock.json")  # the lock that keeps two drivers off one run
    damaged = _Named("damaged")  # shards that could not be read, set aside
    shards = _Named("shards")  # one Parquet file a pack
    checkpoints = _Named("checkpoints")  # the state of packs in training
    cache = _Named("cache")  # what can be made again at any time: the labels of the shards that were read before
    inside = _Named("inside")  # what was recorded inside the networks, one Parquet file a pack
    weights = _Named("weights")  # the final weights that are kept, one file a trial
    states = _Named("states")  # what trials' trainings can go on from, one file a trial
    neurons = _Named("neurons.parquet")  # the derived table of what was recorded inside the networks
    trials = _Named("trials.parquet")  # the derived table of trials
    curves = _Named("curves.parquet")  # the derived table of curves
    points = _Named("points.parquet")  # the derived table of points: the phase diagram
    diagram = _Named("diagram.png")  # the default picture

    def shard(self, pack_id: str) -> Path:
        """The shard of one pack."""
        return self.shards / f"{pack_id}.parquet"

    def inside_file(self, pack_id: str) -> Path:
        """What was recorded inside the networks of one pack."""
        return self.inside / f"{pack_id}.parquet"

    def weights_file(self, trial_id: str) -> Path:
        """The final weights of one trial."""
        return self.weights / f"{trial_id}.npz"

    def state_file(self, trial_id: str) -> Path:
        """What one trial's training can go on from."""
        return self.states / f"{trial_id}.pt"

    def checkpoint(self, pack_id: str) -> Path:
        """The checkpoint of one pack."""
        return self.checkpoints / f"{pack_id}.pt"

    @property
    def card_sizes(self) -> Path:
        """How many networks fitted on GPUs at once, where the planned packs did not."""
        return self.checkpoints / "card_sizes.json"

    def fetch(self, path: Path) -> bool:
        """Say whether a file is there; it can be read then."""
        return self.remote.download(self._key(path), path) if self.remote else path.exists()

    def fetch_all(self, folder: Path) -> bool:
        """Say whether a folder has files; they can be read then."""
        if self.remote:
            self.remote.download_all(self._key(folder), folder)
        return folder.is_dir() and any(folder.iterdir())

    def names(self, folder: Path) -> set[str]:
        """List the names of a folder's files; none of them is fetched."""
        if self.remote:
            return self.remote.names(self._key(folder))
        return {path.name for path in folder.iterdir()} if folder.is_dir() else set()

    def write(self, path: Path, write: Callable[[Path], object], *, durable: bool = True) -> None:
        """Write a file whole or not at all; see ``write_whole``."""
        path.parent.mkdir(exist_ok=True)
        write_whole(path, write, durable=durable)
        self.publish(path)

    def write_text(self, path: Path, text: str) -> None:
        """Write a text file whole or not at all."""
        self.write_bytes(path, text.encode())

    def write_bytes(self, path: Path, content: bytes, *, durable: bool = True) -> None:
        """Write a binary file whole or not at all."""
        self.write(path, lambda temporary: temporary.write_bytes(content), durable=durable)

    def publish(self, path: Path) -> None:
        """Put a file that was written here where others see it."""
        if self.remote:
            self.remote.upload(path, self._key(path))

    def remove(self, path: Path) -> None:
        """Remove a file, if it is there."""
        path.unlink(missing_ok=True)
        if self.remote:
            self.remote.remove(self._key(path))

    def _key(self, path: Path) -> str:
        return path.relative_to(self.path).as_posix()

    @contextmanager
    def at_work(self) -> Iterator[RunFolder]:
        """Yield the folder as a worker uses it: a copy of its own for as long as a pack takes, if it is remote."""
        if self.remote is None:
            yield self
            return
        with tempfile.TemporaryDirectory(prefix="phasemap-") as own:
            folder = RunFolder(Path(own) / self.name, self.remote)
            folder.path.mkdir()
            yield folder

    def set_aside(self, path: Path) -> Path:
        """Move a damaged file to the folder of such, and return its new path."""
        target = self.damaged / path.name
        self.write_bytes(target, path.read_bytes())
        self.remove(path)
        return target

    def create(self) -> None:
        """Make the folder; UnreachableError if it can't be written."""
        probe = self.path / f".probe-{uuid.uuid4().hex}"
        try:
            with written(f"the storage {self.location}"):
                self.shards.mkdir(parents=True, exist_ok=True)
                self.checkpoints.mkdir(exist_ok=True)
                probe.write_bytes(bytes(PROBE_BYTES))
                self.publish(probe)
        finally:
            with suppress(OSError):
                self.remove(probe)

    def remove_if_empty(self) -> None:
        """Remove a folder that was made for nothing: no shard, no file."""
        for path in (self.shards, self.checkpoints, self.path):
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()

    def remove_derived(self) -> None:
        """Remove the derived tables, which then are made from the shards when they are asked for."""
        self.remove_labelled()
        for path in (self.curves, self.neurons):
            self.remove(path)

    def remove_labelled(self) -> None:
        """Remove those derived tables that depend on the rule."""
        for path in (self.trials, self.points):
            self.remove(path)

    def move_aside(self) -> RunFolder:
        """Rename the folder, but for its lock, to NAME.old-TIMESTAMP, make it anew, and return the old one."""
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        target = RunFolder(self.path.with_name(f"{self.path.name}.old-{stamp}"))
        try:
            self.path.rename(target.path)
            self.create()
            if (target.path / self.lock.name).exists():
                (target.path / self.lock.name).rename(self.lock)
            if self.remote:
                target = RunFolder(target.path, self.remote.beside(target.name))
                self.remote.move(target.remote, leave=LOCK_FILES)  # type: ignore[arg-type]
        except OSError as error:
            raise UnreachableError(f"{self.location} can't be moved aside: {error.strerror or error}") from None
        return target


def storage_path(storage: str | Path | None) -> Path:
    """Return the local folder of a storage."""
    return Path(str(storage or DEFAULT_STORAGE).removeprefix("file://"))


def run_folder(storage: str | Path | None, name: str) -> RunFolder:
    """Return the folder of a run in a storage, which may be a URI."""
    if is_remote(storage):
        uri = f"{str(storage).rstrip('/')}/{name}"
        return RunFolder(copy_of(uri), Remote(uri))
    return RunFolder(storage_path(storage) / name)


def find_run(run: str | Path, storage: str | Path | None = None) -> RunFolder:
    """Find a run by its folder or, with a storage, by its name; UserError if there is none."""
    for candidate in _candidates(str(run), storage):
        if candidate.fetch(candidate.study):
            candidate.fetch(candidate.measured)
            return candidate
    first = next(_candidates(str(run), storage)).location
    raise UserError(f"{first} is not a run: it has no study.yaml; allowed: a run's folder, or its name with --storage")


def _candidates(run: str, storage: str | Path | None) -> Iterator[RunFolder]:
    if storage is not None:
        yield run_folder(storage, run)
    elif is_remote(run):
        yield run_folder(*run.rstrip("/").rsplit("/", 1))
    else:
        yield RunFolder(Path(run.removeprefix("file://")))
        yield run_folder(None, run)


def check_storage(storage: str | Path | None) -> None:
    """UserError where a storage is no folder; an object store has none, and only what is kept in it tells of it."""
    root = storage_path(storage)
    if not is_remote(storage) and not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise UserError(f"the storage {root} {what}; allowed: --storage with the folder or URI that has runs")


def list_runs(storage: str | Path | None) -> list[RunFolder]:
    """List the runs of a storage by name."""
    if is_remote(storage):
        names = Remote(str(storage).rstrip("/")).list()
    else:
        root = storage_path(storage)
        names = sorted(path.name for path in root.iterdir()) if root.is_dir() else []
    folders = [run_folder(storage, name) for name in names]
    return [folder for folder in folders if folder.fetch(folder.study)]


def write_whole(path: Path, write: Callable[[Path], object], *, durable: bool = True) -> None:
    """Let ``write`` fill a temporary file beside ``path``, make it durable, and rename it when it is whole.

    One that is not durable outlasts every process, but may be lost with the machine.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp{path.suffix}")
    try:
        write(temporary)
        if durable:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def written(path: Path | str) -> Iterator[None]:
    """Name the file that can't be written: UnreachableError in place of an OSError."""
    try:
        yield
    except OSError as error:
        raise UnreachableError(f"{path} can't be written: {error.strerror or error}") from None


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    write_whole(path, lambda temporary: temporary.write_bytes(text.encode()))
