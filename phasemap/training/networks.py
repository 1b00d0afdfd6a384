"""Networks as plain PyTorch modules, for the general kernel; each starts from the same weights as elsewhere."""

from __future__ import annotations

import torch
from torch import nn

from phasemap.study.trials import Trial
from phasemap.training.initial import initial_hidden, initial_mlp


class MLP(nn.Module):
    """An MLP on the two concatenated one-hot tokens, without biases: p + p -> N -> ... -> N -> p.

    With two layers of weights it is f(m, n) = W phi(U e_m + V e_n). Dropout acts on every layer's hidden units before
    phi.
    """

    def __init__(self, trial: Trial, n_classes: int) -> None:
        super().__init__()
        u, v, w = initial_mlp(trial, n_classes).split(n_classes)
        self.U = nn.Parameter(u.clone())  # (p, N), transposed
        self.V = nn.Parameter(v.clone())  # (p, N), transposed
        self.hidden = nn.ParameterList([nn.Parameter(layer) for layer in initial_hidden(trial)])  # each (N, N)
        self.W = nn.Parameter(w.clone())  # (p, N)
        self._square = trial.activation == "square"

    def forward(self, pairs: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Return scores (B, p) of pairs (B, 2); ``mask`` (B, layers N) is 0 or the dropout scale, layer by layer."""
        masks = mask.chunk(1 + len(self.hidden), dim=1) if mask is not None else [None] * (1 + len(self.hidden))
        units = self._activate(self.U[pairs[:, 0]] + self.V[pairs[:, 1]], masks[0])  # (B, N)
        for weights, layer_mask in zip(self.hidden, masks[1:], strict=True):
            units = self._activate(units @ weights.t(), layer_mask)
        return units @ self.W.t()

    def _activate(self, units: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        units = units if mask is None else units * mask
        return units.square() if self._square else torch.relu(units)


def build_network(trial: Trial, n_classes: int) -> nn.Module:
    """Build one network with its initial weights."""
    return MLP(trial, n_classes)
