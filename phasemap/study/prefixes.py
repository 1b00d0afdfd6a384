"""Trials whose trainings begin alike: up to the first change that one of them has and another has not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from phasemap.study.networks import NetworkTrial


class Prefixes:
    """Which of some trials stand for which others, step by step: those that are alike so far are trained once."""

    def __init__(self, trials: Sequence[NetworkTrial]) -> None:
        self._events = [trial.events for trial in trials]
        alike = any(self._events)  # those in which nothing ever changes differ from the start
        self._starts: list[Any] = [trial.start for trial in trials] if alike else list(range(len(trials)))
        self.steps = sorted({at for events in self._events for at, *_ in events if at > 0})
        """The steps after which something changes in some of the trials."""

    def leaders(self, after: int) -> list[int]:
        """Return for each trial the first one, by its place, that is trained like it at the step after ``after``."""
        first: dict[Any, int] = {}
        return [
            first.setdefault((start, tuple(event for event in events if event[0] <= after)), number)
            for number, (start, events) in enumerate(zip(self._starts, self._events, strict=True))
        ]

    def costs(self, horizon: int, begin: int = 0) -> list[float]:
        """Return each trial's part of the steps from ``begin`` to ``horizon``: those trained once are shared out."""
        bounds = [begin, *(step for step in self.steps if begin < step < horizon), horizon]
        found = [0.0] * len(self._events)
        for after, until in pairwise(bounds):
            leaders = self.leaders(after)
            shared = Counter(leaders)
            for number, leader in enumerate(leaders):
                found[number] += (until - after) / shared[leader]
        return found
