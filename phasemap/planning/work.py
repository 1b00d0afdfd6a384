"""How much work trials are, to cut and order packs and to show progress: seconds of networks, and units of programs."""

from __future__ import annotations

from collections.abc import Sequence

from phasemap.study.identity import Trial
from phasemap.study.networks import NetworkTrial
from phasemap.training.costs import estimated_seconds, kept_bytes

PACK_BYTES = 1 << 30  # the most that a pack is planned to take: thousands of tiny networks would take more
PROGRAM_WORK = 1.0  # of every trial of a program, of which nothing is known before it ran


def work_of(trial: Trial) -> float:
    """Return a trial's work: one core's estimated seconds, or the same for all trials of a program."""
    return estimated_seconds(trial) if isinstance(trial, NetworkTrial) else PROGRAM_WORK


def most_together(trials: Sequence[Trial]) -> int:
    """Return how many of such trials a pack may have for the memory that they take."""
    networks = [kept_bytes(trial) for trial in trials if isinstance(trial, NetworkTrial)]
    return PACK_BYTES // max(networks) if networks else len(trials)
