"""The lock that keeps two drivers off one run."""

from __future__ import annotations

import json
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from phasemap.results.folder import RunFolder
from phasemap.study.problems import UserError


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a run's lock."""

    host: str
    pid: int | None  # None where the lock can't be read
    started: str | None  # in the kernel's clock ticks

    @property
    def here(self) -> bool:
        """Whether it is, or was, a process of this host."""
        return self.host == socket.gethostname()

    @property
    def gone(self) -> bool:
        """Whether it is known to have ended; of another host nothing is known."""
        return self.here and (self.pid is None or process_start(self.pid) != self.started)


def living_holder(folder: RunFolder) -> Holder | None:
    """Return who holds a run's lock; None where nobody does, or its process is known to be gone."""
    text = _read(folder.lock)
    holder = _holder(text) if text is not None else None
    return None if holder is None or holder.gone else holder


@contextmanager
def locked(folder: RunFolder) -> Iterator[None]:
    """Hold a run's lock; UserError while a live driver has it.

    The lock appears under its name with its content (a hard link), so that no rival can read it half-written. A lock
    left by a dead process on this host is taken over at once. One from another host can't be judged from here: the
    message says what to remove once that driver is known to be gone.
    """
    path = folder.lock
    mine = json.dumps(
        {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": process_start(os.getpid()),
            "holder": uuid.uuid4().hex,
        }
    )
    written = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    written.write_text(mine)
    try:
        while not _link(written, path):
            _take_over_if_dead(path)
    finally:
        written.unlink()
    try:
        yield
    finally:
        if _read(path) == mine:
            path.unlink()


def _link(source: Path, target: Path) -> bool:
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    return True


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def _take_over_if_dead(path: Path) -> None:
    """Remove a lock of this host whose process is gone; UserError for any other."""
    text = _read(path)
    if text is None:
        return
    holder = _holder(text)
    if holder.gone:
        stale = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            path.rename(stale)
        except FileNotFoundError:
            return
        if _read(stale) != text:  # a rival was faster, and this is its lock: give it back
            _link(stale, path)
        stale.unlink()
        return
    hint = "" if holder.here else f"; if that process is gone, remove {path}"
    raise UserError(
        f"{path.parent} is being run by process {holder.pid} on {holder.host}; allowed: one driver at a time{hint}"
    )


def _holder(text: str) -> Holder:
    """Read who holds a lock; nobody where it can't be read."""
    try:
        content = json.loads(text)
        return Holder(str(content["host"]), int(content["pid"]), content["started"])
    except (ValueError, KeyError, TypeError):
        return Holder(socket.gethostname(), None, None)


def process_start(pid: int) -> str | None:
    """Return when a process of this host started, in the kernel's clock ticks; None if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]
