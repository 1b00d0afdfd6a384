"""Mistakes in what a user wrote: where, what was found, what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class UserError(Exception):
    """A mistake of the user: shown as one message without a traceback; exit code 2."""


class UnreachableError(Exception):
    """The cluster or the storage can't be reached or written; exit code 3."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a file: ``axes.dropout[2] = 1.3 is not allowed; ... (studies/a.yaml:14)``."""

    source: str
    line: int | None
    path: str
    message: str
    cause: str = ""  # what else has a part in it: an override

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}" if self.line else self.source
        place += f", with {self.cause}" if self.cause else ""
        return f"{self.path} {self.message}  ({place})".strip()


class StudyError(UserError):
    """All the mistakes of a study, together."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in problems))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint in parentheses at the known name that is nearest to a misspelt one, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""
