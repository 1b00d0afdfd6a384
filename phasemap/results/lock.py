"""The lock that keeps two drivers off one run."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from phasemap.results.folder import RunFolder
from phasemap.study.problems import UserError


@contextmanager
def locked(folder: RunFolder) -> Iterator[None]:
    """Hold a run's lock; UserError while a live driver has it.

    A lock left by a dead process on this host is taken over at once. One from another host can't be judged from here:
    the message says what to remove once that driver is known to be gone.
    """
    path = folder.lock
    mine = {"host": socket.gethostname(), "pid": os.getpid(), "started": _process_start(os.getpid())}
    while True:
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            _take_over_if_dead(path)
            continue
        with os.fdopen(descriptor, "w") as file:
            json.dump(mine, file)
        break
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _take_over_if_dead(path: Path) -> None:
    """Remove a lock of this host whose process is gone; UserError for any other."""
    try:
        holder = json.loads(path.read_text())
    except FileNotFoundError:
        return
    except ValueError:
        holder = {}  # its writer died before it had written its name
    host, pid = holder.get("host", socket.gethostname()), holder.get("pid")
    if host == socket.gethostname() and (pid is None or _process_start(pid) != holder.get("started")):
        path.unlink(missing_ok=True)
        return
    hint = "" if host == socket.gethostname() else f"; if that process is gone, remove {path}"
    raise UserError(f"{path.parent} is being run by process {pid} on {host}; allowed: one driver at a time{hint}")


def _process_start(pid: int) -> str | None:
    """Return when a process started, in the kernel's clock ticks; None if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]
