"""A run's log, kept beside its results."""

from __future__ import annotations

import logging
from contextlib import suppress

from phasemap.results.folder import RunFolder

logger = logging.getLogger("phasemap")


class RunLog:
    """Append the run's messages to its log while it runs."""

    def __init__(self, folder: RunFolder) -> None:
        folder.fetch(folder.log)
        self._folder, self._handler = folder, _LogFile(folder.log, encoding="utf-8")
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))

    def __enter__(self) -> None:
        logger.addHandler(self._handler)
        logger.setLevel(logging.INFO)

    def __exit__(self, *_: object) -> None:
        logger.removeHandler(self._handler)
        self._handler.close()
        with suppress(OSError):
            self._folder.publish(self._folder.log)


class _LogFile(logging.FileHandler):
    """A log file that a storage may refuse to take: what matters is told elsewhere."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Lose the message."""
