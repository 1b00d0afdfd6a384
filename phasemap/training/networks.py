"""Networks as plain PyTorch modules, for the general kernel; each starts from the same weights as elsewhere."""

from __future__ import annotations

import torch
from torch import nn

from phasemap.study.trials import Trial
from phasemap.training.initial import initial_mlp


class TwoLayerMLP(nn.Module):
    """f(m, n) = W phi(U e_m + V e_n) without biases; dropout acts on the hidden units before phi."""

    def __init__(self, trial: Trial, n_classes: int) -> None:
        super().__init__()
        weights = initial_mlp(trial, n_classes)
        self.U = nn.Parameter(weights[:n_classes].clone())  # (p, N), transposed
        self.V = nn.Parameter(weights[n_classes : 2 * n_classes].clone())  # (p, N), transposed
        self.W = nn.Parameter(weights[2 * n_classes :].clone())  # (p, N)
        self._square = trial.activation == "square"

    def forward(self, pairs: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Return scores (B, p) of pairs (B, 2); ``mask`` (B, N) is 0 or the dropout scale."""
        hidden = self.U[pairs[:, 0]] + self.V[pairs[:, 1]]  # (B, N)
        if mask is not None:
            hidden = hidden * mask
        active = hidden.square() if self._square else torch.relu(hidden)
        return active @ self.W.t()


def build_network(trial: Trial, n_classes: int) -> nn.Module:
    """Build one network with its initial weights."""
    return TwoLayerMLP(trial, n_classes)
