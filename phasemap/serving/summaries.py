"""A run in a few numbers: its state, counts and time left, as lists, pages and followers get it, and who tells them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel
from sse_starlette import ServerSentEvent

from phasemap.results.folder import RunFolder
from phasemap.results.lock import holder_of
from phasemap.results.provenance import Execution, read_provenance
from phasemap.serving.queue import QueuedRun, Supervisor, why_not_resumed
from phasemap.serving.store import Store, derived_are_fresh
from phasemap.study.errors import TooManyError, UserError
from phasemap.study.file import load_resolved
from phasemap.study.spec import Study
from phasemap.study.trials import count_trials

QUEUED, RUNNING, STOPPING = "queued", "running", "stopping"
DONE, INTERRUPTED, LOST, FAILED = "done", "interrupted", "lost", "failed"  # as a run's own record calls them
STATES = (QUEUED, RUNNING, STOPPING, DONE, INTERRUPTED, LOST, FAILED)
MOST_FOLLOWERS = 200
CHECK_SECONDS = 5.0
IDLE = (DONE, INTERRUPTED, LOST, FAILED)
ALL_TICKS = 10  # a run that is started by others is seen after so many ticks


class Summary(BaseModel):
    """A run in a few numbers."""

    name: str
    state: str
    question: str = ""
    axes: list[str] = []
    n_trials: int = 0  # of a search, the most that it trains
    searched: bool = False
    scattered: bool = False
    n_done: int = 0
    n_failed: int = 0
    n_stopped: int = 0  # of an imported sweep, before their end
    n_diverged: int = 0
    phase_counts: dict[str, int] = {}
    started: str | None = None
    ended: str | None = None
    core_hours: float = 0.0
    eta_seconds: float | None = None
    submitted_by: str | None = None
    place_in_queue: int | None = None
    resumable: bool = False  # whether the run can be continued, if it is not under way
    error: str | None = None
    version: str = ""


@dataclass
class _Rate:
    """How fast a run's trials end, since it was first seen running."""

    since: float
    first: int  # trials that were there then
    done: int = 0
    seconds: float | None = None  # to the end, estimated when the last trials ended

    def eta(self, done: int, total: int) -> float | None:
        """Estimate the seconds to the end; None before anything ended. It changes only when trials end."""
        if done != self.done:
            self.done, passed = done, time.monotonic() - self.since
            self.seconds = round(passed / (done - self.first) * (total - done), 1) if done > self.first else None
        return self.seconds


@dataclass
class Summaries:
    """Makes summaries, reading again only what changed."""

    store: Store
    supervisor: Supervisor
    _studies: dict[str, tuple[int, Study]] = field(default_factory=dict)
    _counts: dict[str, tuple[str, Mapping[str, Any]]] = field(default_factory=dict)
    _rates: dict[str, _Rate] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def names(self) -> list[str]:
        """List all runs, and the jobs that have no folder yet, by name."""
        return sorted({*self.store.names(), *(job.name for job in self.supervisor.jobs() if job.stands_alone)})

    def wanted(self, name: str) -> bool:
        """Whether a run waits for its turn or is to be run to its end."""
        job = self.supervisor.job(name)
        return job is not None and job.wanted

    def of(self, name: str) -> Summary:
        """Summarize a run; UnknownRunError where there is neither a run nor a job of this name."""
        job, folder, state = self._found(name)
        queue = self.supervisor.queue() if job is not None and job.queued else []
        summary = Summary(
            name=name,
            state=state,
            submitted_by=job.by if job else None,
            place_in_queue=queue.index(name) + 1 if name in queue else None,
            error=job.error if job and state not in (RUNNING, QUEUED, DONE) else None,
        )
        try:
            self._fill(summary, folder, job)
        except UserError as error:  # one bad folder must not hide the others
            return summary.model_copy(update={"state": FAILED, "error": str(error)})
        return summary

    def state(self, name: str) -> str:
        """Return a run's state without reading how it ended, which counts as interrupted; UnknownRunError as above."""
        return self._found(name)[2]

    def _found(self, name: str) -> tuple[QueuedRun | None, RunFolder, str]:
        job, folder = self.supervisor.job(name), self.store.folder_of(name)
        if job is None or not job.stands_alone or folder.study.is_file():
            folder = self.store.folder(name)
        return job, folder, state_of(folder, job)

    def study(self, name: str) -> Study:
        """Return the study of a run or a job."""
        return self._study(self.store.folder_of(name), self.supervisor.job(name))

    def all(self) -> list[Summary]:
        """Summarize all runs, the one that changed last first."""
        runs = []
        for name in self.names():
            try:
                runs.append(self.of(name))
            except UserError:  # it was moved away in this moment
                continue
        active = (RUNNING, STOPPING, QUEUED)
        runs.sort(key=lambda run: run.started or "", reverse=True)
        return sorted(runs, key=lambda run: active.index(run.state) if run.state in active else len(active))

    def _fill(self, summary: Summary, folder: RunFolder, job: QueuedRun | None) -> None:
        study = self._study(folder, job)
        summary.question, summary.axes = study.question, list(study.axis_names)
        summary.resumable = why_not_resumed(summary.name, study) is None
        summary.searched = study.search.kind != "grid"
        summary.scattered = study.scattered
        summary.n_trials = _most_trials(study)
        if not folder.study.is_file():
            return
        counts = self._counted(folder)
        for key in set(counts) & set(Summary.model_fields):
            setattr(summary, key, counts[key])
        if study.scattered:
            summary.n_trials = counts["n_known"]
        if summary.state == INTERRUPTED and counts["left_as"]:
            summary.state = counts["left_as"]
        elif summary.error and counts["left_as"] == DONE and job and (counts["started"] or "") >= job.at:
            summary.state, summary.error = DONE, None  # it was run to its end on the command line
        summary.eta_seconds = self._eta(summary)

    def _study(self, folder: RunFolder, job: QueuedRun | None) -> Study:
        path = folder.study
        if not path.is_file() and job is not None:
            path = self.supervisor.files.study(job.name)
        try:
            changed = path.stat().st_mtime_ns
        except OSError:
            raise UserError(f"{folder.name} has no study") from None
        kept = self._studies.get(folder.name)
        if kept is None or kept[0] != changed:
            kept = self._studies[folder.name] = changed, load_resolved(path)
        return kept[1]

    def _counted(self, folder: RunFolder) -> Mapping[str, Any]:
        """Return a run's counts; while one thread counts anew, others get the former ones."""
        kept = self._counts.get(folder.name)
        if kept is not None and not self._guard.acquire(blocking=False):
            return kept[1]
        if kept is None:
            self._guard.acquire()
        try:
            kept = self._counts.get(folder.name)
            if kept is None or kept[0] != self.store.stamp(folder.name):
                counts = self._count(folder)
                kept = self._counts[folder.name] = counts["version"], counts
        finally:
            self._guard.release()
        return kept[1]

    def _count(self, folder: RunFolder) -> dict[str, Any]:
        version, columns = self.store.stamp(folder.name), ["status", "phase"]
        table = _fresh_columns(folder, columns)
        if table is not None:
            status, phase = (table[name].to_pylist() for name in columns)
        else:
            snapshot = self.store.snapshot(folder.name)
            version = snapshot.stamp
            status, phase = (snapshot.trials[name].tolist() for name in columns)
        statuses, executions = Counter(status), read_provenance(folder)
        last = executions[-1] if executions else Execution({})
        phases = Counter(name for name in phase if isinstance(name, str))
        return {
            "version": version,
            "n_known": len(status),
            "n_done": statuses["ok"] + statuses["diverged"],
            "n_failed": statuses["failed"],
            "n_stopped": statuses["stopped"],
            "n_diverged": statuses["diverged"],
            "phase_counts": dict(phases.most_common()),
            "left_as": last.left_as,
            "started": last.started,
            "ended": last.ended,
            "core_hours": round(sum(execution.core_hours for execution in executions), 6),
        }

    def _eta(self, summary: Summary) -> float | None:
        if summary.state != RUNNING:
            self._rates.pop(summary.name, None)
            return None
        rate = self._rates.setdefault(summary.name, _Rate(time.monotonic(), summary.n_done))
        return rate.eta(summary.n_done, summary.n_trials)


def _fresh_columns(folder: RunFolder, columns: list[str]) -> pa.Table | None:
    """Read columns of the derived table of trials; None where it is damaged, or the shards are ahead of it."""
    if not derived_are_fresh(folder):
        return None
    try:
        return pq.read_table(folder.trials, columns=columns)
    except (OSError, pa.ArrowInvalid):
        return None


def state_of(folder: RunFolder, job: QueuedRun | None) -> str:
    """Tell a run's state from its job and its lock; how one ended that counts as interrupted, its record says."""
    held = holder_of(folder) is not None
    if job is not None and not job.wanted and job.alive:
        return STOPPING
    if held or (job is not None and job.alive):
        return RUNNING
    if job is not None and job.wanted:
        return QUEUED
    return FAILED if job is not None and job.error and not job.cancelled_by else INTERRUPTED


def _most_trials(study: Study) -> int:
    """Return how many trials a study trains at most."""
    if study.search.kind == "grid":
        return count_trials(study)
    from phasemap.search.study_map import budget_trials  # with the libraries of its model

    return budget_trials(study)


@dataclass
class Followers:
    """The newest state of each run, numbered as they came in; lives in the event loop. Of a run that is gone: None."""

    followers: int = 0
    _latest: dict[str, tuple[int, str | None]] = field(default_factory=dict)
    _number: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def publish(self, name: str, text: str | None) -> None:
        """Take in a run's new state."""
        if self._latest.get(name, (0, None))[1] == text:
            return
        self._number += 1
        self._latest[name] = self._number, text
        self._wake()

    def forget(self, names: set[str]) -> None:
        """Tell of the runs that are not among these any more."""
        for name in set(self._latest) - names:
            self.publish(name, None)

    def _wake(self) -> None:
        woken, self._changed = self._changed, asyncio.Event()
        woken.set()

    def enter(self) -> None:
        """Count a follower; TooManyError where there are as many as may be."""
        if self.followers >= MOST_FOLLOWERS:
            raise TooManyError(f"{MOST_FOLLOWERS} clients follow already; try again later")
        self.followers += 1

    async def follow(self, name: str | None, allowed: Callable[[], bool]) -> AsyncIterator[ServerSentEvent]:
        """Yield the state of one run, or of all, and again whenever it changes, while ``allowed``.

        The last event of a run that was moved away or deleted is ``gone``, with its name.
        """
        seen = 0
        try:
            while allowed():
                changed = self._changed
                news = sorted(
                    (number, run, text)
                    for run, (number, text) in self._latest.items()
                    if number > seen and name in (None, run)
                )
                for number, run, text in news:
                    seen = number
                    event, data = ("gone", run) if text is None else ("run", text)
                    yield ServerSentEvent(data=data, event=event, id=str(number))
                    if text is None and name is not None:
                        return
                if not news:
                    try:
                        await asyncio.wait_for(changed.wait(), CHECK_SECONDS)
                    except TimeoutError:
                        continue
        finally:
            self.followers -= 1


@dataclass
class Watcher:
    """Summarizes runs; called by the queue's thread: those under way at every tick, the others less often."""

    summaries: Summaries
    followers: Followers
    loop: asyncio.AbstractEventLoop
    states: dict[str, str] = field(default_factory=dict)
    _ticks: int = 0

    def look(self) -> None:
        """Look once at the runs whose turn it is."""
        names = set(self.summaries.names())
        everything = self._ticks % ALL_TICKS == 0
        self._ticks += 1
        for name in sorted(names):
            if not everything and self.states.get(name) in IDLE and not self.summaries.wanted(name):
                continue
            try:
                self._tell(self.summaries.of(name))
            except UserError:  # it was moved away in this moment
                continue
        for name in set(self.states) - names:
            del self.states[name]
        self._call(lambda: self.followers.forget(names))

    def _tell(self, summary: Summary) -> None:
        self.states[summary.name] = summary.state
        text = summary.model_dump_json()
        self._call(lambda: self.followers.publish(summary.name, text))

    def _call(self, work: Callable[[], None]) -> None:
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(work)
