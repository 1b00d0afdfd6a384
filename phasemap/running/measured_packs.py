"""A program's trials in packs that take some seconds, as the trials that ended tell."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from phasemap.planning.packs import SHORTEST_SECONDS, TARGET_SECONDS, Pack, make_pack
from phasemap.planning.plan import MOST_PROGRAMS
from phasemap.running.worker import PackReport
from phasemap.study.identity import Trial

LAST = 1000  # trials whose seconds are remembered


@dataclass
class MeasuredPacks:
    """Gives the packs of a program's trials in their order, and takes what became of them.

    Packs have one trial until one has ended. A pack is then half of a slot's share of what is left, so that no slot
    waits long for the last one, between ``SHORTEST_SECONDS`` and ``TARGET_SECONDS``.
    """

    trials: Sequence[Trial]
    slots: int
    seconds: list[float] = field(default_factory=list)  # of usual trials
    n_given: int = 0

    def more(self) -> list[Pack] | None:
        """Return the next pack; None where all are given."""
        trials = self.trials[self.n_given : self.n_given + self._size()]
        self.n_given += len(trials)
        return [make_pack(trials)] if trials else None

    def take(self, report: PackReport) -> None:
        """Learn from a pack that was stored."""
        if math.isfinite(report.trial_seconds):
            ended = report.n_ok + report.n_diverged
            self.seconds = [*self.seconds, *[report.trial_seconds] * ended][-LAST:]

    def _size(self) -> int:
        if not self.seconds:
            return 1
        seconds = max(statistics.median(self.seconds), 1e-3)
        share = (len(self.trials) - self.n_given) / (2 * self.slots)
        longest = min(TARGET_SECONDS / seconds, MOST_PROGRAMS)
        return max(1, round(min(longest, max(share, SHORTEST_SECONDS / seconds))))
