"""Muon: momentum that is orthogonalized matrix by matrix (Jordan 2024, kellerjordan.github.io/posts/muon)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from phasemap.training.optimizers import AdamW, OptimizerSettings, Parameter, saved, views

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration, in Jordan's code
ITERATIONS = 5
EPS = 1e-7


class Muon:
    """Muon with Nesterov momentum and decoupled weight decay, on every matrix of K networks; AdamW on what is none.

    As Jordan's code, but in float32 (his is bfloat16, for speed on GPUs), and on the first and last matrix too: the
    two-layer MLP has no others. The rate of a matrix (outputs, inputs) is multiplied by sqrt(max(1, outputs / inputs)).
    """

    def __init__(self, weights: torch.Tensor, settings: OptimizerSettings) -> None:
        self.momentum, self._parameters = torch.zeros_like(weights), settings.parameters
        self._weights = weights
        places = zip(
            settings.parameters,
            views(weights, settings.parameters),
            views(self.momentum, settings.parameters),
            self._apart(settings),
            strict=True,
        )
        self._parts = [
            _Matrix(one, part, momentum, own) if len(one.shape) == 2 else AdamW(part, own)
            for one, part, momentum, own in places
        ]

    def set(self, settings: OptimizerSettings) -> None:
        """Take other settings from the next step on."""
        for part, own in zip(self._parts, self._apart(settings), strict=True):
            part.set(own)

    def _apart(self, settings: OptimizerSettings) -> list[OptimizerSettings]:
        """Return the settings of each parameter."""
        pairs = zip(self._each(settings.learning_rate), self._each(settings.weight_decay), strict=True)
        return [replace(settings, learning_rate=rate, weight_decay=decay) for rate, decay in pairs]

    def _each(self, setting: float | torch.Tensor) -> list[Any]:
        """Return a setting for each parameter: a number, or a tensor that goes with it (K, ...)."""
        if isinstance(setting, float):
            return [setting] * len(self._parameters)
        return views(setting.expand(*self._weights.shape).contiguous(), self._parameters)

    def step(self, gradient: torch.Tensor, step: int | torch.Tensor) -> None:
        """Update the weights in place with the gradient of step number ``step``, counted from 1."""
        for part, own in zip(self._parts, views(gradient, self._parameters), strict=True):
            part.step(own, step)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs, on the CPU."""
        others = {f"{name}.{i}": one for i, other in self._vectors for name, one in other.state().items()}
        return {"momentum": saved(self.momentum), **others}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.momentum.copy_(state["momentum"])
        for i, other in self._vectors:
            other.load({name: state[f"{name}.{i}"] for name in other.state()})

    @property
    def _vectors(self) -> list[tuple[int, AdamW]]:
        return [(i, part) for i, part in enumerate(self._parts) if isinstance(part, AdamW)]


class _Matrix:
    def __init__(
        self, parameter: Parameter, weights: torch.Tensor, momentum: torch.Tensor, settings: OptimizerSettings
    ) -> None:
        outputs, inputs = reversed(parameter.shape) if parameter.transposed else parameter.shape
        self._weights, self._momentum, self._share = weights, momentum, settings.momentum
        self._factor = max(1.0, outputs / inputs) ** 0.5
        self.set(settings)

    def set(self, settings: OptimizerSettings) -> None:
        self._change = settings.learning_rate * self._factor
        self._shrunk = 1 - settings.learning_rate * settings.weight_decay

    def step(self, gradient: torch.Tensor, step: int | torch.Tensor) -> None:
        del step
        self._momentum.lerp_(gradient, 1 - self._share)
        ahead = gradient.lerp(self._momentum, self._share)
        self._weights.mul_(self._shrunk).sub_(self._change * orthogonalized(ahead))


def orthogonalized(matrices: torch.Tensor) -> torch.Tensor:
    """Bring the singular values of matrices (K, n, m) near 1 by five steps of a Newton-Schulz iteration."""
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=EPS)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x
