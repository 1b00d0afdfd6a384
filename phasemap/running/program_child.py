"""The process in which a program runs: trial after trial of a pack, told by the worker that started it.

It ends with its worker, however that ends: a thread waits on a pipe whose other end the worker holds, and the kernel
kills it where a program never lets that thread run.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from phasemap.study.program_source import (
    ProgramError,
    file_of,
    import_program,
    last_line,
    source_files,
    source_hash,
)
from phasemap.study.programs import IN_PYTHON, Program
from phasemap.tasks.streams import stream_key
from phasemap.training.program_context import TrialContext
from phasemap.training.program_state import cuda_there, import_torch, seed_all
from phasemap.training.program_values import DivergedError
from phasemap.training.recording import SAVE_SECONDS, Hooks

PR_SET_PDEATHSIG = 1
PROGRESS_SECONDS = 0.2
LIBRARIES = re.compile(rb"\b(torch|lightning|transformers)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a process is to run."""

    program: Program
    device: str
    threads: int = 1  # of its libraries
    same_source: bool = True  # whether code that is not what the study was read with is refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One trial to run."""

    seed: int
    settings: Mapping[str, Any]
    saved: bytes | None
    save_seconds: float = SAVE_SECONDS
    save_end: bool = False
    limit: float | None = None  # seconds that it may take


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a trial ended, in plain values."""

    status: str  # ok | diverged | failed
    steps: list[int]
    curves: dict[str, list[float]]
    facts: dict[str, float | int]
    seconds: float
    error: str | None = None


def main() -> None:
    """Serve the worker at the other end of the pipes whose numbers are the arguments."""
    connection, leash = Connection(int(sys.argv[1])), int(sys.argv[2])
    _die_with_worker(leash)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    work: Work = connection.recv()
    try:
        function = load_program(work)
    except ProgramError as error:
        connection.send(("unusable", str(error)))
        return
    connection.send(("ready", None))
    while True:
        try:
            order: Order = connection.recv()
        except EOFError:
            return
        connection.send(("ended", run_trial(function, work, order, connection.send)))


def _die_with_worker(leash: int) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def wait() -> None:
        os.read(leash, 1)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def load_program(work: Work) -> Callable[..., Any]:
    """Return a program's function; ProgramError where it is not here, or its code is another."""
    program = work.program
    if work.device.startswith("cuda") and not cuda_there():
        raise ProgramError(
            f"{socket.gethostname()}: PyTorch finds no CUDA device here, but packs are given a GPU there"
        )
    if program.code is not None:
        try:
            function: Callable[..., Any] = pickle.loads(program.code)
        except Exception as error:
            raise ProgramError(f"{program.reference} can't be unpickled here: {last_line(error)}") from None
        return function
    place, host = program.place, socket.gethostname()
    if place.code == IN_PYTHON:
        raise ProgramError(
            f"program {program.reference} was given as a function, whose code is not stored; allowed: one in a file, "
            "or in a package"
        )
    folder = program.folder_here()
    if place.in_file:
        path = file_of(place, folder)
        if work.same_source and source_hash(path) != program.source:
            raise ProgramError(
                f"{path} on {host} is not the program that the run was started with; needed: start the run again"
            )
        os.chdir(folder)
        sys.path.insert(0, str(path.parent))
        import_libraries(path)
    try:
        return import_program(place, folder)
    except ProgramError as error:
        raise ProgramError(f"{host}: program {error}") from None


def import_libraries(path: Path) -> None:
    """Import torch before a trial is seeded, also for a program that imports it later."""
    if LIBRARIES.search(b"".join(file.read_bytes() for file in source_files(path))):
        import_torch()


def run_trial(function: Callable[..., Any], work: Work, order: Order, send: Callable[[Any], None]) -> Ended:
    """Run one trial and return how it ended; whatever a program raises becomes text."""
    lock, told = threading.Lock(), [0.0]

    def on_progress(share: float) -> None:
        if time.monotonic() - told[0] >= PROGRESS_SECONDS:
            told[0] = time.monotonic()
            with lock:
                send(("progress", share))

    def save(content: bytes) -> None:
        with lock:
            send(("state", content))

    started = time.perf_counter()
    hooks = Hooks(on_progress=on_progress, save=save, save_seconds=order.save_seconds, save_end=order.save_end)
    context = _context(work, order, hooks)
    seed_all(stream_key("program:libraries", order.seed))
    status, error = _call(function, work.program, context)
    with contextlib.suppress(Exception):
        context.close()
    record = context.record
    return Ended(
        status=status,
        steps=list(record.steps),
        curves={name: list(values) for name, values in record.curves.items()},
        facts=dict(record.facts),
        seconds=time.perf_counter() - started,
        error=error,
    )


def _context(work: Work, order: Order, hooks: Hooks) -> TrialContext:
    """Return what the program gets; a saved state that is damaged is none."""
    make = partial(
        TrialContext,
        seed=order.seed,
        settings=order.settings,
        device=work.device,
        quantities=dict(work.program.quantities),
    )
    try:
        return make(hooks=replace(hooks, saved=order.saved))
    except ValueError:
        return make(hooks=hooks)


def _call(function: Callable[..., Any], program: Program, context: TrialContext) -> tuple[str, str | None]:
    """Call a program; return the trial's status and, where it failed, why."""
    try:
        if program.kind == "phasemap":
            function(context, **context.settings)
        else:
            from phasemap.running.program_objectives import call_objective

            call_objective(function, program.kind, context)
    except DivergedError as error:
        return "diverged", str(error)
    except SystemExit as error:
        return "failed", f"the program ended itself by sys.exit({'' if error.code is None else repr(error.code)})"
    except BaseException as error:  # a program may raise anything
        return "failed", last_line(error)
    if not context.record.steps:
        return "failed", "the program reported nothing; needed: trial.report(step, ...) at least once"
    return "ok", None
