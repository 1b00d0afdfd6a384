"""What steps and records of a few networks take on this machine, timed by the process's own time on the CPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from functools import partial

import torch

from phasemap.study.networks import NetworkTrial
from phasemap.tasks.examples import Examples, examples_of
from phasemap.training.grouped import GroupedKernel
from phasemap.training.inside import Inside, inside_steps
from phasemap.training.kernel import make_kernel
from phasemap.training.population import steady_arithmetic
from phasemap.training.recording import record_steps

KIND_SECONDS = 0.3


def measured_seconds(trials: Sequence[NetworkTrial], record: Collection[str] = (), *, fused: bool = False) -> float:
    """Return the seconds that trials of one kind would take for their steps and records, from a few of them."""
    horizon, members = trials[0].horizon, list(range(len(trials)))
    with steady_arithmetic():
        examples = [examples_of(trial) for trial in trials]
        kernel = make_kernel(trials, examples, torch.device("cpu"), fused=fused)
        kernel.advance(members, 0, 1)
        kernel.evaluate(members)  # both once to warm up
        per_step = _step_seconds(kernel, members, 1, _cpu_seconds)
        per_record = _cpu_seconds(partial(kernel.evaluate, members))
        looking = looking_seconds(trials[0], examples[0], kernel, record) * len(trials) if record else 0.0
    return per_step * horizon + per_record * len(record_steps(horizon)) + looking


def _step_seconds(
    kernel: GroupedKernel, members: Sequence[int], steps: int, timed: Callable[[Callable[[], object]], float]
) -> float:
    """Return the seconds of a step after the first, from so many steps, and twice as many until it took long enough."""
    done, spent = 1, 0.0
    while spent < KIND_SECONDS:
        spent = timed(partial(kernel.advance, members, done, done + steps))
        done, per_step, steps = done + steps, spent / steps, steps * 2
    return per_step


def _cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def looking_seconds(trial: NetworkTrial, examples: Examples, kernel: GroupedKernel, record: Collection[str]) -> float:
    """Return the seconds that it takes to look inside a kernel's first network at all its records.

    Records differ by whether neurons are looked at; the last one holds what is looked at once.
    """
    inside, weights = Inside(trial=trial, examples=examples, wanted=frozenset(record)), kernel.weights(0)
    closely = inside_steps(trial.horizon)
    kinds: dict[str, list[int]] = {}
    for step in record_steps(trial.horizon):
        kind = "last" if step == trial.horizon else "close" if step in closely else "brief"
        kinds.setdefault(kind, []).append(step)
    inside.look(1, weights)  # once to warm up
    return sum(_cpu_seconds(partial(inside.look, steps[0], weights)) * len(steps) for steps in kinds.values())


def measured_on_card(
    trials: Sequence[NetworkTrial], record: Collection[str] = (), device: torch.device | None = None
) -> tuple[float, int]:
    """Return the seconds that a pack would take of a GPU (by default the first), and the bytes that it takes there.

    By the clock, waiting for the device before and after; a first step and record are not counted.
    """
    device = device or torch.device("cuda")
    horizon, members = trials[0].horizon, list(range(len(trials)))
    timed = partial(_card_seconds, device)
    before = _taken(device, reset=True)
    with steady_arithmetic():
        kernel = make_kernel(trials, [examples_of(trial) for trial in trials], device)
        kernel.advance(members, 0, 1)
        kernel.record(members, 1, record)
        per_step = _step_seconds(kernel, members, 4, timed)
        per_record = timed(partial(kernel.record, members, 1, record))
        last = timed(partial(kernel.record, members, horizon, record))
    return per_step * horizon + per_record * len(record_steps(horizon)) + last, _taken(device) - before


def _card_seconds(device: torch.device, work: Callable[[], object]) -> float:
    wait_for(device)
    started = time.perf_counter()
    work()
    wait_for(device)
    return time.perf_counter() - started


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _taken(device: torch.device, *, reset: bool = False) -> int:
    """Return the most memory that was taken of a GPU since the last reset; none of a CPU."""
    if device.type != "cuda":
        return 0
    if reset:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    return int(torch.cuda.max_memory_allocated(device))
