"""The storage as the service reads it, its tables kept while their files stay the same; and what is sent of a run."""

from __future__ import annotations

import hashlib
import re
import tempfile
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.compute as pc

from phasemap.bundle import write_bundle
from phasemap.diagram.diagram import first_panels, make_diagram
from phasemap.diagram.tables import Tables, derive
from phasemap.figures import FigureRequest
from phasemap.figures.page import report_html
from phasemap.figures.report import SMALL_TRIALS, report_payload
from phasemap.figures.small import scatter_thumbnail, thumbnail_svg
from phasemap.results.curves import curve_columns
from phasemap.results.encoding import json_text, records
from phasemap.results.folder import RunFolder, list_runs, storage_path
from phasemap.results.lock import holder_of
from phasemap.results.provenance import read_provenance
from phasemap.results.schema import shard_schema
from phasemap.results.shards import reread_if_replaced, shard_files, shard_pieces
from phasemap.runs import Run
from phasemap.search.completed import completed
from phasemap.study.errors import UnknownRunError, UnknownTrialError

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
MOST_RUNS = 6  # whose tables are kept in memory
MOST_CACHED_BYTES = 64_000_000
LOAD_SHARE = 20  # a live run's tables are made again after this many times what making them took


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot(Tables):
    """A run's tables at one moment."""

    folder: RunFolder
    stamp: str  # of the files that it was read from

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

        While one thread reads a live run's again, others get the former ones. UserError where they can't be read.
        """
        folder, lock, kept = self.folder(name), self._locks[name], self._kept.get(name)
        if not lock.acquire(blocking=kept is None or derived_are_fresh(folder)):
            assert kept is not None
            return kept.snapshot
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
            early = time.monotonic() - kept.made < LOAD_SHARE * kept.seconds
            if kept.snapshot.stamp == stamp or (early and not derived_are_fresh(folder)):
                return kept.snapshot
        started = time.thread_time()
        tables = _tables(folder)
        snapshot = Snapshot(folder=folder, stamp=stamp, study=tables.study, trials=tables.trials, points=tables.points)
        self._kept[name] = _Kept(snapshot, time.monotonic(), time.thread_time() - started)
        return snapshot


def folder_stamp(folder: RunFolder) -> str:
    """Tell the state of a run's files: its study, shards, tables and executions."""
    parts = []
    for path in (folder.study, folder.shards, folder.trials, folder.points, folder.provenance):
        try:
            state = path.stat()
        except OSError:
            parts.append("-")
        else:
            parts.append(f"{state.st_mtime_ns}:{state.st_size}")
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
            content = self._kept.get(key)
            if content is not None:
                self._kept.move_to_end(key)
                return content
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


MOST_FAILURES = 50


def table_page(name: str, stamp: str, frame: pd.DataFrame, offset: int, limit: int) -> bytes:
    """Return some rows of a table with the number of all; numbers that are not known are null."""
    rows = frame.iloc[offset : offset + limit].to_json(orient="records", double_precision=15)
    head = {"run": name, "version": stamp, "n_rows": len(frame), "offset": offset, "limit": limit}
    return f'{json_text(head)[:-1]}, "rows": {rows}}}'.encode()


def chosen_trials(trials: pd.DataFrame, status: str | None, phase: str | None) -> pd.DataFrame:
    """Return the trials of a status or with a label."""
    if status is not None:
        trials = trials[trials["status"] == status]
    if phase is not None:
        trials = trials[(trials["phase"] == phase) | (trials["subphase"] == phase)]
    return trials


def failures(trials: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the first trials that failed, with their errors."""
    failed = trials[trials["status"] == "failed"].head(MOST_FAILURES)
    return records(failed[["trial_id", "seed", "error"]])


def curve(snapshot: Snapshot, trial_id: str) -> bytes:
    """Return every quantity of a trial over its recorded steps; UnknownTrialError if it has none."""
    rows = snapshot.trials[snapshot.trials["trial_id"] == trial_id]
    if rows.empty:
        raise UnknownTrialError(f"the run {snapshot.study.name} has no results of a trial {trial_id}")
    row = reread_if_replaced(lambda: _curve_row(snapshot, trial_id, rows.iloc[0]["pack_id"]))
    content = {
        "trial_id": trial_id,
        "status": row["status"],
        "step": row["step"],
        "quantities": {name: row[name] for name in snapshot.study.recorded.quantities},
    }
    return json_text(content).encode()


def _curve_row(snapshot: Snapshot, trial_id: str, pack_id: str) -> Mapping[str, Any]:
    """Find the row that a merge kept: in its pack's shard, or in a file that took that shard's place."""
    own, schema = snapshot.folder.shard(pack_id), shard_schema(snapshot.study)
    for path in [own] if own.exists() else shard_files(snapshot.folder):
        for piece in shard_pieces(path, [*curve_columns(schema), "pack_id"], schema=schema):
            mine = pc.and_(pc.equal(piece["trial_id"], trial_id), pc.equal(piece["pack_id"], pack_id))
            rows = piece.filter(mine)
            if len(rows):
                row: Mapping[str, Any] = rows.slice(0, 1).to_pylist()[0]
                return row
    raise UnknownTrialError(f"the curve of trial {trial_id} no longer exists")


def map_content(snapshot: Snapshot, *, running: bool) -> bytes:
    """Return what the page draws a run from: a report's content.

    Of a run that is under way or very large without what a report has of earlier steps, and without curves: the page
    asks for those of the trials that it shows.
    """
    executions = read_provenance(snapshot.folder)
    if running or len(snapshot.trials) > SMALL_TRIALS:
        content = report_payload(snapshot, None, executions)
        content["card"]["claims"] = None  # they are tested at the end
    else:
        run = snapshot.run()
        content = run.report_content()
    return json_text(content, compact=True).encode()


def thumbnail(snapshot: Snapshot) -> bytes:
    """Return a run's map as a small picture."""
    if snapshot.study.scattered:
        return scatter_thumbnail(snapshot.study, snapshot.points).encode()
    diagram = first_panels(make_diagram(snapshot.study, snapshot.points))
    return thumbnail_svg(diagram).encode()


def report_file(run: Run) -> bytes:
    """Return a run's report, one HTML file."""
    return report_html(run.report_content()).encode()


def picture(run: Run, figure: FigureRequest, ending: str) -> bytes:
    """Draw a figure as png, svg or pdf, or return it as JSON."""
    from phasemap.figures.static import save_figure

    spec = run.requested(figure)
    if ending == "json":
        return json_text(spec).encode()
    return _written(f"figure.{ending}", partial(save_figure, spec))


def difference_picture(a: Run, b: Run, ending: str, *, tall: bool = False) -> bytes:
    """Draw two runs beside each other, and where they differ; ``tall`` one below the other."""
    from phasemap.figures.difference import save_difference

    return _written(f"difference.{ending}", partial(save_difference, a.diff(b), tall=tall))


def bundle_file(run: Run, folder: Path) -> Path:
    """Write a run's bundle into a temporary folder, and return its path."""
    target = folder / f"{run.study.name}.zip"
    write_bundle(run, target)
    return target


def _written(name: str, write: Callable[[Path], object]) -> bytes:
    """Return what is written into a file."""
    with tempfile.TemporaryDirectory(prefix="phasemap-") as folder:
        path = Path(folder) / name
        write(path)
        return path.read_bytes()
