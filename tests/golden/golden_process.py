"""The command line inside this process: fast enough for hundreds of golden commands, and on a host without a name."""

from __future__ import annotations

import contextlib
import io
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from unittest import mock

from phasemap.cli import main

HOST = "golden-host"


@dataclass(frozen=True, kw_only=True)
class Done:
    """How a command ended."""

    exit_code: int
    stdout: str
    stderr: str


def phasemap(*arguments: str) -> Done:
    """Run the command line in the working directory, as ``phasemap ARGUMENTS`` typed by a user."""
    out, err = io.StringIO(), io.StringIO()
    with typed(*arguments), kept_signals(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return Done(exit_code=code, stdout=out.getvalue(), stderr=err.getvalue())


@contextlib.contextmanager
def typed(*arguments: str) -> Iterator[None]:
    """Let the process be one that was started as ``phasemap ARGUMENTS`` on a host of the same name everywhere."""
    with (
        mock.patch.object(sys, "argv", ["phasemap", *arguments]),
        mock.patch.object(socket, "gethostname", return_value=HOST),
    ):
        yield


@contextlib.contextmanager
def kept_signals() -> Iterator[None]:
    """Put back what a command that trains does with SIGTERM."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
