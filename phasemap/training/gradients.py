"""What a gradient goes through before the optimizer: ``training.gradient``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from phasemap.training.optimizers import Optimizer, Parameter, saved, views

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


class Orthogonal:
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

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs, on the CPU."""
        return self._inner.state()

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self._inner.load(state)
