"""Errors of the storage: waited out while they may pass, then told as a user reads them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from phasemap.results.folder import RunFolder
from phasemap.study.errors import UnreachableError

PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)  # seconds between attempts
Result = TypeVar("Result")


@contextmanager
def storage_errors(folder: RunFolder) -> Iterator[None]:
    """Name the storage where a file of the run can't be written or read, in place of a traceback."""
    try:
        yield
    except UnreachableError:
        raise
    except OSError as error:
        what = folder.location if folder.remote else error.filename or folder.path
        raise UnreachableError(f"{what} can't be written or read: {error.strerror or error}") from None


def retry(write: Callable[[], Result]) -> Result:
    """Write, and where the storage refuses it try again for half a minute."""
    for pause in PAUSES:
        try:
            return write()
        except (OSError, UnreachableError):
            time.sleep(pause)
    return write()
