"""The lock that keeps two drivers off one run, and shows that its holder lives."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from phasemap.results.folder import LOCK_FILES, RunFolder
from phasemap.results.remote import Remote
from phasemap.study.errors import UnreachableError, UserError

BEAT_SECONDS = 5.0  # the holder gives a sign of life so often
LEASE_SECONDS = 60.0  # a rival that sees none for so long takes the lock over; network file systems cache for a while
LOOK_SECONDS = 0.5
CONFIRM_SECONDS = 1.0  # two that take over at once see after this who was the last

logger = logging.getLogger("phasemap")
_held: set[str] = set()  # by this process


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock."""

    host: str
    pid: int | None
    started: str | None  # in the kernel's clock ticks; tells a process from a later one with its number

    @property
    def here(self) -> bool:
        """Whether it is on this host, where its life can be judged."""
        return self.host == socket.gethostname()

    @property
    def dead(self) -> bool:
        """Whether it is a process of this host that is gone."""
        return self.here and (self.pid is None or process_start(self.pid) != self.started)


class Lock:
    """A lock that is held, with a thread that gives signs of life."""

    def __init__(self, place: _Place, text: str) -> None:
        self._place, self._text = place, text
        self._end, self.lost = threading.Event(), False
        self._thread = threading.Thread(target=self._beat, name="phasemap-lock", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """UnreachableError if another driver took the run over, because this one had given no sign of life."""
        if self.lost:
            raise UnreachableError(
                f"{self._place} was taken over by another driver, as this one had been silent for {LEASE_SECONDS:g} s"
            )

    def release(self) -> None:
        """Give the lock back."""
        self._end.set()
        self._thread.join()
        with suppress(OSError):  # a storage that is gone: the lock is taken over after a while
            if self._place.read() == self._text:
                self._place.remove()

    def _beat(self) -> None:
        while not self._end.wait(BEAT_SECONDS):
            with suppress(OSError):
                found = self._place.read()
                if found is not None and found != self._text:
                    self.lost = True
                    return
                self._place.beat()


@contextmanager
def locked(folder: RunFolder) -> Iterator[Lock]:
    """Hold a run's lock; UserError while a live driver has it.

    A lock left by a dead process on this host is taken over at once. One of another host is watched: where its holder
    gives no sign of life for LEASE_SECONDS by this host's clock, it is taken over too. Clocks are never compared.
    """
    place: _Place = _InStore(folder.remote) if folder.remote else _OnDisk(folder.lock)
    pid = os.getpid()
    mine = json.dumps(
        {"host": socket.gethostname(), "pid": pid, "started": process_start(pid), "holder": uuid.uuid4().hex}
    )
    while not place.make(mine):
        _take_over_if_dead(place)
    _held.add(mine)
    lock = Lock(place, mine)
    try:
        yield lock
    finally:
        _held.discard(mine)
        lock.release()


def holder_of(folder: RunFolder) -> Holder | None:
    """Return who holds a run's lock; None if nobody does, or a process of this host that is gone."""
    text = (_InStore(folder.remote) if folder.remote else _OnDisk(folder.lock)).read()
    holder = None if text is None else _holder(text)
    return None if holder is None or holder.dead else holder


def interrupt_holder(folder: RunFolder) -> int:
    """Ask the driver of a run to end, and return its process number; UserError if it can't be asked from here."""
    holder = holder_of(folder)
    if holder is None:
        raise UserError(f"{folder.location} is not being run")
    if not holder.here or holder.pid is None:
        raise UserError(
            f"{folder.location} is being run by process {holder.pid} on {holder.host}; "
            "allowed: cancel it there, or by --address the job server that it was submitted to"
        )
    os.kill(holder.pid, signal.SIGTERM)
    return holder.pid


class _Place(Protocol):
    """Where a lock lies."""

    def make(self, text: str) -> bool:
        """Make the lock with its content at once, if there is none."""

    def read(self) -> str | None:
        """Return the lock's content; None if there is none."""

    def beat(self) -> None:
        """Give a sign of life."""

    def pulse(self) -> object:
        """Return what changes with each sign of life."""

    def remove(self, text: str | None = None) -> None:
        """Remove the lock, or only the one with this content."""


class _OnDisk:
    """A lock file, which appears with its content by a hard link, and whose time is the sign of life."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path.parent)

    def make(self, text: str) -> bool:
        written = self._path.with_name(f".{self._path.name}.{uuid.uuid4().hex}")
        written.write_text(text)
        try:
            return _link(written, self._path)
        finally:
            written.unlink()

    def read(self) -> str | None:
        return _read(self._path)

    def beat(self) -> None:
        os.utime(self._path)

    def pulse(self) -> object:
        try:
            with self._path.open() as file:  # opening lets a network file system look anew
                return os.fstat(file.fileno()).st_mtime_ns
        except FileNotFoundError:
            return None

    def remove(self, text: str | None = None) -> None:
        stale = self._path.with_name(f".{self._path.name}.{uuid.uuid4().hex}")
        try:
            self._path.rename(stale)
        except FileNotFoundError:
            return
        if text is not None and _read(stale) != text:  # a rival was faster, and this is its lock: give it back
            _link(stale, self._path)
        stale.unlink()


class _InStore:
    """A lock in an object store, made on condition that there is none; the sign of life is an object beside it."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    def __str__(self) -> str:
        return self._remote.uri

    def make(self, text: str) -> bool:
        try:
            self._remote.write(LOCK_FILES[0], text.encode(), new=True)
        except FileExistsError:
            return False
        time.sleep(CONFIRM_SECONDS)
        return self.read() == text

    def read(self) -> str | None:
        content = self._remote.read(LOCK_FILES[0])
        return None if content is None else content.decode(errors="replace")

    def beat(self) -> None:
        self._remote.write(LOCK_FILES[1], uuid.uuid4().hex.encode())

    def pulse(self) -> object:
        return self._remote.read(LOCK_FILES[1])

    def remove(self, text: str | None = None) -> None:
        if text is None or self.read() == text:
            for key in LOCK_FILES:
                self._remote.remove(key)


def _take_over_if_dead(place: _Place) -> None:
    """Remove a lock whose holder is gone; UserError if it lives."""
    text = place.read()
    if text is None:
        return
    holder = _holder(text)
    if holder.dead or _left_by_us(text, holder) or not (holder.here or _lives(place, text)):
        place.remove(text)
        return
    raise UserError(f"{place} is being run by process {holder.pid} on {holder.host}; allowed: one driver at a time")


def _left_by_us(text: str, holder: Holder) -> bool:
    """Whether this process held the lock once, and could not remove it because the storage failed."""
    return holder.here and holder.pid == os.getpid() and text not in _held


def _lives(place: _Place, text: str) -> bool:
    """Watch the lock of another host until its holder gives a sign of life, or gave none for too long."""
    holder = _holder(text)
    logger.warning(
        "%s is locked by process %s on %s: checking for up to %g s whether it is alive",
        place, holder.pid, holder.host, LEASE_SECONDS,
    )  # fmt: skip
    first, end = place.pulse(), time.monotonic() + LEASE_SECONDS
    while time.monotonic() < end:
        time.sleep(LOOK_SECONDS)
        if place.read() != text:
            return False  # released, or taken over by a rival: tried again
        if place.pulse() != first:
            return True
    return False


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


def _holder(text: str) -> Holder:
    """Read who holds a lock; nobody where it can't be read."""
    try:
        content = json.loads(text)
        return Holder(str(content["host"]), int(content["pid"]), content["started"])
    except (ValueError, KeyError, TypeError):
        return Holder(socket.gethostname(), None, None)


def process_start(pid: int) -> str | None:
    """Return when a process started, in the kernel's clock ticks; None if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]
