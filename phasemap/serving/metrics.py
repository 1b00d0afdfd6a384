"""What the service tells Prometheus of itself."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from phasemap._version import __version__
from phasemap.serving.summaries import STATES

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
        found = Tally(self._states())
        for state in STATES:
            runs.add_metric([state], found[state])
        yield runs
        yield GaugeMetricFamily("phasemap_followers", "Clients that follow events", value=self._followers())
