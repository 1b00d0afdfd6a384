"""What was submitted, as files of the storage: the queue outlives the service, and its runs are found again."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path

from phasemap.results.folder import RunFolder, write_text
from phasemap.results.lock import process_start
from phasemap.study.errors import UserError
from phasemap.study.file import load_resolved
from phasemap.study.spec import Study
from phasemap.study.writing import dump_study, study_hash

FOLDER = ".serve"
ATTEMPTS = 3  # of a run whose process was lost, before it is left alone
OUTPUT_BYTES = 20_000  # of a run's output that are read


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
        found = {}
        known = {field.name for field in fields(QueuedRun)}
        for path in sorted(self._jobs.glob("*.json")):
            with suppress(OSError, ValueError, TypeError):
                content = json.loads(path.read_text(encoding="utf-8"))
                found[path.stem] = QueuedRun(**{key: value for key, value in content.items() if key in known})
        return found

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


def now() -> str:
    """Return the time as text."""
    return datetime.now(UTC).isoformat(timespec="seconds")
