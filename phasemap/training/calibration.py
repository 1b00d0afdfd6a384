"""What trials really cost on this machine: a few steps of a study's own networks, timed."""

from __future__ import annotations

import time
from collections.abc import Collection, Hashable, Iterable, Sequence
from contextlib import suppress

import torch

from phasemap.study.packs import Calibration, Pack, cost_key, estimated_seconds
from phasemap.study.trials import Trial
from phasemap.tasks.examples import Examples
from phasemap.training.inside import Inside, inside_steps
from phasemap.training.population import Kernel, examples_of, make_kernel, steady_arithmetic
from phasemap.training.recording import record_steps

MOST_KINDS = 4  # those that take most of the work; the others are taken to be as far off
KIND_SECONDS = 0.3
MOST_NETWORKS = 16  # trained together in a measurement: with more, a step costs each of them hardly less


def calibrate(packs: Iterable[Pack], record: Collection[str] = (), *, fused: bool = False) -> Calibration:
    """Measure how far the estimates are off for the kinds of trials that take most of the work.

    They are trained by the kernel that their run would use (``fused``: see ``make_kernel``). What is recorded inside
    the networks (``record``), which no estimate knows, is measured with one network of a kind. A second or two (more
    where large networks are pruned), by this process's own time on the CPU, so that other processes on the machine
    don't count.
    """
    work: dict[Hashable, float] = {}
    examples: dict[Hashable, list[Trial]] = {}  # of each kind, those of its first pack
    for pack in packs:
        kinds: dict[Hashable, list[Trial]] = {}
        for trial in pack.trials:
            kinds.setdefault(cost_key(trial), []).append(trial)
        for key, trials in kinds.items():
            work[key] = work.get(key, 0.0) + sum(map(estimated_seconds, trials))
            examples.setdefault(key, trials[:MOST_NETWORKS])
    factors: dict[Hashable, float] = {}
    for key in sorted(work, key=lambda key: -work[key])[:MOST_KINDS]:
        with suppress(MemoryError, RuntimeError):  # too large for this machine: its time is the formula's
            factors[key] = measured_seconds(examples[key], record, fused=fused) / sum(
                map(estimated_seconds, examples[key])
            )
    return Calibration(factors=factors)


def measured_seconds(trials: Sequence[Trial], record: Collection[str] = (), *, fused: bool = False) -> float:
    """Return the seconds that trials of one kind would take for their steps and records, from a few of them."""
    horizon, members = trials[0].horizon, list(range(len(trials)))
    with steady_arithmetic():
        examples = [examples_of(trial) for trial in trials]
        kernel = make_kernel(trials, examples, torch.device("cpu"), fused=fused)
        kernel.advance(members, 0, 1)
        kernel.evaluate(members)  # both once to warm up
        done, steps, spent = 1, 1, 0.0
        while spent < KIND_SECONDS:
            started = time.process_time()
            kernel.advance(members, done, done + steps)
            spent = time.process_time() - started
            done, per_step, steps = done + steps, spent / steps, steps * 2
        started = time.process_time()
        kernel.evaluate(members)
        per_record = time.process_time() - started
        looking = looking_seconds(trials[0], examples[0], kernel, record) * len(trials) if record else 0.0
    return per_step * horizon + per_record * len(record_steps(horizon)) + looking


def looking_seconds(trial: Trial, examples: Examples, kernel: Kernel, record: Collection[str]) -> float:
    """Return the seconds that it takes to look inside a kernel's first network at all its records.

    Records differ by whether neurons are looked at; the last one holds what is looked at once.
    """
    inside, weights = Inside(trial=trial, examples=examples, wanted=frozenset(record)), kernel.weights(0)
    closely = inside_steps(trial.horizon)
    kinds: dict[str, list[int]] = {}
    for step in record_steps(trial.horizon):
        kind = "last" if step == trial.horizon else "close" if step in closely else "brief"
        kinds.setdefault(kind, []).append(step)
    spent = 0.0
    inside.look(1, weights)  # once to warm up
    for steps in kinds.values():
        started = time.process_time()
        inside.look(steps[0], weights)
        spent += (time.process_time() - started) * len(steps)
    return spent
