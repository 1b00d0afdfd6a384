"""How a service is set up, and its limits."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from phasemap.serving.tokens import TokenFile
from phasemap.study.problems import UserError

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
