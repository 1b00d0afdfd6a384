"""The lock that keeps two drivers off one run."""

from __future__ import annotations

import json
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from phasemap.results.folder import RunFolder
from phasemap.study.problems import UserError


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
            "started": _process_start(os.getpid()),
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
    host, pid, started = _holder(text)
    if host == socket.gethostname() and (pid is None or _process_start(pid) != started):
        stale = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            path.rename(stale)
        except FileNotFoundError:
            return
        if _read(stale) != text:  # a rival was faster, and this is its lock: give it back
            _link(stale, path)
        stale.unlink()
        return
    hint = "" if host == socket.gethostname() else f"; if that process is gone, remove {path}"
    raise UserError(f"{path.parent} is being run by process {pid} on {host}; allowed: one driver at a time{hint}")


def _holder(text: str) -> tuple[str, int | None, str | None]:
    """Read who holds a lock; nobody where it can't be read."""
    try:
        content = json.loads(text)
        return str(content["host"]), int(content["pid"]), content["started"]
    except (ValueError, KeyError, TypeError):
        return socket.gethostname(), None, None


def _process_start(pid: int) -> str | None:
    """Return when a process started, in the kernel's clock ticks; None if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]
