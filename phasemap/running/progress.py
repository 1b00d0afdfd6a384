"""How far a run is: counts per phase, rate and time left, live or every 10 s; and its log, kept beside its results."""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from phasemap.planning.packs import Pack, work_of
from phasemap.results.folder import RunFolder
from phasemap.running.runner import Advanced, Event, Finished
from phasemap.study.spec import SearchSpec

PLAIN_SECONDS, LIVE_SECONDS = 10.0, 0.2


class Progress:
    """Counts what events tell, and shows it on stderr.

    The time left is that of the work left, as estimated for each trial. A search's trials turn out as it goes, so that
    the time left is then that of as many trials as its budget has left, at the rate so far.
    """

    def __init__(
        self,
        packs: Sequence[Pack],
        *,
        reused: Mapping[str, int],
        search: SearchSpec | None = None,
        stream: TextIO | None = None,
        quiet: bool = False,
    ) -> None:
        self.counts = Counter(reused)
        self.reused = sum(reused.values())
        self.total = self.reused + sum(len(pack.trials) for pack in packs)
        self.ended = self.n_failed = 0
        self._by_count = search is not None
        self._eta = "ETA up to" if search is not None and may_stop(search) else "ETA"
        self._work: dict[str, float] = {}
        self.expect(packs)
        self._all_work = sum(self._work.values()) or 1.0
        self._shares: dict[str, float] = {}
        self._done_work = 0.0
        self._started = self._shown = time.monotonic()
        self._quiet = quiet
        self._console = Console(file=stream or sys.stderr, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)

    def __enter__(self) -> Progress:
        if self._console.is_terminal and not self._quiet:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def expect(self, packs: Sequence[Pack]) -> None:
        """Know of packs, of which events may come; in a search they are not those of the plan, but as many trials."""
        self._work |= {
            pack.pack_id: len(pack.trials) if self._by_count else sum(map(work_of, pack.trials)) for pack in packs
        }

    def tell(self, event: Event) -> None:
        """Take in an event and show it when it is time to."""
        if isinstance(event, Advanced):
            self._shares[event.pack_id] = event.share
        elif isinstance(event, Finished):
            report = event.report
            self.counts.update(report.phase_counts)
            self.counts["diverged"] += report.n_diverged
            self.ended += report.n_ok + report.n_diverged + report.n_failed
            self.n_failed += report.n_failed
            self._done_work += self._work.pop(report.pack_id, 0.0)
            self._shares.pop(report.pack_id, None)
        self._show()

    def line(self) -> str:
        """Return the state in one line."""
        seconds = time.monotonic() - self._started
        done = self.reused + self.ended
        parts = [f"{done}/{self.total} trials ({100 * done // max(self.total, 1)} %)"]
        if self.reused:
            parts.append(f"{self.reused} reused")
        phases = [f"{name} {n}" for name, n in sorted(self.counts.items(), key=lambda item: -item[1]) if n]
        if phases:
            parts.append(", ".join(phases))
        if self.n_failed:
            parts.append(f"failed {self.n_failed}")
        if self.ended:
            parts.append(rate_words(self.ended / seconds))
        share = self._share()
        parts.append(f"{self._eta} {_clock(seconds / share * (1 - share))}" if share > 0.01 else "ETA not known yet")
        return " | ".join(parts)

    def _share(self) -> float:
        running = sum(self._work.get(pack_id, 0.0) * share for pack_id, share in self._shares.items())
        return min(1.0, (self._done_work + running) / self._all_work)

    def _show(self) -> None:
        if self._quiet:
            return
        if self._live.is_started:
            if time.monotonic() - self._shown < LIVE_SECONDS:
                return
            self._shown = time.monotonic()
            self._live.update(Text(self.line()), refresh=True)
        elif time.monotonic() - self._shown >= PLAIN_SECONDS:
            self._shown = time.monotonic()
            self._console.print(self.line(), soft_wrap=True)


def rate_words(rate: float) -> str:
    """Write trials per second for people, in the largest unit of time in which it is a number to read."""
    unit, seconds = next((pair for pair in (("s", 1), ("min", 60)) if rate * pair[1] >= 1), ("h", 3600))
    return f"{rate * seconds:.3g} trials/{unit}"


def may_stop(search: SearchSpec) -> bool:
    """Whether a search may end before its budget is used up."""
    return search.kind == "boundary" and search.tolerance > 0


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


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
