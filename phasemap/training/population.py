"""Train a pack: K networks of one static shape, recorded at the same steps, with exact checkpoints."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from phasemap.study.errors import UserError
from phasemap.study.names import FUSED_KERNEL, PLAIN_KERNEL, STATE
from phasemap.study.networks import NetworkTrial
from phasemap.study.prefixes import Prefixes
from phasemap.tasks.corruption import data_facts
from phasemap.tasks.examples import Examples, examples_of
from phasemap.training.grouped import GroupedKernel
from phasemap.training.inside import Inside, Seen
from phasemap.training.kernel import make_kernel
from phasemap.training.networks import load_weights
from phasemap.training.own_network import OwnNetwork
from phasemap.training.recording import Evaluation, Hooks, Recorder, TrialResult, measure, record_steps, records_of
from phasemap.training.states import Start, dump_end, frozen, source_of, thawed

STRIDE = 50  # steps between two looks at the clock, at most
LOOK_SECONDS = 5.0  # between two looks, where that is more than one step
CHECKPOINT_VERSION = 3
HEAP_BYTES = 30 << 20
"""Once allocated and freed, an array of this size teaches glibc to serve smaller ones from the heap, without giving
their pages back to the kernel after every block (a tenth of the time at p 97)."""


class CheckpointError(ValueError):
    """A checkpoint is damaged, of another release or of another pack; the pack must start anew."""


@contextmanager
def steady_arithmetic() -> Iterator[None]:
    """One thread, and numbers below the normal range taken as zero (collapsed weights reach 1e-24 and less)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.empty(HEAP_BYTES, dtype=torch.uint8)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


def train_pack(
    trials: Sequence[NetworkTrial],
    *,
    device: torch.device,
    record: Sequence[str] = (),
    hooks: Hooks | None = None,
    kernel: Callable[[Sequence[NetworkTrial], Sequence[Examples], torch.device], GroupedKernel] = make_kernel,
    starts: Sequence[Start] = (),
) -> list[TrialResult]:
    """Train the trials of one pack from start to end and return their results in the same order.

    ``record`` names what is looked at inside the networks (a study's ``record``). With ``starts``, one a trial and all
    at the same step, they go on from there.
    A trial whose loss is not finite at a recorded step is marked ``diverged`` there and stops; no other is touched.
    ValueError if the trials don't share one static shape, CheckpointError if ``hooks.saved`` is not theirs.
    """
    if len({trial.shape for trial in trials}) != 1:
        raise ValueError("the trials of a pack must share task, network, steps, loss and optimizer")
    with steady_arithmetic():
        return _Training(trials, device, frozenset(record), hooks or Hooks(), kernel, starts).run()


class _Training:
    def __init__(
        self,
        trials: Sequence[NetworkTrial],
        device: torch.device,
        record: frozenset[str],
        hooks: Hooks,
        kernel: Callable[[Sequence[NetworkTrial], Sequence[Examples], torch.device], GroupedKernel],
        starts: Sequence[Start],
    ) -> None:
        self.started = time.perf_counter()
        self.trials, self.device, self.record, self.hooks = trials, device, record, hooks
        self.prefixes = Prefixes(trials)
        self.changes = sorted({step for trial in trials for step in trial.changes})  # of labels
        self.recorded = [records_of(trial) for trial in trials]
        self.looked = frozenset(record_steps(trials[0].horizon))
        self.make_kernel = kernel
        self.recorders = [Recorder() for _ in trials]
        self.step = self.first = 0
        self.seconds_before = 0.0
        self._settle(0)
        self.inside = [Inside(trial=t, examples=e, wanted=record) for t, e in zip(trials, self.examples, strict=True)]
        if starts:
            self._go_on(starts)
        if hooks.saved is not None:
            self._load(hooks.saved)

    def run(self) -> list[TrialResult]:
        horizon = self.trials[0].horizon
        last_save, stride = time.perf_counter(), 1
        for record in sorted(frozenset().union(*self.recorded)):
            while self.step < record and self._alive():
                began, until = time.perf_counter(), min(record, self.step + stride, *self._changes_to_come())
                self.kernel.advance(self._alive(), self.step, until)
                seconds = (time.perf_counter() - began) / (until - self.step)
                self.step, stride = until, max(1, min(STRIDE, int(LOOK_SECONDS / max(seconds, 1e-9))))
                if self.step == record:
                    self._record()
                if self.step in self.changes or self.step in self.prefixes.steps:
                    self._change()
                self.hooks.on_progress(self.step / horizon)
                if self.hooks.save and time.perf_counter() - last_save >= self.hooks.save_seconds:
                    self.hooks.save(self._dump())
                    last_save = time.perf_counter()
        return self._results()

    def _changes_to_come(self) -> list[int]:
        return [step for step in (*self.changes, *self.prefixes.steps) if step > self.step]

    def _settle(self, step: int) -> None:
        """Make the kernel of the trials that stand for all others after a step, with the labels as they are then."""
        self.leaders = self.prefixes.leaders(step)
        self.trained = sorted(set(self.leaders))  # the places in the pack of the kernel's networks
        self.examples = [examples_of(trial, step) for trial in self.trials]
        chosen = [(self.trials[i], self.examples[i]) for i in self.trained]
        self.kernel = self.make_kernel([trial for trial, _ in chosen], [seen for _, seen in chosen], self.device)

    def _resettle(self, step: int) -> None:
        """Do so where something has changed since the start."""
        if any(change <= step for change in (*self.changes, *self.prefixes.steps)):
            self._settle(step)
            for inside, examples in zip(self.inside, self.examples, strict=True):
                inside.examples = examples

    def _change(self) -> None:
        """Go on with what changes after the present step: in a new kernel, from the states of the old."""
        if self.step not in self.changes and self.prefixes.leaders(self.step) == self.leaders:
            return
        states, leaders = self._states(), self.leaders
        self._resettle(self.step)
        here = {place: states.get(leaders[i]) for place, i in enumerate(self.trained)}
        self.kernel.put_states({place: state for place, state in here.items() if state is not None})

    def _states(self) -> dict[int, dict[str, Any]]:
        """Return what is kept of the networks that go on, by their places in the pack."""
        alive = self._alive()
        return dict(zip((self.trained[i] for i in alive), self.kernel.network_states(alive), strict=True))

    def _alive(self) -> list[int]:
        """Return those of the kernel's networks that go on."""
        return [place for place, i in enumerate(self.trained) if not self.recorders[i].diverged]

    def _record(self) -> None:
        due: dict[int, list[int]] = {}
        for member, leader in enumerate(self.leaders):
            if self.step in self.recorded[member]:
                due.setdefault(leader, []).append(member)
        asked = [place for place in self._alive() if self.trained[place] in due]
        for place, (evaluation, seen) in zip(asked, self.kernel.record(asked, self.step, self.record), strict=True):
            members = due[self.trained[place]]
            self._add(members, evaluation)
            if self.record and evaluation.finite and self.step in self.looked:
                self._look(members, place, seen)

    def _add(self, members: Sequence[int], evaluation: Evaluation) -> None:
        """Add a network's answers to the curves of the trials that it stands for."""
        if evaluation.finite:
            measures = measure(self.examples[members[0]], evaluation)
            for member in members:
                self.recorders[member].add(self.step, measures)
            return
        for member, leader in enumerate(self.leaders):
            self.recorders[member].diverged |= leader == self.leaders[members[0]]

    def _look(self, members: Sequence[int], place: int, seen: Seen) -> None:
        """Look inside a network for the trials that it stands for."""
        first, *others = (self.inside[member] for member in members)
        before = len(first.records)
        first.look(self.step, self.kernel.weights(place), seen)
        for other in others:
            other.records += first.records[before:]

    def _seconds(self) -> float:
        return self.seconds_before + time.perf_counter() - self.started

    def _go_on(self, starts: Sequence[Start]) -> None:
        """Put the networks and what was recorded of them where their former trainings ended."""
        if other := {start.kernel for start in starts} - {self.kernel.name}:
            raise CheckpointError(f"the kept states are of the kernel {', '.join(other)}, not {self.kernel.name}")
        self.step = self.first = starts[0].step
        self._resettle(self.step)
        for inside, start in zip(self.inside, starts, strict=True):
            inside.records = list(start.inside)
        self.recorders = [start.recorder for start in starts]
        networks = {place: starts[i].network for place, i in enumerate(self.trained)}
        self.kernel.put_states({place: network for place, network in networks.items() if network is not None})

    def _dump(self) -> bytes:
        buffer = io.BytesIO()
        state = {
            "version": CHECKPOINT_VERSION,
            "trial_ids": [trial.trial_id for trial in self.trials],
            "step": self.step,
            "seconds": self._seconds(),
            "recorders": [asdict(recorder) for recorder in self.recorders],
            "inside": [[frozen(record) for record in inside.records] for inside in self.inside],
            "kernel_name": self.kernel.name,
            "kernel": self.kernel.state(),
        }
        torch.save(state, buffer)
        return buffer.getvalue()

    def _load(self, saved: bytes) -> None:
        try:
            state = torch.load(io.BytesIO(saved), weights_only=True, map_location="cpu")  # records stay there
            if state["version"] != CHECKPOINT_VERSION:
                raise ValueError(f"version {state['version']}, not {CHECKPOINT_VERSION}")
            if state["trial_ids"] != [trial.trial_id for trial in self.trials]:
                raise ValueError("it belongs to another pack")
            if state.get("kernel_name", _unnamed(self.kernel.name)) != self.kernel.name:
                raise ValueError(
                    f"it is of the kernel {state.get('kernel_name', PLAIN_KERNEL)}, not {self.kernel.name}"
                )
            self.step = state["step"]
            self._resettle(self.step)
            self.kernel.load(state["kernel"])
            self.recorders = [Recorder(**recorder) for recorder in state["recorders"]]
            for inside, records in zip(self.inside, state["inside"], strict=True):
                inside.records = [thawed(record) for record in records]
        except Exception as error:  # whatever a damaged file may raise
            raise CheckpointError(f"the checkpoint can't be used: {error}") from None
        self.seconds_before = state["seconds"]

    def _results(self) -> list[TrialResult]:
        """Share the pack's seconds by the steps taken and the examples seen in each."""
        places = {i: place for place, i in enumerate(self.trained)}
        ends = dict(zip(self._alive(), self.kernel.ends(self._alive()), strict=True))
        results = [
            self._result(member, seconds, places[leader], ends.get(places[leader], Seen()))
            for member, (seconds, leader) in enumerate(zip(self._shares(), self.leaders, strict=True))
        ]
        return self._with_states(results) if STATE in self.record else results

    def _shares(self) -> list[float]:
        """Return each trial's part of the pack's seconds."""
        horizon = self.trials[0].horizon
        costs = self.prefixes.costs(horizon, self.first)
        last = [r.steps[-1] if r.diverged and r.steps else 1 if r.diverged else horizon for r in self.recorders]
        taken = [min(cost, max(1, step - self.first)) for cost, step in zip(costs, last, strict=True)]
        work = [steps * len(e.train) for steps, e in zip(taken, self.examples, strict=True)]
        seconds = self._seconds()
        return [seconds * share / sum(work) for share in work]

    def _with_states(self, results: Sequence[TrialResult]) -> list[TrialResult]:
        """Add to results what training goes on from."""
        networks = self._states()
        states = (
            dump_end(inside, recorder, self.kernel.name, networks.get(leader))
            for inside, recorder, leader in zip(self.inside, self.recorders, self.leaders, strict=True)
        )
        return [replace(result, state=state) for result, state in zip(results, states, strict=True)]

    def _result(self, member: int, seconds: float, place: int, end: Seen) -> TrialResult:
        recorder, seen, inside = self.recorders[member], self.examples[member], self.inside[member]
        result = TrialResult(
            trial=self.trials[member],
            status="diverged" if recorder.diverged else "ok",
            steps=tuple(recorder.steps),
            curves=recorder.curves(),
            facts=data_facts(len(seen.train), seen.n_corrupted, seen.dataset.n_classes),
            train_seconds=seconds,
            device=str(self.device),
            kernel=self.kernel.name,
            texts={"source": source} if (source := source_of(self.trials[member])) else {},
            inside=tuple(inside.records),
        )
        if recorder.diverged:
            return result
        weights = self.kernel.weights(place)
        kept = {name: part.cpu().numpy().copy() for name, part in weights.items()} if "weights" in self.record else None
        return replace(result, finals=inside.finals(weights, end), weights=kept)


def network_of(
    trial: NetworkTrial, weights: Mapping[str, NDArray[np.float32]] | None, *, fused: bool = False
) -> torch.nn.Module:
    """Build a trial's trained network from its weights; without them the trial is trained again on the CPU.

    A user's network is returned as its class made it.

    UserError if that training diverges.
    """
    if weights is None:
        kernel = partial(make_kernel, fused=fused)
        (result,) = train_pack([trial], device=torch.device("cpu"), record=("weights",), kernel=kernel)
        if result.weights is None:
            raise UserError(f"trial {trial} diverges: it has no trained network")
        weights = result.weights
    network = load_weights(trial, examples_of(trial).dataset, {n: torch.from_numpy(w) for n, w in weights.items()})
    return network.own if isinstance(network, OwnNetwork) else network


def _unnamed(name: str) -> str:
    """Return which kernel a checkpoint of a release that named none may be loaded by: all of that time had one form."""
    return PLAIN_KERNEL if name == FUSED_KERNEL else name
