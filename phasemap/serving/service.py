"""The parts of a running service, put together: its settings and limits, its metrics, and what requests need."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import os
import threading
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from phasemap._version import __version__
from phasemap.results.provenance import now
from phasemap.serving.queue import Supervisor
from phasemap.serving.store import Cache, Store
from phasemap.serving.summaries import STATES, Followers, Summaries, Watcher
from phasemap.serving.tokens import Caller, TokenFile
from phasemap.study.errors import UserError

PREFIX = "/api/v1"
BODY_BYTES = 256_000  # of a request: a study is some kilobytes, a transition matrix of 97 classes 50
BODY_SECONDS = 20.0  # to send it
MOST_TRIALS = 200_000  # of a submitted study
PAGE_ROWS, MOST_ROWS = 100, 1000  # of a table in one answer
LOG_BYTES = 64_000  # of a log in one answer

LIMITS = {"login": "10/minute", "change": "240/minute", "heavy": "120/minute", "read": "600/second"}
"""Requests of one caller: wrong or right logins, submits and the like, pictures and reports, all others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What ``phasemap serve`` was started with."""

    root: Path
    host: str = "127.0.0.1"
    port: int = 8077
    tokens: TokenFile | None = None
    max_runs: int = 1
    address: str | None = None
    cpus: int | None = None
    programs: tuple[str, ...] = ()  # module:function, the only ones that submitted studies may name

    @property
    def run_options(self) -> Sequence[str]:
        """What is given to every run on its command line."""
        options = ["--address", self.address] if self.address else []
        return [*options, "--cpus", str(self.cpus)] if self.cpus else options

    def check(self) -> None:
        """UserError for an address that others could reach without a token."""
        if self.tokens is None and not loopback(self.host):
            raise UserError(
                f"--host {self.host} can be reached from other machines; needed: --token-file FILE "
                "(without tokens allowed: 127.0.0.1)"
            )


def loopback(host: str) -> bool:
    """Whether a host name or address means this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 10, 60)
METHODS = ("GET", "HEAD", "POST", "OPTIONS")  # others count as one, so that clients can't add to the list


class Metrics:
    """Counters of one service, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "phasemap_requests", "Requests answered", ["route", "method", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "phasemap_request_seconds", "Time to answer", ["route"], buckets=BUCKETS, registry=self.registry
        )
        self.open = Gauge("phasemap_requests_open", "Requests being answered", registry=self.registry)
        self.changes = Counter(
            "phasemap_changes", "Submits, cancels and resumes", ["action", "outcome"], registry=self.registry
        )
        self.refused = Counter("phasemap_refused", "Requests refused", ["reason"], registry=self.registry)
        Info("phasemap_build", "This release", registry=self.registry).info({"version": __version__})

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self.requests.labels(route, method if method in METHODS else "other", str(status)).inc()
        self.seconds.labels(route).observe(seconds)

    def watch(self, states: Callable[[], Iterable[str]], followers: Callable[[], int]) -> None:
        """Tell of the runs and the followers whenever the metrics are read."""
        self.registry.register(_Live(states, followers))

    def text(self) -> bytes:
        """Return all of them in Prometheus's text format."""
        return generate_latest(self.registry)


class _Live(Collector):
    def __init__(self, states: Callable[[], Iterable[str]], followers: Callable[[], int]) -> None:
        self._states, self._followers = states, followers

    def describe(self) -> Iterable[Metric]:
        """Name nothing beforehand: it would be read to do so."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Yield what is read when it is asked for."""
        runs = GaugeMetricFamily("phasemap_runs", "Runs of the storage", labels=["state"])
        counts = Tally(self._states())
        for state in STATES:
            runs.add_metric([state], counts[state])
        yield runs
        yield GaugeMetricFamily("phasemap_followers", "Clients that follow events", value=self._followers())


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
    followers: Followers = field(init=False)
    watcher: Watcher = field(init=False)

    def __post_init__(self) -> None:
        given = self.settings
        self.store = Store(given.root)
        self.supervisor = Supervisor(given.root, max_runs=given.max_runs, run_options=given.run_options)
        self.summaries = Summaries(self.store, self.supervisor)

    async def open(self) -> None:
        """Take the storage, go on with its queue, and watch it."""
        self.followers = Followers()
        self.watcher = Watcher(self.summaries, self.followers, asyncio.get_running_loop())
        self.metrics.watch(lambda: [run.state for run in self.summaries.all()], lambda: self.followers.followers)
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
