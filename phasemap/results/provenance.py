"""Provenance: which executions made a run, with what, where and at what cost."""

from __future__ import annotations

import json
import platform
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from phasemap._version import __version__
from phasemap.results.commands import typed_command
from phasemap.results.folder import RunFolder
from phasemap.study.errors import UserError

MACHINE = ("processor", "platform", "host")
"""What is known of a machine."""
PACKAGES = ("torch", "ray", "numpy", "scipy", "pandas", "pyarrow", "numba")


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution of a run, as its file tells it: what an earlier release did not write is None, 0 or empty."""

    content: Mapping[str, Any]

    @property
    def started(self) -> str | None:
        """When it started."""
        return self.content.get("started")

    @property
    def ended(self) -> str | None:
        """When it ended; None while it runs, and of one that was killed."""
        return self.content.get("ended")

    @property
    def outcome(self) -> str | None:
        """running, done, failed, interrupted, or lost: one that was killed."""
        return self.content.get("outcome")

    @property
    def left_as(self) -> str | None:
        """Its outcome where nobody is at work any more: one that stands as running was killed, and is lost."""
        return "lost" if self.outcome == "running" else self.outcome

    @property
    def study_hash(self) -> str | None:
        """The hash of the study as it was run."""
        return self.content.get("study_hash")

    @property
    def core_hours(self) -> float:
        """What its trainings cost."""
        return float(self.content.get("core_hours", 0.0))

    @property
    def trained(self) -> bool:
        """Whether it trained anything."""
        return bool(self.content.get("n_trained"))

    @property
    def labels(self) -> Mapping[str, Any] | None:
        """By which rule trials were labelled again after it, when and by what command; None where they were not."""
        return self.content.get("labels")

    @property
    def versions(self) -> Mapping[str, str]:
        """The versions of what trained, by name."""
        return self.content.get("versions", {})

    def machine(self, what: str) -> str:
        """Return what is known of the machine that it ran on; empty where nothing is."""
        return str(self.content.get(what) or "")


class Provenance:
    """The execution that is under way, as the last entry of a run's list."""

    def __init__(self, folder: RunFolder, *, study_hash: str, runner: str) -> None:
        self._folder = folder
        self._entries = [_lost(execution) for execution in read_provenance(folder)]
        self._entry: dict[str, Any] = {
            "started": now(),
            "ended": None,
            "outcome": "running",
            "study_hash": study_hash,
            "command": typed_command(sys.argv, _storage(folder)),
            "runner": runner,
            **surroundings(),
            "git": _git_state(),
            "devices": [],
            "core_hours": 0.0,
        }
        self._write()

    def end(self, *, outcome: str, devices: Sequence[str], core_hours: float, **counts: int) -> None:
        """Complete the entry."""
        self._entry |= {
            "ended": now(),
            "outcome": outcome,
            "devices": list(devices),
            "core_hours": round(core_hours, 6),
            **counts,
        }
        self._write()

    def _write(self) -> None:
        self._folder.write_text(self._folder.provenance, json.dumps([*self._entries, self._entry], indent=2) + "\n")


def read_provenance(folder: RunFolder) -> list[Execution]:
    """Return a run's executions, the first first; commands of earlier releases as a reader can type them too."""
    if not folder.fetch(folder.provenance):
        return []
    try:
        entries: list[dict[str, Any]] = json.loads(folder.provenance.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{folder.provenance} can't be read: {error.strerror}") from None
    except ValueError:
        raise UserError(
            f"{folder.provenance} is damaged; move it away to continue without the earlier executions"
        ) from None
    commands = [typed_command([*map(str, entry.get("command", ()))], _storage(folder)) for entry in entries]
    return [Execution(entry | {"command": command}) for entry, command in zip(entries, commands, strict=True)]


def note_labels(folder: RunFolder, rule: Mapping[str, Any]) -> None:
    """Keep with a run's last execution by which rule, when and by what command its trials were labelled again."""
    entries = [dict(execution.content) for execution in read_provenance(folder)]
    if entries:
        command = typed_command(sys.argv, _storage(folder))
        entries[-1]["labels"] = {"rule": dict(rule), "since": now(), "command": command}
        folder.write_text(folder.provenance, json.dumps(entries, indent=2) + "\n")


def _storage(folder: RunFolder) -> Path | None:
    return None if folder.remote else folder.path.parent


def _lost(execution: Execution) -> dict[str, Any]:
    """Close an earlier execution: the holder of the lock knows that nobody is at work on it."""
    return {**execution.content, **({"outcome": execution.left_as} if "outcome" in execution.content else {})}


def surroundings() -> dict[str, Any]:
    """Return what this process would train with: versions, platform, host and processor."""
    return {
        "versions": {"phasemap": __version__, "python": platform.python_version(), **_versions(PACKAGES)},
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "processor": _processor(),
    }


def now() -> str:
    """Return the time as text."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _versions(names: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _git_state() -> dict[str, Any] | None:
    """Return the commit of the working directory and whether it has changes; None outside a repository."""
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10)
        status = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if commit.returncode:
        return None
    return {"commit": commit.stdout.strip(), "changed": bool(status.stdout.strip())}
