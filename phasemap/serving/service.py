"""The parts of a running service, put together."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from phasemap.serving.events import Hub
from phasemap.serving.jobs import now
from phasemap.serving.metrics import Metrics
from phasemap.serving.settings import LIMITS, Settings
from phasemap.serving.store import Cache, Store
from phasemap.serving.summaries import Summaries
from phasemap.serving.supervisor import Supervisor
from phasemap.serving.tokens import Caller
from phasemap.serving.watch import Watcher

logger = logging.getLogger("phasemap.serving.audit")


class Pace:
    """Counts each caller's requests of a kind."""

    def __init__(self) -> None:
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._limits = {kind: parse(text) for kind, text in LIMITS.items()}

    def allows(self, kind: str, who: str) -> bool:
        """Count a request, and say whether it is within the limit."""
        return self._limiter.hit(self._limits[kind], kind, who)


@dataclass
class Service:
    """Everything that requests need; ``open`` and ``close`` in the event loop."""

    settings: Settings
    store: Store = field(init=False)
    supervisor: Supervisor = field(init=False)
    summaries: Summaries = field(init=False)
    metrics: Metrics = field(init=False, default_factory=Metrics)
    pace: Pace = field(init=False, default_factory=Pace)
    cache: Cache = field(init=False, default_factory=Cache)
    drawing: threading.Lock = field(init=False, default_factory=threading.Lock)  # matplotlib's style is global
    hub: Hub = field(init=False)
    watcher: Watcher = field(init=False)

    def __post_init__(self) -> None:
        given = self.settings
        self.store = Store(given.root)
        self.supervisor = Supervisor(given.root, max_runs=given.max_runs, run_options=given.run_options)
        self.summaries = Summaries(self.store, self.supervisor)

    async def open(self) -> None:
        """Take the storage, go on with its queue, and watch it."""
        self.hub = Hub()
        self.watcher = Watcher(self.summaries, self.hub, asyncio.get_running_loop())
        self.metrics.watch(lambda: [run.state for run in self.summaries.all()], lambda: self.hub.followers)
        self.supervisor.on_tick = self.watcher.look
        await asyncio.to_thread(self.supervisor.open)

    async def close(self) -> None:
        """Leave the storage; runs go on."""
        await asyncio.to_thread(self.supervisor.close)

    def audit(self, action: str, caller: Caller | None, client: str, **what: Any) -> None:
        """Write down who changed what, and when, in the storage and in the log."""
        entry: Mapping[str, Any] = {
            "at": now(),
            "action": action,
            "who": caller.name if caller else None,
            "client": client,
            **what,
        }
        logger.info("audit", extra={key: value for key, value in entry.items() if key != "at"})
        line = (json.dumps(entry) + "\n").encode()
        handle = os.open(self.supervisor.files.audit, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(handle, line)  # one write: lines of several threads don't mix
        finally:
            os.close(handle)
