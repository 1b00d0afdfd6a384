"""The storage as the service reads it: runs by name, and their tables, kept while their files stay the same."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from phasemap.diagram.tables import Tables, derive
from phasemap.results.folder import RunFolder, list_runs, storage_path
from phasemap.results.lock import holder_of
from phasemap.runs import Run
from phasemap.search.completed import completed
from phasemap.study.errors import UnknownRunError
from phasemap.study.spec import Study

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
MOST_RUNS = 6  # whose tables are kept in memory
MOST_CACHED_BYTES = 64_000_000
LOAD_SHARE = 20  # a live run's tables are made again after this many times what making them took


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A run's tables at one moment."""

    folder: RunFolder
    stamp: str  # of the files that it was read from
    tables: Tables

    @property
    def study(self) -> Study:
        """The study as resolved."""
        return self.tables.study

    @property
    def trials(self) -> pd.DataFrame:
        """One row a trial."""
        return self.tables.trials

    @property
    def points(self) -> pd.DataFrame:
        """One row a point."""
        return self.tables.points

    def run(self) -> Run:
        """Return the run as users hold it, with these tables."""
        return Run.of(self.folder, study=self.study, trials=self.trials, points=self.points)


@dataclass
class _Kept:
    snapshot: Snapshot
    made: float
    seconds: float  # of this thread on the CPU, which other processes change little


@dataclass
class Store:
    """The runs of a storage. Nothing but a checked name ever becomes part of a path."""

    root: Path
    _kept: OrderedDict[str, _Kept] = field(default_factory=OrderedDict)
    _locks: dict[str, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))

    def folder(self, name: str) -> RunFolder:
        """Return a run's folder; UnknownRunError for any name that is not one of ``names``."""
        folder = self.folder_of(name)
        if not folder.study.is_file():
            raise UnknownRunError(f"there is no run {name}")
        return folder

    def folder_of(self, name: str) -> RunFolder:
        """Return where the run of a name is or would be; UnknownRunError for what can't be a name."""
        if not NAME.fullmatch(name):
            raise UnknownRunError("a run's name has letters, digits, - and _, at most 64")
        return RunFolder(storage_path(self.root) / name)

    def names(self) -> list[str]:
        """List the runs; folders that were moved aside are none."""
        return [folder.name for folder in list_runs(self.root) if NAME.fullmatch(folder.name)]

    def stamp(self, name: str) -> str:
        """Tell the state of a run's files in a few characters, without reading them."""
        return folder_stamp(self.folder(name))

    def snapshot(self, name: str) -> Snapshot:
        """Return a run's tables; those of a live run may be older than its shards by LOAD_SHARE of what reading takes.

        While one thread reads them again, others get the former ones. UserError where they can't be read.
        """
        folder, lock, kept = self.folder(name), self._locks[name], self._kept.get(name)
        if kept is not None and not lock.acquire(blocking=False):
            return kept.snapshot
        if kept is None:
            lock.acquire()
        try:
            snapshot = self._read(name, folder)
        finally:
            lock.release()
        while len(self._kept) > MOST_RUNS:
            self._kept.popitem(last=False)
        return snapshot

    def _read(self, name: str, folder: RunFolder) -> Snapshot:
        stamp, kept = folder_stamp(folder), self._kept.get(name)
        if kept is not None:
            self._kept.move_to_end(name)
            fresh = kept.snapshot.stamp == stamp
            if fresh or time.monotonic() - kept.made < LOAD_SHARE * kept.seconds:
                return kept.snapshot
        started = time.thread_time()
        snapshot = Snapshot(folder=folder, stamp=stamp, tables=_tables(folder))
        self._kept[name] = _Kept(snapshot, time.monotonic(), time.thread_time() - started)
        return snapshot


def folder_stamp(folder: RunFolder) -> str:
    """Tell the state of a run's files: its study, shards, tables and executions."""
    parts = []
    for path in (folder.study, folder.shards, folder.trials, folder.points, folder.provenance):
        try:
            found = path.stat()
        except OSError:
            parts.append("-")
        else:
            parts.append(f"{found.st_mtime_ns}:{found.st_size}")
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]


def derived_are_fresh(folder: RunFolder) -> bool:
    """Whether no shard is newer than the derived tables, and none is being added."""
    try:
        derived = min(path.stat().st_mtime_ns for path in (folder.trials, folder.points))
        return derived >= folder.shards.stat().st_mtime_ns and holder_of(folder) is None
    except OSError:
        return False


def _tables(folder: RunFolder) -> Tables:
    """Read the derived tables, or merge the shards where these are ahead."""
    if not derived_are_fresh(folder):
        return completed(derive(folder))
    run = Run(folder)
    return Tables(study=run.study, trials=run.trials, points=run.points)


@dataclass
class Cache:
    """What was made once for a state of a run, as bytes: the least used go when there are too many."""

    most_bytes: int = MOST_CACHED_BYTES
    _kept: OrderedDict[tuple[Any, ...], bytes] = field(default_factory=OrderedDict)
    _bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key: tuple[Any, ...], make: Callable[[], bytes]) -> bytes:
        """Return what belongs to a key, made now if it is not there."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return found
        made = make()
        if len(made) > self.most_bytes // 4:
            return made
        with self._lock:
            if key not in self._kept:
                self._kept[key] = made
                self._bytes += len(made)
            while self._bytes > self.most_bytes:
                self._bytes -= len(self._kept.popitem(last=False)[1])
        return made
