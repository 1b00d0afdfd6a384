"""Networks as plain PyTorch modules, for the general kernel; each starts from the same weights as elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import nn

from phasemap.study.networks import NetworkTrial
from phasemap.tasks.dataset import Dataset
from phasemap.training.initial import initial_features_mlp, initial_hidden, initial_mlp
from phasemap.training.own_network import INSIDE, OwnNetwork, has_own_network, own_network
from phasemap.training.transformer import Transformer

NORM_EPS = 1e-5


class MLP(nn.Module):
    """An MLP without biases: inputs -> N -> ... -> N -> C; on two tokens its inputs are concatenated one-hot vectors.

    With two layers of weights on tokens it is f(m, n) = W phi(U e_m + V e_n). Dropout acts on every layer's hidden
    units before phi, a norm layer after phi. BatchNorm takes its statistics from the training examples in front, also
    when it answers (no running averages, so that a network is its weights and nothing else).
    """

    def __init__(self, trial: NetworkTrial, data: Dataset) -> None:
        super().__init__()
        if data.tokens:
            u, v, w = initial_mlp(trial, data.n_classes).split(data.n_classes)
            self.U = nn.Parameter(u.clone())  # (p, N), transposed
            self.V = nn.Parameter(v.clone())  # (p, N), transposed
        else:
            first, w = initial_features_mlp(trial, data.inputs.shape[1], data.n_classes)
            self.input = nn.Parameter(first)  # (F, N), transposed
        self.hidden = nn.ParameterList([nn.Parameter(layer) for layer in initial_hidden(trial)])  # each (N, N)
        self.W = nn.Parameter(w.clone())  # (C, N)
        layers = trial.depth - 1
        if trial.norm != "none":
            self.gain = nn.ParameterList([nn.Parameter(torch.ones(trial.width)) for _ in range(layers)])
            self.shift = nn.ParameterList([nn.Parameter(torch.zeros(trial.width)) for _ in range(layers)])
        self._tokens, self._norm = data.tokens, trial.norm
        self._square = trial.activation == "square"

    def forward(
        self, inputs: torch.Tensor, mask: torch.Tensor | None = None, n_train: int | None = None
    ) -> torch.Tensor:
        """Return scores (B, C) of inputs (B, 2) or (B, F).

        ``mask`` (B, layers N) is 0 or the dropout scale, layer by layer; the first ``n_train`` rows (default: all) are
        those that BatchNorm's statistics are of.
        """
        return self.units(inputs, mask, n_train) @ self.W.t()

    def units(self, inputs: torch.Tensor, mask: torch.Tensor | None = None, n_train: int | None = None) -> torch.Tensor:
        """Return the units (B, N) that the read-out sees."""
        layers = 1 + len(self.hidden)
        masks = mask.chunk(layers, dim=1) if mask is not None else [None] * layers
        first = self.U[inputs[:, 0]] + self.V[inputs[:, 1]] if self._tokens else inputs @ self.input
        units = self._activate(first, masks[0], 0, n_train)  # (B, N)
        for layer, weights in enumerate(self.hidden, start=1):
            units = self._activate(units @ weights.t(), masks[layer], layer, n_train)
        return units

    def _activate(
        self, units: torch.Tensor, mask: torch.Tensor | None, layer: int, n_train: int | None
    ) -> torch.Tensor:
        units = units if mask is None else units * mask
        units = units.square() if self._square else torch.relu(units)
        if self._norm == "none":
            return units
        dim, seen = (0, units[:n_train]) if self._norm == "batch" else (1, units)
        variance, mean = torch.var_mean(seen, dim=dim, correction=0, keepdim=True)
        return (units - mean) * torch.rsqrt(variance + NORM_EPS) * self.gain[layer] + self.shift[layer]


def build_network(trial: NetworkTrial, data: Dataset) -> nn.Module:
    """Build one network with its initial weights; a user's own behind ``OwnNetwork``."""
    if has_own_network(trial):
        return own_network(trial, data)
    return Transformer(trial, data.n_classes) if trial.model == "transformer" else MLP(trial, data)


def load_weights(trial: NetworkTrial, data: Dataset, weights: Mapping[str, torch.Tensor]) -> nn.Module:
    """Build one network with the given weights, named as ``named_weights`` does."""
    network = build_network(trial, data)
    if isinstance(network, OwnNetwork):
        return network.loaded(weights)
    state = {name: value.t() if name in SHOWN_TRANSPOSED else value for name, value in weights.items()}
    network.load_state_dict(cast(dict[str, Any], state))
    return network


def named_weights(parts: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a network's parameters as they are written in formulas: U and V as (N, p), an input layer as (N, F)."""
    return {
        name.removeprefix(INSIDE): value.t() if name in SHOWN_TRANSPOSED and value.ndim == 2 else value
        for name, value in parts.items()
    }


SHOWN_TRANSPOSED = ("U", "V", "input")
TRANSPOSED = (*SHOWN_TRANSPOSED, "E")
"""The matrices that are kept as (inputs, outputs); a Transformer's E is written so in formulas too."""


def dropout_width(trial: NetworkTrial) -> int:
    """Return how many units of an example dropout may silence."""
    if has_own_network(trial):
        return 0
    if trial.model == "transformer":
        return Transformer.dropout_width(trial)
    return (trial.depth - 1) * trial.width


def part_norms(parts: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """Return the Frobenius norm of all weights, and of a two-layer MLP's parts."""
    return named_norms({name: float(weights.double().norm()) for name, weights in parts.items()})


def named_norms(norms: Mapping[str, float]) -> dict[str, float]:
    """Return from the norm of each parameter the norm of all weights, and of a two-layer MLP's parts, as recorded."""
    two_layer = "U" in norms and "hidden.0" not in norms
    by_part = {f"weight_norm_{name.lower()}": norms[name] for name in ("U", "V", "W")} if two_layer else {}
    return by_part | {"weight_norm": sum(norm**2 for norm in norms.values()) ** 0.5}
