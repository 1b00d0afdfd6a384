"""The queue of submitted runs: files that outlive the service, and what starts, ends and finds their processes."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from phasemap.planning.plan import check_folder
from phasemap.results.folder import RunFolder, write_text, written
from phasemap.results.lock import Lock, holder_of, locked, process_start
from phasemap.results.provenance import now, read_provenance
from phasemap.study.errors import ConflictError, UserError
from phasemap.study.file import load_resolved
from phasemap.study.program_study import ProgramStudy
from phasemap.study.programs import IMPORTED, IN_PYTHON
from phasemap.study.spec import Study
from phasemap.study.writing import dump_study, study_hash

FOLDER = ".serve"
ATTEMPTS = 3  # of a run whose process was lost, before it is left alone
OUTPUT_BYTES = 20_000  # of a run's output that are read
POLL_SECONDS = 0.5
FINISHED, INTERRUPTED = (0, 1), 130  # exit codes of ``phasemap run``; 1: some trials failed
REFUSED = (2, 3)
logger = logging.getLogger("phasemap.serving")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedRun:
    """One submitted study and the process that runs it."""

    name: str
    by: str
    at: str  # when it was submitted or resumed last
    order: float  # its place in the queue
    wanted: bool = True  # to be run to its end; False once it ended, or was cancelled
    cancelled_by: str | None = None
    attempts: int = 0
    host: str | None = None
    pid: int | None = None  # of the process that runs it
    started: str | None = None  # when that process started, in the kernel's clock ticks
    error: str | None = None  # why the last process ended without finishing

    @property
    def alive(self) -> bool:
        """Whether its process runs; a process of another host, or another process of that number, is not it."""
        return self.pid is not None and self.host == socket.gethostname() and process_start(self.pid) == self.started

    @property
    def stands_alone(self) -> bool:
        """Whether it is to be seen without a run's folder: before there is one, or to say why there is none."""
        return self.wanted or self.alive or self.error is not None or self.cancelled_by is not None

    @property
    def queued(self) -> bool:
        """Whether it waits for its turn."""
        return self.wanted and self.pid is None


@dataclass(frozen=True, slots=True)
class QueueFiles:
    """The files of the jobs of a storage."""

    root: Path

    @property
    def folder(self) -> RunFolder:
        """The service's own folder, whose lock keeps two services off one storage."""
        return RunFolder(self.root / FOLDER)

    @property
    def audit(self) -> Path:
        """Who changed what, and when."""
        return self.folder.path / "audit.jsonl"

    def study(self, name: str) -> Path:
        """The study that a job runs."""
        return self._jobs / f"{name}.yaml"

    def output(self, name: str) -> Path:
        """What its process printed."""
        return self._jobs / f"{name}.out"

    @property
    def _jobs(self) -> Path:
        return self.folder.path / "jobs"

    def create(self) -> None:
        """Make the folders, readable by the service's user alone."""
        self._jobs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.path.chmod(0o700)

    def read(self) -> dict[str, QueuedRun]:
        """Return all jobs by name; one whose file is damaged is left out."""
        jobs = {}
        known = {field.name for field in fields(QueuedRun)}
        for path in sorted(self._jobs.glob("*.json")):
            with suppress(OSError, ValueError, TypeError):
                content = json.loads(path.read_text(encoding="utf-8"))
                jobs[path.stem] = QueuedRun(**{key: value for key, value in content.items() if key in known})
        return jobs

    def write(self, job: QueuedRun) -> None:
        """Keep a job's state."""
        write_text(self._jobs / f"{job.name}.json", json.dumps(asdict(job), indent=1) + "\n")

    def write_study(self, study: Study) -> None:
        """Keep a job's study."""
        write_text(self.study(study.name), dump_study(study))

    def study_hash(self, name: str) -> str | None:
        """Return the hash of a job's study; None if there is none that can be read."""
        with suppress(UserError):
            return study_hash(load_resolved(self.study(name)))
        return None

    def tail(self, name: str) -> str:
        """Return the end of what a job's process printed."""
        return tail_of(self.output(name))


def tail_of(path: Path, most: int = OUTPUT_BYTES) -> str:
    """Return the end of a text file; empty if it is not there."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - most))
            return file.read(most).decode("utf-8", "replace")
    except OSError:
        return ""


def start_process(
    files: QueueFiles, job: QueuedRun, options: Sequence[str]
) -> tuple[QueuedRun, subprocess.Popen[bytes]]:
    """Start a job's run in a session of its own, so that it goes on when the service ends."""
    command = [sys.executable, "-P", "-m", "phasemap", "run", str(files.study(job.name)), "--storage", str(files.root)]
    with files.output(job.name).open("wb") as output:
        process = subprocess.Popen(
            [*command, *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=files.root,
            start_new_session=True,
        )
    started = replace(
        job,
        host=socket.gethostname(),
        pid=process.pid,
        started=process_start(process.pid),
        attempts=job.attempts + 1,
        error=None,
    )
    return started, process


def interrupt(pid: int) -> None:
    """Ask a run to stop: it keeps what is finished."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


@dataclass
class Supervisor:
    """Holds the storage for one service, and runs its queue in a thread until it is closed. Runs outlive it."""

    root: Path
    max_runs: int = 1
    run_options: Sequence[str] = ()
    on_tick: Callable[[], None] = lambda: None
    files: QueueFiles = field(init=False)
    _lock: Lock | None = field(init=False, default=None)
    _jobs: dict[str, QueuedRun] = field(init=False, default_factory=dict)
    _children: dict[str, subprocess.Popen[bytes]] = field(init=False, default_factory=dict)
    _guard: threading.RLock = field(init=False, default_factory=threading.RLock)
    _stack: ExitStack = field(init=False, default_factory=ExitStack)
    _stop: threading.Event = field(init=False, default_factory=threading.Event)
    _thread: threading.Thread | None = field(init=False, default=None)
    ticked: float = field(
        init=False, default_factory=time.monotonic
    )  # when the queue was looked at last, by the monotonic clock

    def __post_init__(self) -> None:
        self.files = QueueFiles(self.root)

    def take(self) -> None:
        """Take the storage; UserError while another service has it, UnreachableError if it can't be written."""
        try:
            with written(f"the storage {self.root}"):
                self.files.create()
                self._lock = self._stack.enter_context(locked(self.files.folder))
        except UserError:
            raise UserError(f"{self.root} is served already; allowed: one service at a time on a storage") from None
        self._jobs = self.files.read()

    def open(self) -> None:
        """Start the queue's thread on a storage that was taken."""
        self._thread = threading.Thread(target=self._watch, name="queue", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the queue; runs that were started go on, and the next service finds them."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)
        self._stack.close()

    def job(self, name: str) -> QueuedRun | None:
        """Return a run's job, if it was ever submitted here."""
        return self._jobs.get(name)

    def jobs(self) -> list[QueuedRun]:
        """Return all jobs."""
        with self._guard:
            return list(self._jobs.values())

    def queue(self) -> list[str]:
        """Return the names of the jobs that wait, the next first."""
        return [job.name for job in sorted(self.jobs(), key=lambda job: (job.order, job.name)) if job.queued]

    def submit(self, study: Study, by: str, *, complete: bool) -> bool:
        """Queue a study, and return whether that changed anything: the same study again does not.

        ``complete`` says that its run has nothing left to train. OtherStudyError where the run of this name is another
        experiment, ConflictError where it is under way with another version of the study.
        """
        folder = RunFolder(self.root / study.name)
        with self._guard:
            job = self._jobs.get(study.name)
            same = self.files.study_hash(study.name) == study_hash(study)
            if job is not None and (job.wanted or job.alive):
                if same and job.wanted:
                    return False
                raise ConflictError(f"{study.name} is under way; allowed: cancel it first, or wait for its end")
            _refuse_while_held(folder)
            check_folder(study, folder)
            if complete and study_hash(load_resolved(folder.study)) == study_hash(study):
                return False
            self.files.write_study(study)
            self._enqueue(study.name, by)
            return True

    def resume(self, folder: RunFolder, by: str) -> bool:
        """Queue a run again, and return whether that changed anything: one that waits or runs is left as it is.

        ConflictError for a run that is being stopped, and for one that ``phasemap run`` could not continue.
        """
        with self._guard:
            job = self._jobs.get(folder.name)
            if job is not None and job.wanted:
                return False
            if job is not None and job.alive:
                raise ConflictError(f"{folder.name} is being stopped; allowed: wait for its end")
            _refuse_while_held(folder)
            if not self.files.study(folder.name).exists() or folder.study.exists():
                study = load_resolved(folder.study)
                if reason := why_not_resumed(folder.name, study):
                    raise ConflictError(reason)
                self.files.write_study(study)
            self._enqueue(folder.name, by)
            return True

    def cancel(self, folder: RunFolder, by: str) -> bool:
        """Take a run out of the queue or interrupt its process, and return whether there was anything to cancel.

        ConflictError for a run that was started on another machine.
        """
        with self._guard:
            job, holder = self._jobs.get(folder.name), holder_of(folder)
            if holder is not None and not holder.here:
                raise ConflictError(f"{folder.name} is run by process {holder.pid} on {holder.host}; cancel it there")
            active = job is not None and (job.wanted or job.alive)
            if not active and holder is None:
                return False
            if job is not None:
                self._keep(replace(job, wanted=False, cancelled_by=by, pid=job.pid if job.alive else None))
            if job is not None and job.alive and job.pid is not None:
                interrupt(job.pid)
            elif holder is not None and holder.pid is not None:
                interrupt(holder.pid)
            return True

    def _enqueue(self, name: str, by: str) -> None:
        self._keep(QueuedRun(name=name, by=by, at=now(), order=time.time()))

    def _keep(self, job: QueuedRun) -> None:
        self.files.write(job)
        self._jobs[job.name] = job

    def _watch(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            try:
                self.tick()
                self.on_tick()
            except Exception:  # a full disk, say: the next tick may be luckier, and health tells of it meanwhile
                logger.exception("the queue")
            else:
                self.ticked = time.monotonic()

    def tick(self) -> None:
        """See which runs ended, and start those that are next; not once another service took the storage over."""
        if self._lock is not None:
            self._lock.check()
        with self._guard:
            for job in [job for job in self._jobs.values() if job.pid is not None]:
                if not self._running(job):
                    self._ended(job)
            free = self.max_runs - sum(job.pid is not None for job in self._jobs.values())
            for name in self.queue()[: max(0, free)]:
                self._start(self._jobs[name])

    def _running(self, job: QueuedRun) -> bool:
        child = self._children.get(job.name)
        return child.poll() is None if child is not None else job.alive

    def _start(self, job: QueuedRun) -> None:
        try:
            started, self._children[job.name] = start_process(self.files, job, self.run_options)
        except OSError as error:
            self._keep(replace(job, wanted=False, error=f"could not be started: {error.strerror or error}"))
            return
        self._keep(started)
        logger.info("run started", extra={"run": job.name, "pid": started.pid, "attempt": started.attempts})

    def _ended(self, job: QueuedRun) -> None:
        """Take in that a job's process is gone: done, interrupted, refused, or lost and then tried again."""
        child = self._children.pop(job.name, None)
        code = child.returncode if child is not None else None
        ended = replace(job, pid=None, host=None, started=None)
        if self._finished(job, code) or not job.wanted or code == INTERRUPTED:
            ended = replace(ended, wanted=False)
        elif code in REFUSED:
            ended = replace(ended, wanted=False, error=self._reason(job.name))
        elif job.attempts >= ATTEMPTS:
            ended = replace(ended, wanted=False, error=f"its process was lost {ATTEMPTS} times")
        self._keep(ended)
        logger.info("run ended", extra={"run": job.name, "exit_code": code, "again": ended.wanted})

    def _finished(self, job: QueuedRun, code: int | None) -> bool:
        """Whether a run came to its end; after a restart of the service its own record says so."""
        if code is not None:
            return code in FINISHED
        executions = read_provenance(RunFolder(self.root / job.name))
        return bool(executions) and executions[-1].outcome == "done" and (executions[-1].started or "") >= job.at

    def _reason(self, name: str) -> str:
        """Return the message with which a run was refused."""
        text = self.files.tail(name)
        return text[text.rfind("phasemap: ") :].removeprefix("phasemap: ").strip()[-2000:] or "it ended with an error"


def why_not_resumed(name: str, study: Study) -> str | None:
    """Say why the run in a folder of this name can't be continued; None if it can."""
    if study.name != name:
        return f"{name} holds a run of the study {study.name}; allowed: give its folder that name, then resume it"
    if not isinstance(study, ProgramStudy):
        return None
    if study.program == IMPORTED:
        return f"{name} was imported without the code that trained it; allowed: phasemap import with --program"
    if study.program.startswith(f"{IN_PYTHON}:"):
        return f"the program of {name} was given as a function; allowed: pm.run with that function"
    return None


def _refuse_while_held(folder: RunFolder) -> None:
    holder = holder_of(folder)
    if holder is not None and holder.here:  # of another host the run itself finds out whether it lives
        raise ConflictError(
            f"{folder.name} is being run by process {holder.pid} on {holder.host}; allowed: one driver at a time"
        )
