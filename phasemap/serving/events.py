"""Followers, and the watcher that tells them: each gets the newest state of what it follows, at no cost to others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from sse_starlette import ServerSentEvent

from phasemap.serving.summaries import DONE, FAILED, STOPPED, Summaries, Summary
from phasemap.study.errors import TooManyError, UserError

MOST_FOLLOWERS = 200
CHECK_SECONDS = 5.0


@dataclass
class Hub:
    """The newest state of each run, numbered as they came in; lives in the event loop."""

    followers: int = 0
    _latest: dict[str, tuple[int, str]] = field(default_factory=dict)
    _number: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def publish(self, name: str, text: str) -> None:
        """Take in a run's new state."""
        if self._latest.get(name, (0, ""))[1] == text:
            return
        self._number += 1
        self._latest[name] = self._number, text
        self._wake()

    def forget(self, names: set[str]) -> None:
        """Drop the runs that are not among these any more."""
        for name in set(self._latest) - names:
            del self._latest[name]

    def _wake(self) -> None:
        woken, self._changed = self._changed, asyncio.Event()
        woken.set()

    def enter(self) -> None:
        """Count a follower; TooManyError where there are as many as may be."""
        if self.followers >= MOST_FOLLOWERS:
            raise TooManyError(f"{MOST_FOLLOWERS} clients follow already; try again later")
        self.followers += 1

    async def follow(self, name: str | None, allowed: Callable[[], bool]) -> AsyncIterator[ServerSentEvent]:
        """Yield the state of one run, or of all, and again whenever it changes, while ``allowed``."""
        seen = 0
        try:
            while allowed():
                changed = self._changed
                news = sorted(
                    (number, text)
                    for run, (number, text) in self._latest.items()
                    if number > seen and name in (None, run)
                )
                for number, text in news:
                    seen = number
                    yield ServerSentEvent(data=text, event="run", id=str(number))
                if not news:
                    try:
                        await asyncio.wait_for(changed.wait(), CHECK_SECONDS)
                    except TimeoutError:
                        continue
        finally:
            self.followers -= 1


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
