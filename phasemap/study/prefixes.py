"""Trials whose trainings begin alike: up to the first change that one of them has, or to the end of a shorter one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from phasemap.study.identity import Trial
from phasemap.study.networks import NetworkTrial
from phasemap.study.spec import NetworkStudy, Study


class Prefixes:
    """Which of some trials stand for which others, step by step: those that are alike so far are trained once."""

    def __init__(self, trials: Sequence[NetworkTrial]) -> None:
        self._events = [trial.events for trial in trials]
        alike = any(self._events)  # those in which nothing ever changes differ from the start
        self._starts: list[Any] = [trial.start for trial in trials] if alike else list(range(len(trials)))
        self.steps = sorted({at for events in self._events for at, *_ in events if at > 0})
        """The steps after which something changes in some of the trials."""

    def leaders(self, after: int) -> list[int]:
        """Return for each trial the first one, by its number, that is trained like it at the step after ``after``."""
        first: dict[Any, int] = {}
        return [
            first.setdefault((start, tuple(event for event in events if event[0] <= after)), number)
            for number, (start, events) in enumerate(zip(self._starts, self._events, strict=True))
        ]

    def costs(self, horizon: int, begin: int = 0) -> list[float]:
        """Return each trial's part of the steps from ``begin`` to ``horizon``: those trained once are shared out."""
        bounds = [begin, *(step for step in self.steps if begin < step < horizon), horizon]
        costs = [0.0] * len(self._events)
        for after, until in pairwise(bounds):
            leaders = self.leaders(after)
            shared = Counter(leaders)
            for number, leader in enumerate(leaders):
                costs[number] += (until - after) / shared[leader]
        return costs


STEPS = "steps"


def with_horizon(study: NetworkStudy, steps: int) -> NetworkStudy:
    """Return a study whose networks are trained for another number of steps, which is no axis of it."""
    return study.model_copy(update={"training": study.training.model_copy(update={STEPS: steps})})


def can_go_on(study: Study) -> bool:
    """Whether its trials are shorter ones gone on: networks of phasemap's training, with one number of steps."""
    return isinstance(study, NetworkStudy) and STEPS not in study.axis_names


def former_trial(study: Study, trial: Trial, steps: int) -> NetworkTrial:
    """Return the trial that is the same but for its number of steps."""
    assert isinstance(study, NetworkStudy)
    return study.trial({**trial.settings, STEPS: steps}, trial.seed)


def former_ids(study: Study, steps: int) -> Sequence[str]:
    """Return the ids of all trials of a study with another number of steps, in the order of its grid."""
    assert isinstance(study, NetworkStudy)
    axes = {axis.name: axis.values for axis in study.axes}
    return list(study.identity.grid_ids({**study.settings(), STEPS: steps}, axes, study.seeds))
