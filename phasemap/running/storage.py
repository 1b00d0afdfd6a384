"""Errors of the storage, as a user reads them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from phasemap.results.folder import RunFolder
from phasemap.study.problems import UnreachableError


@contextmanager
def storage_errors(folder: RunFolder) -> Iterator[None]:
    """Name the storage where a file of the run can't be written or read, in place of a traceback."""
    try:
        yield
    except OSError as error:
        what = error.filename or folder.path
        raise UnreachableError(f"{what} can't be written or read: {error.strerror or error}") from None
