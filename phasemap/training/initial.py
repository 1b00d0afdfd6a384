"""Initial weights: from the seed and the shapes alone."""

from __future__ import annotations

import math

import torch

from phasemap.study.networks import NetworkTrial
from phasemap.tasks.streams import stream


def paper_std(width: int) -> float:
    """Return the paper's standard deviation for the two-layer MLP: variance (16 N)^(-2/3)."""
    return (16.0 * width) ** (-1 / 3)


def deep_std(trial: NetworkTrial, fan_in: int) -> float:
    """Return the standard deviation of a deeper MLP's layer: variance 2 / fan_in, or 2 / N^(2/3) if lazy."""
    return math.sqrt(2.0 / (fan_in if trial.init == "standard" else trial.width ** (2 / 3)))


def initial_mlp(trial: NetworkTrial, n_classes: int) -> torch.Tensor:
    """Draw an MLP's first and last weights on two tokens as (3 p, N): U transposed, V transposed, W, in float32."""
    drawn = _normal(trial, "initial_weights", (3 * n_classes, trial.width))
    if trial.depth == 2:
        return drawn * (trial.init_scale * paper_std(trial.width))
    drawn[: 2 * n_classes] *= trial.init_scale * deep_std(trial, 2 * n_classes)
    drawn[2 * n_classes :] *= trial.init_scale * deep_std(trial, trial.width)
    return drawn


def initial_features_mlp(trial: NetworkTrial, n_features: int, n_classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw an MLP's first weights (F, N), transposed, and last weights (C, N) on inputs of F numbers, in float32."""
    drawn = _normal(trial, "initial_weights", (n_features + n_classes, trial.width))
    first, last = drawn.split([n_features, n_classes])
    scales = [trial.init_scale * deep_std(trial, fan_in) for fan_in in (n_features, trial.width)]
    return first * scales[0], last * scales[1]


def initial_hidden(trial: NetworkTrial) -> list[torch.Tensor]:
    """Draw the weights between hidden layers of an MLP, each (N, N) in float32; none for two layers of weights."""
    shape, scale = (trial.width, trial.width), trial.init_scale * deep_std(trial, trial.width)
    return [_normal(trial, "initial_hidden", shape, layer) * scale for layer in range(trial.depth - 2)]


def initial_matrix(trial: NetworkTrial, name: str, shape: tuple[int, int]) -> torch.Tensor:
    """Draw a Transformer's matrix (out, in) with fan-in normal weights, variance 1 / in, in float32."""
    return _normal(trial, f"initial_{name}", shape) * (trial.init_scale * shape[1] ** -0.5)


def initial_embedding(trial: NetworkTrial, name: str, shape: tuple[int, int]) -> torch.Tensor:
    """Draw a Transformer's token vectors (p, d), one standard deviation each, in float32."""
    return _normal(trial, f"initial_{name}", shape) * trial.init_scale


def _normal(trial: NetworkTrial, purpose: str, shape: tuple[int, int], *key: object) -> torch.Tensor:
    drawn = stream(purpose, trial.seed, *key, *shape).standard_normal(shape, dtype="float32")
    return torch.from_numpy(drawn)
