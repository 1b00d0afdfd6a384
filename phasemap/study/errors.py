"""Everything that phasemap raises for its users: one tree of errors, and the mistakes that a message lists."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

KeyPath = tuple[Any, ...]
"""The keys and numbers that lead to a value in a document: ``axes.dropout[2]`` in parts."""
Mistake = tuple[KeyPath, str]
"""Where in a study file something is wrong, and what."""


def visible(text: str, keep: str = "") -> str:
    """Return text with what has no mark of its own (control characters, changes of direction) as Python writes it."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in keep else repr(one)[1:-1] for one in text)


class PhasemapError(Exception):
    """An error whose message tells users all they need, without a traceback; commands exit with ``exit_code``."""

    exit_code: ClassVar[int]


class UserError(PhasemapError):
    """A mistake in what the user wrote or asked for."""

    exit_code = 2


class UnreachableError(PhasemapError):
    """The cluster or the storage can't be reached or written."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a file: ``axes.dropout[2] = 1.3 is not allowed; ... (studies/a.yaml:14)``."""

    source: str
    line: int | None
    path: str
    message: str
    cause: str = ""  # what else has a part in it: an override

    def __str__(self) -> str:
        where = f"{self.source}:{self.line}" if self.line else self.source
        where += f", with {self.cause}" if self.cause else ""
        return f"{self.path} {self.message}  ({where})".strip()


class StudyError(UserError):
    """All mistakes in a study, reported together."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in problems))


def stop_if_wrong(problems: Iterable[Problem]) -> None:
    """Raise StudyError with the problems, if there are any, in the order of their lines."""
    if distinct := set(problems):
        raise StudyError(sorted(distinct, key=lambda problem: (problem.line or 0, problem.path)))


class ListedError(ValueError):
    """All that is wrong with one text, function or the like: ``messages``."""

    def __init__(self, messages: Sequence[str]) -> None:
        self.messages = tuple(messages)
        super().__init__("; ".join(messages))


class BadFileError(UserError):
    """A file that a study names can't be used; ``messages`` holds all that is wrong with it."""

    def __init__(self, path: str, messages: Sequence[str]) -> None:
        self.path, self.messages = path, tuple(messages)
        super().__init__("\n".join(f"{path}: {message}" for message in messages))


class OtherStudyError(UserError):
    """The storage has a run of this name, but of another experiment."""

    def __init__(self, name: str, differences: Sequence[str], allowed: str) -> None:
        super().__init__(
            f"the storage holds another study named {name}:\n"
            + "\n".join(f"  {line}" for line in differences)
            + f"\nallowed: {allowed}"
        )
        self.differences = differences


class DamagedShardError(UserError):
    """A shard's content can't be read; its trials count as not trained."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        super().__init__(f"{path} is damaged: {reason}; needed: phasemap run, which sets it aside and trains it again")


class UnknownRunError(UserError):
    """The storage has no run of this name."""


class UnknownTrialError(UserError):
    """The run has no such trial."""


class ConflictError(UserError):
    """What was asked for contradicts what a run is or does."""


class TooManyError(UserError):
    """As many follow as may."""


class BusyError(UserError):
    """Too many ask for the same at once."""


class StorageError(OSError, UnreachableError):
    """An object store can't be reached, read or written."""


class NoDeviceError(UnreachableError):
    """A node lacks the device that its pack is to train on; every further pack would fail there too."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint in parentheses at the known name that is nearest to a misspelt one, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""
