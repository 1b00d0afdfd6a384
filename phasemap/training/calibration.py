"""What trials really cost on this machine: a few steps of a study's own networks, timed."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable
from contextlib import suppress
from dataclasses import replace

import torch

from phasemap.study.packs import Calibration, cost_key, estimated_seconds
from phasemap.study.trials import Trial
from phasemap.training.population import examples_of, make_kernel, steady_arithmetic
from phasemap.training.recording import record_steps

MOST_KINDS = 4  # those that take most of the work; the others are taken to be as far off as the nearest
KIND_SECONDS = 0.3
NETWORKS = 2  # trained together in a measurement


def calibrate(trials: Iterable[Trial]) -> Calibration:
    """Measure how far the estimates are off for the kinds of trials that take most of the work.

    A second or two, by this process's own time on the CPU, so that other processes on the machine don't count.
    """
    kinds: dict[Hashable, list[Trial]] = {}
    for trial in trials:
        kinds.setdefault(cost_key(trial), []).append(trial)
    work = {key: len(members) * estimated_seconds(members[0]) for key, members in kinds.items()}
    largest = sorted(work, key=lambda key: -work[key])[:MOST_KINDS]
    factors: dict[Hashable, float] = {}
    for key in largest:
        first = kinds[key][0]
        with suppress(MemoryError, RuntimeError):  # too large for this machine: its time is the formula's
            factors[key] = measured_seconds(first) / estimated_seconds(first)
    return Calibration(factors=factors)


def measured_seconds(first: Trial) -> float:
    """Return the seconds that a trial would take for its steps and its records, from a few of them."""
    pack = [replace(first, seed=number, trial_id=str(number)) for number in range(NETWORKS)]
    members = list(range(NETWORKS))
    with steady_arithmetic():
        kernel = make_kernel(pack, [examples_of(trial) for trial in pack], torch.device("cpu"))
        kernel.advance(members, 0, 1)
        kernel.evaluate(members)  # both once to warm up
        done, steps, spent = 1, 1, 0.0
        while spent < KIND_SECONDS and done < first.horizon:
            started = time.process_time()
            kernel.advance(members, done, done + steps)
            spent = time.process_time() - started
            done, per_step, steps = done + steps, spent / steps, steps * 2
        if done == 1:
            return estimated_seconds(first)
        started = time.process_time()
        kernel.evaluate(members)
        per_record = time.process_time() - started
    return (per_step * first.horizon + per_record * len(record_steps(first.horizon))) / NETWORKS
