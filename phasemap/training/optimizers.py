"""AdamW for populations: each network has its own learning rate and weight decay."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class AdamWSettings:
    """AdamW (Loshchilov & Hutter, 1711.05101): numbers, or (K, 1) tensors for K networks in one tensor."""

    learning_rate: float | torch.Tensor
    weight_decay: float | torch.Tensor
    betas: tuple[float, float]
    eps: float


class AdamW:
    """AdamW on one flat tensor of weights, with decoupled weight decay on every weight, as in torch.optim.AdamW."""

    def __init__(self, weights: torch.Tensor, settings: AdamWSettings) -> None:
        self.weights = weights
        self.settings = settings
        self.mean = torch.zeros_like(weights)
        self.square = torch.zeros_like(weights)
        self._scratch = torch.empty_like(weights)
        self._keep = 1 - settings.learning_rate * settings.weight_decay

    def step(self, gradient: torch.Tensor, step: int) -> None:
        """Update the weights in place with the gradient of step number ``step``, counted from 1."""
        beta1, beta2 = self.settings.betas
        self.mean.lerp_(gradient, 1 - beta1)
        self.square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        denominator = torch.sqrt(self.square, out=self._scratch)
        denominator.div_((1 - beta2**step) ** 0.5).add_(self.settings.eps)
        change = torch.div(self.mean, denominator, out=self._scratch)
        change.mul_(self.settings.learning_rate / (1 - beta1**step))
        self.weights.mul_(self._keep).sub_(change)

    def state(self) -> dict[str, torch.Tensor]:
        """Return what a checkpoint needs."""
        return {"mean": self.mean.clone(), "square": self.square.clone()}

    def load(self, state: dict[str, torch.Tensor]) -> None:
        """Continue from a checkpoint."""
        self.mean.copy_(state["mean"])
        self.square.copy_(state["square"])
