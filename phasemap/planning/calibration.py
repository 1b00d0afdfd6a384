"""What trials really cost on this machine: a few steps of a study's own networks, timed."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Hashable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from phasemap.planning.packs import Pack, work_of
from phasemap.study.identity import Trial
from phasemap.study.trials import networks

MOST_KINDS = 4  # those that take most of the work; the others are taken to be as far off
MOST_NETWORKS = 16  # trained together in a measurement: with more, a step costs each of them hardly less


def cost_key(trial: Trial) -> Hashable:
    """Name the kind of trials that cost as much as this one, but for the number of their examples."""
    return (trial.shape, trial.settings.get("dropout", 0) > 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How many times longer trials take on a machine than estimated, for those kinds that were measured.

    It is for telling people times. Packs are cut by the plain estimate, which is the same on all machines: a run that
    is continued elsewhere, or under another load, meets its unfinished packs again.
    """

    factors: Mapping[Hashable, float] = field(default_factory=dict)
    stored: float | None = None  # of a program: the usual seconds of its trials so far, nan before the first

    def seconds(self, trial: Trial) -> float:
        """Estimate one core's seconds for a trial; kinds that were not measured are as far off as those that were."""
        if self.stored is not None:
            return self.stored
        usual = statistics.median(self.factors.values()) if self.factors else 1.0
        return work_of(trial) * self.factors.get(cost_key(trial), usual)


def calibrate(packs: Iterable[Pack], record: Collection[str] = (), *, fused: bool = False) -> Calibration:
    """Measure how far the estimates are off for the kinds of trials that take most of the work.

    They are trained by the kernel that their run would use (``fused``: see ``make_kernel``). What is recorded inside
    the networks (``record``), which no estimate knows, is measured with one network of a kind. A second or two (more
    where large networks are pruned), by this process's own time on the CPU, so that other processes on the machine
    don't count.
    """
    from phasemap.training.timing import measured_seconds  # torch, for those alone who measure

    work: dict[Hashable, float] = {}
    examples: dict[Hashable, list[Trial]] = {}  # of each kind, those of its first pack
    for pack in packs:
        kinds: dict[Hashable, list[Trial]] = {}
        for trial in pack.trials:
            kinds.setdefault(cost_key(trial), []).append(trial)
        for key, trials in kinds.items():
            work[key] = work.get(key, 0.0) + sum(map(work_of, trials))
            examples.setdefault(key, trials[:MOST_NETWORKS])
    factors: dict[Hashable, float] = {}
    for key in sorted(work, key=lambda key: -work[key])[:MOST_KINDS]:
        with suppress(MemoryError, RuntimeError):  # too large for this machine: its time is the formula's
            measured = measured_seconds(networks(examples[key]), record, fused=fused)
            factors[key] = measured / sum(map(work_of, examples[key]))
    return Calibration(factors=factors)
