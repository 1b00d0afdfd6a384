"""How trials update their weights: the optimizer and what its gradient goes through first, as their settings say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from phasemap.study.networks import SCHEDULED, NetworkTrial
from phasemap.study.own_parts import OF_PARTS, OwnTrial
from phasemap.training.muon import Muon
from phasemap.training.optimizers import (
    SGD,
    Adam,
    AdamW,
    Optimizer,
    OptimizerSettings,
    Parameter,
    ReadyOptimizer,
    saved,
    views,
)
from phasemap.training.own_optimizer import OwnOptimizer

TINY = 1e-30  # added to norms that may be zero, as in Prieto et al.'s code


class Grokfast:
    """Grokfast's filter before an optimizer: slow parts of the gradient are amplified (Lee et al. 2405.20233, EMA).

    With the mean h = memory h + (1 - memory) g, which starts as the first gradient, the optimizer gets g + strength h.
    """

    def __init__(self, inner: Optimizer, weights: torch.Tensor, *, strength: float, memory: float) -> None:
        self._inner, self._strength, self._memory = inner, strength, memory
        self.mean = torch.zeros_like(weights)

    def step(self, gradient: torch.Tensor, step: int | torch.Tensor) -> None:
        """Update the weights in place with the gradient of step number ``step``, counted from 1."""
        share = 1 - self._memory
        if isinstance(step, torch.Tensor):
            self.mean.lerp_(gradient, torch.where(step == 1, 1.0, share).to(gradient.dtype))
        else:
            self.mean.lerp_(gradient, 1.0 if step == 1 else share)
        self._inner.step(torch.add(gradient, self.mean, alpha=self._strength), step)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs, on the CPU."""
        return {**self._inner.state(), "filter": saved(self.mean)}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self._inner.load({name: value for name, value in state.items() if name != "filter"})
        self.mean.copy_(state["filter"])


class _Around:
    """What stands before an optimizer and has no state of its own: a checkpoint needs that of the optimizer alone."""

    _inner: Optimizer

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs, on the CPU."""
        return self._inner.state()

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self._inner.load(state)


class Orthogonal(_Around):
    """Before an optimizer: the part of each parameter's gradient along the weights is taken out (Prieto et al.
    2501.04697, PerpGrad), and the rest scaled to the norm that the gradient had."""

    def __init__(self, inner: Optimizer, weights: torch.Tensor, parameters: Sequence[Parameter]) -> None:
        self._inner, self._parameters = inner, parameters
        self._weights = [part.flatten(1) for part in views(weights, parameters)]  # each (K, n)

    def step(self, gradient: torch.Tensor, step: int | torch.Tensor) -> None:
        """Update the weights in place with the gradient of step number ``step``, counted from 1."""
        changed = torch.empty_like(gradient)
        parts = zip(views(gradient, self._parameters), views(changed, self._parameters), self._weights, strict=True)
        for whole, out, weights in parts:
            given = whole.flatten(1)
            along = (weights * given).sum(1, keepdim=True) / (weights.square().sum(1, keepdim=True) + TINY)
            rest = given - along * weights
            scale = given.norm(dim=1, keepdim=True) / (rest.norm(dim=1, keepdim=True) + TINY)
            out.copy_((rest * scale).view_as(out))
        self._inner.step(changed, step)


OPTIMIZERS: dict[str, Callable[[torch.Tensor, OptimizerSettings], ReadyOptimizer]] = {
    "adamw": AdamW,
    "adam": Adam,
    "sgd": SGD,
    "muon": Muon,
}

EMBEDDING = ("U", "V", "input", "E")
READOUT = ("W",)
"""The parameters that ``embedding_...`` and ``readout_...`` settings are of, by their names; a tied one embeds."""


def make_optimizer(
    trials: Sequence[NetworkTrial], weights: torch.Tensor, parameters: Sequence[Parameter], *, vector: bool = False
) -> Optimizer:
    """Make what updates the weights of the given networks, which stand in one tensor one after the other.

    A single network's rates are numbers where all its weights share them, unless they are to be a ``vector``: then a
    step's number may be a tensor. A user's optimizer is for one network.
    """
    first = trials[0]
    if isinstance(first, OwnTrial) and first.parts.get("optimizer"):
        optimizer: Optimizer = OwnOptimizer(first, weights, [torch.Size(one.shape) for one in parameters])
    elif any(trial.scheduled for trial in trials):
        optimizer = Scheduled(trials, weights, parameters, vector=vector)
    else:
        optimizer = OPTIMIZERS[first.optimizer](weights, _settings(trials, weights, parameters, vector))
    if first.gradient == "grokfast":
        return Grokfast(optimizer, weights, strength=first.filter_strength, memory=first.filter_memory)
    return Orthogonal(optimizer, weights, parameters) if first.gradient == "orthogonal" else optimizer


class Scheduled(_Around):
    """An optimizer whose learning rates and weight decays are those of each step, as the trials' schedules say.

    A checkpoint needs nothing of the schedule, which the step's number tells.
    """

    _inner: ReadyOptimizer

    def __init__(
        self, trials: Sequence[NetworkTrial], weights: torch.Tensor, parameters: Sequence[Parameter], *, vector: bool
    ) -> None:
        self._settings = partial(_settings, trials, weights, parameters, vector)
        self._inner = OPTIMIZERS[trials[0].optimizer](weights, self._settings(1))
        self._trials = [trial for trial in trials if trial.scheduled]
        self._values = self._at(1)

    def _at(self, step: int) -> list[float]:
        return [trial.at_step(name, step) for trial in self._trials for name in SCHEDULED]

    def step(self, gradient: torch.Tensor, step: int | torch.Tensor) -> None:
        """Update the weights in place with the gradient of step number ``step``, counted from 1."""
        assert isinstance(step, int)  # no graph of a step knows rates that change
        if (values := self._at(step)) != self._values:
            self._values = values
            self._inner.set(self._settings(step))
        self._inner.step(gradient, step)


def one_each(trials: Sequence[NetworkTrial], weights: torch.Tensor, parameters: Sequence[Parameter]) -> list[Optimizer]:
    """Make the optimizers of flat weights (K, P): on a CPU one a network, fused; else one for all, in few launches.

    A user's own has one instance for each network on any device.
    """
    own = isinstance(trials[0], OwnTrial) and trials[0].parts.get("optimizer")
    if own or weights.device.type == "cpu":
        return [make_optimizer([trial], row, parameters) for trial, row in zip(trials, weights.split(1), strict=True)]
    return [make_optimizer(trials, weights, parameters, vector=True)]


def _settings(
    trials: Sequence[NetworkTrial], weights: torch.Tensor, parameters: Sequence[Parameter], vector: bool, step: int = 1
) -> OptimizerSettings:
    shared = replace(OptimizerSettings.of(trials[0], step), parameters=tuple(parameters))
    by_part = any(_by_part(trial) for trial in trials)
    if not (by_part or vector):
        return shared
    names = [one.name for one in parameters] if by_part else [""]  # "": all of them
    rates = [[trial.scaled_rate(_of_part(trial, name, "learning_rate", step)) for name in names] for trial in trials]
    decays = [[_of_part(trial, name, "weight_decay", step) for name in names] for trial in trials]
    return replace(
        shared,
        learning_rate=_per_weight(rates, weights, parameters),
        weight_decay=_per_weight(decays, weights, parameters),
    )


def _per_weight(values: list[list[float]], weights: torch.Tensor, parameters: Sequence[Parameter]) -> torch.Tensor:
    """Return values of K networks (K, 1) as they are, and those of their parameters once for each weight."""
    table = torch.tensor(values, dtype=torch.float32, device=weights.device)
    if table.shape[1] == 1:
        return table
    sizes = torch.tensor([one.size for one in parameters], device=weights.device)
    return table.repeat_interleave(sizes, dim=1).view(weights.shape)


def _by_part(trial: NetworkTrial) -> bool:
    return any(getattr(trial, name) is not None for name in OF_PARTS)


def _of_part(trial: NetworkTrial, name: str, setting: str, step: int) -> float:
    """Return a parameter's learning rate or weight decay at a step: its part's own, which stays, or that of all."""
    part = "embedding" if name in EMBEDDING else "readout" if name in READOUT else None
    value: float | None = getattr(trial, f"{part}_{setting}") if part else None
    return trial.at_step(setting, step) if value is None else value
