"""Optimizers for populations: a learning rate and weight decay per network, by the formulas of torch.optim."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch

from phasemap.study.networks import NetworkTrial


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a network, as it stands in the flat row of its weights, in order."""

    name: str
    shape: tuple[int, ...]
    transposed: bool = False  # a matrix (inputs, outputs), where others are (outputs, inputs)

    @property
    def size(self) -> int:
        """The number of its weights."""
        return math.prod(self.shape)


def parameters_of(shapes: Mapping[str, Sequence[int]], transposed: Collection[str] = ()) -> tuple[Parameter, ...]:
    """Name a network's parameters by their shapes, in order; ``transposed`` matrices are stored so."""
    return tuple(Parameter(name=n, shape=tuple(s), transposed=n in transposed) for n, s in shapes.items())


def views(flat: torch.Tensor, parameters: Sequence[Parameter]) -> list[torch.Tensor]:
    """View K networks' weights, or what stands beside them, as parameters: each (K, ...)."""
    rows = flat.view(-1, sum(one.size for one in parameters))
    parts = rows.split([one.size for one in parameters], dim=1)
    return [part.view(len(rows), *one.shape) for part, one in zip(parts, parameters, strict=True)]


def named_views(flat: torch.Tensor, parameters: Sequence[Parameter]) -> dict[str, torch.Tensor]:
    """Return ``views`` by the parameters' names."""
    return {one.name: part for one, part in zip(parameters, views(flat, parameters), strict=True)}


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerSettings:
    """Learning rate and weight decay are numbers, or tensors: (K, 1) for K networks, or a number for each weight."""

    learning_rate: float | torch.Tensor
    weight_decay: float | torch.Tensor
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    momentum: float = 0.9
    parameters: tuple[Parameter, ...] = ()  # where an optimizer treats them apart

    @classmethod
    def of(cls, trial: NetworkTrial, step: int = 1) -> OptimizerSettings:
        """Return the settings of one trial at a step."""
        return cls(
            learning_rate=trial.scaled_rate(trial.at_step("learning_rate", step)),
            weight_decay=trial.at_step("weight_decay", step),
            betas=trial.betas,
            eps=trial.eps,
            momentum=trial.momentum,
        )


class Optimizer(Protocol):
    """What changes flat weights, of one network or of several."""

    def step(self, gradient: torch.Tensor, step: int | torch.Tensor) -> None:
        """Update the weights in place with the gradient of step number ``step``, counted from 1."""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs, on the CPU."""

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint."""


class ReadyOptimizer(Optimizer, Protocol):
    """One of phasemap's own, whose settings may change between steps."""

    def set(self, settings: OptimizerSettings) -> None:
        """Take other settings from the next step on: numbers where they were numbers."""


class AdamW:
    """AdamW on one flat tensor of weights, with decoupled weight decay on every weight, as in torch.optim.AdamW.

    Where the settings are numbers the step is torch's own fused one, in one pass over the weights; it knows no vectors.
    It is called as the operation itself: what torch.optim wraps around it takes longer than a small network's update.
    """

    def __init__(self, weights: torch.Tensor, settings: OptimizerSettings) -> None:
        self.weights = weights
        self.mean = torch.zeros_like(weights)
        self.square = torch.zeros_like(weights)
        self.fused = isinstance(settings.weight_decay, float)
        self.set(settings)
        self._scratch = torch.empty(0 if self.fused else weights.shape, device=weights.device)
        self.taken = torch.zeros((), device=weights.device)  # torch counts the steps in a tensor

    def set(self, settings: OptimizerSettings) -> None:
        """Take other settings from the next step on."""
        self.settings = settings
        self._shrunk = 1 - settings.learning_rate * settings.weight_decay

    def step(self, gradient: torch.Tensor, step: int | torch.Tensor) -> None:
        """Update the weights in place with the gradient of step number ``step``, counted from 1.

        The step may be a tensor () in float64 too, which a CUDA graph reads anew each time.
        """
        if self.fused:
            fused_adamw([self], [gradient], step)
        else:
            self._vector_step(gradient, step)

    def _vector_step(self, gradient: torch.Tensor, step: int | torch.Tensor) -> None:
        """Take the step in eight passes: both corrections for the first steps go into the rate and epsilon."""
        (beta1, beta2), rate = self.settings.betas, self.settings.learning_rate
        assert isinstance(rate, torch.Tensor)
        self.weights.mul_(self._shrunk)
        self.mean.lerp_(gradient, 1 - beta1)
        self.square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        root = (1 - beta2**step) ** 0.5
        denominator = torch.sqrt(self.square, out=self._scratch).add_(self.settings.eps * root)
        change = torch.div(self.mean, denominator, out=self._scratch)
        factor = root / (1 - beta1**step)
        if isinstance(factor, torch.Tensor):
            self.weights.addcmul_(change, (rate * factor).float(), value=-1)
        else:
            self.weights.addcmul_(change, rate, value=-factor)

    def state(self) -> dict[str, torch.Tensor]:
        """Return what a checkpoint needs, on the CPU."""
        return {"mean": saved(self.mean), "square": saved(self.square)}

    def load(self, state: dict[str, torch.Tensor]) -> None:
        """Continue from a checkpoint."""
        self.mean.copy_(state["mean"])
        self.square.copy_(state["square"])


def fused_adamw(together: Sequence[AdamW], gradients: list[torch.Tensor], step: int | torch.Tensor) -> None:
    """Take the fused steps of optimizers of the same settings in one call, each as it would take it alone."""
    first = together[0]
    settings, taken = first.settings, first.taken.fill_(step)
    assert isinstance(settings.weight_decay, float)
    torch._fused_adamw_(
        [one.weights for one in together], gradients, [one.mean for one in together],
        [one.square for one in together], [], [taken] * len(together), amsgrad=False, maximize=False,
        lr=settings.learning_rate, weight_decay=settings.weight_decay, eps=settings.eps,
        beta1=settings.betas[0], beta2=settings.betas[1],
    )  # fmt: skip


Update = Callable[[int | torch.Tensor], None]
"""Takes a step, whose number it is given, with gradients that stand where they always stand."""


def updates(optimizers: Sequence[Optimizer], gradients: Sequence[torch.Tensor]) -> list[Update]:
    """Return what takes the steps of all optimizers, those of the same settings in one call where they can be."""
    alike: dict[object, list[AdamW]] = {}
    places: dict[object, list[torch.Tensor]] = {}
    found: list[Update] = []
    for one, gradient in zip(optimizers, gradients, strict=True):
        if type(one) is AdamW and one.fused:
            alike.setdefault(one.settings, []).append(one)
            places.setdefault(one.settings, []).append(gradient)
        else:
            found.append(partial(one.step, gradient))
    return found + [partial(fused_adamw, together, places[key]) for key, together in alike.items()]


class Adam(AdamW):
    """Adam (Kingma & Ba, 1412.6980) with L2 regularization in the gradient, as in torch.optim.Adam."""

    def step(self, gradient: torch.Tensor, step: int | torch.Tensor) -> None:
        """Update the weights in place with the gradient of step number ``step``, counted from 1."""
        (beta1, beta2), coupled = self.settings.betas, gradient + self.settings.weight_decay * self.weights
        self.mean.lerp_(coupled, 1 - beta1)
        self.square.mul_(beta2).addcmul_(coupled, coupled, value=1 - beta2)
        denominator = torch.sqrt(self.square, out=self._scratch)
        denominator.div_((1 - beta2**step) ** 0.5).add_(self.settings.eps)
        change = torch.div(self.mean, denominator, out=self._scratch)
        change.mul_(self.settings.learning_rate / (1 - beta1**step))
        self.weights.sub_(change)


class SGD:
    """Gradient descent with momentum and L2 regularization in the gradient, as in torch.optim.SGD."""

    def __init__(self, weights: torch.Tensor, settings: OptimizerSettings) -> None:
        self.weights = weights
        self.settings = settings
        self.velocity = torch.zeros_like(weights)

    def set(self, settings: OptimizerSettings) -> None:
        """Take other settings from the next step on."""
        self.settings = settings

    def step(self, gradient: torch.Tensor, step: int | torch.Tensor) -> None:
        """Update the weights in place; the number of the step does not matter."""
        self.velocity.mul_(self.settings.momentum).add_(gradient).add_(self.settings.weight_decay * self.weights)
        self.weights.sub_(self.settings.learning_rate * self.velocity)

    def state(self) -> dict[str, torch.Tensor]:
        """Return what a checkpoint needs, on the CPU."""
        return {"velocity": saved(self.velocity)}

    def load(self, state: dict[str, torch.Tensor]) -> None:
        """Continue from a checkpoint."""
        self.velocity.copy_(state["velocity"])


def saved(values: torch.Tensor) -> torch.Tensor:
    """Return a copy for a checkpoint, on the CPU: it may be read where the device is another, or none."""
    return values.to("cpu", copy=True)
