"""A worker's hold on the process in which its programs run: started once, asked trial after trial, ended with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from phasemap.running.program_child import Ended, Order, Work
from phasemap.study.errors import UnreachableError, visible

START_SECONDS = 600.0  # for a program's file to be imported
POLL_SECONDS = 0.2
CHILD = "from phasemap.running.program_child import main; main()"
OUTPUT_BYTES = 4096  # of what a program prints, kept to tell of a death
OUTPUT_SECONDS = 1.0  # to read the rest of it

_starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="phasemap-programs")
"""One thread starts all processes: the kernel ends them with the thread that started them, so it must last."""


class ProcessEndedError(Exception):
    """A program's process ended, or was ended, in the middle of a trial; the message says how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Callbacks:
    """What is told of a trial while it runs."""

    on_progress: Callable[[float], None]
    on_state: Callable[[bytes], None]


class ProgramProcess:
    """A process that has imported a program; UnreachableError where it can't, ProcessEndedError where it ends so."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self._output: deque[bytes] = deque(maxlen=16)
        self._connection, theirs = Pipe()
        leash, self._leash = os.pipe()
        output, printed = os.pipe()
        try:
            self._process = _starter.submit(self._start, theirs, leash, printed).result()
        finally:
            theirs.close()
            os.close(leash)
            os.close(printed)
        self._drainer = threading.Thread(target=self._drain, args=(output,), daemon=True)
        self._drainer.start()
        self._connection.send(work)
        try:
            word, text = self._receive(time.monotonic() + START_SECONDS)
        except TimeoutError:
            self.end()
            raise ProcessEndedError(f"was not imported within {START_SECONDS:g} s") from None
        except BaseException:
            self.end()
            raise
        if word == "unusable":
            self.end()
            raise UnreachableError(str(text))

    def _start(self, theirs: Connection, leash: int, printed: int) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(part for part in sys.path if part),
            "PYTHONHASHSEED": "0",
            "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": str(self.work.threads),
            "RAY_TRAIN_V2_ENABLED": "0",  # else ray.train.report refuses to serve a function of Ray Tune
        }
        return subprocess.Popen(
            [sys.executable, "-c", CHILD, str(theirs.fileno()), str(leash)],
            pass_fds=(theirs.fileno(), leash),
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=printed,
            env=environment,
            start_new_session=True,
        )

    def _drain(self, output: int) -> None:
        """Read what a program prints, so that it never waits, and keep the end."""
        with suppress(OSError):
            while piece := os.read(output, 1 << 16):
                self._output.append(piece[-OUTPUT_BYTES:])
        os.close(output)

    def run(self, order: Order, callbacks: Callbacks) -> Ended:
        """Run a trial; ProcessEndedError where its process ends, or it takes longer than it may."""
        self._connection.send(order)
        deadline = None if order.limit is None else time.monotonic() + order.limit
        while True:
            try:
                word, content = self._receive(deadline)
            except TimeoutError:
                self.end()
                raise ProcessEndedError(
                    f"took longer than resources.max_trial_minutes = {(order.limit or 0) / 60:g}"
                ) from None
            if word == "progress":
                callbacks.on_progress(content)
            elif word == "state":
                callbacks.on_state(content)
            else:
                ended: Ended = content
                return ended

    def _receive(self, deadline: float | None) -> tuple[str, Any]:
        """Return the next message; ProcessEndedError where the process is gone, TimeoutError after the deadline."""
        while not self._connection.poll(POLL_SECONDS):
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError
            if self._process.poll() is not None and not self._connection.poll(0):
                raise ProcessEndedError(self._how())
        try:
            word, content = self._connection.recv()
        except (EOFError, OSError):
            raise ProcessEndedError(self._how()) from None
        return word, content

    def _how(self) -> str:
        """Say how the process ended, with the last line that it printed."""
        self._process.wait()
        self._drainer.join(OUTPUT_SECONDS)  # what it started may hold its output open
        code = self._process.returncode
        how = f"its process was killed by {_signal(-code)}" if code < 0 else f"its process ended with exit code {code}"
        lines = b"".join(self._output).decode(errors="replace").strip().splitlines()
        return f"{how}; it printed last: {visible(lines[-1][:300])}" if lines else how

    @property
    def alive(self) -> bool:
        """Whether it can be given a trial."""
        return self._process.poll() is None

    def end(self) -> None:
        """Kill the process and what it started."""
        with suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._connection.close()
        with suppress(OSError):
            os.close(self._leash)


def _signal(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"
