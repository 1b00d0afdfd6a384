"""Sees what changes in the storage, whoever changes it, and tells the followers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from phasemap.serving.events import Hub
from phasemap.serving.summaries import DONE, FAILED, STOPPED, Summaries, Summary
from phasemap.study.problems import UserError

IDLE = (DONE, STOPPED, FAILED)
ALL_TICKS = 10  # a run that is started by others is seen after so many ticks


@dataclass
class Watcher:
    """Summarizes runs; called by the queue's thread: those under way at every tick, the others less often."""

    summaries: Summaries
    hub: Hub
    loop: asyncio.AbstractEventLoop
    states: dict[str, str] = field(default_factory=dict)
    _ticks: int = 0

    def look(self) -> None:
        """Look once at the runs whose turn it is."""
        names = set(self.summaries.names())
        everything = self._ticks % ALL_TICKS == 0
        self._ticks += 1
        for name in sorted(names):
            if not everything and self.states.get(name) in IDLE and not self.summaries.wanted(name):
                continue
            try:
                self._tell(self.summaries.of(name))
            except UserError:  # it was moved away in this moment
                continue
        for name in set(self.states) - names:
            del self.states[name]
        self._call(lambda: self.hub.forget(names))

    def _tell(self, summary: Summary) -> None:
        self.states[summary.name] = summary.state
        text = summary.model_dump_json()
        self._call(lambda: self.hub.publish(summary.name, text))

    def _call(self, work: Callable[[], None]) -> None:
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(work)
