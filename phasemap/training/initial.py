"""Initial weights: from the seed and the shapes alone."""

from __future__ import annotations

import math

import torch

from phasemap.study.trials import Trial
from phasemap.tasks.streams import stream


def paper_std(width: int) -> float:
    """Return the paper's standard deviation for the two-layer MLP: variance (16 N)^(-2/3)."""
    return (16.0 * width) ** (-1 / 3)


def deep_std(trial: Trial, fan_in: int) -> float:
    """Return the standard deviation of a deeper MLP's layer: variance 2 / fan_in, or 2 / N^(2/3) if lazy."""
    return math.sqrt(2.0 / (fan_in if trial.init == "standard" else trial.width ** (2 / 3)))


def initial_mlp(trial: Trial, n_classes: int) -> torch.Tensor:
    """Draw an MLP's first and last weights as (3 p, N): U transposed, V transposed, W, in float32."""
    shape = (3 * n_classes, trial.width)
    drawn = torch.from_numpy(stream("initial_weights", trial.seed, *shape).standard_normal(shape, dtype="float32"))
    if trial.depth == 2:
        return drawn * (trial.init_scale * paper_std(trial.width))
    drawn[: 2 * n_classes] *= trial.init_scale * deep_std(trial, 2 * n_classes)
    drawn[2 * n_classes :] *= trial.init_scale * deep_std(trial, trial.width)
    return drawn


def initial_hidden(trial: Trial) -> list[torch.Tensor]:
    """Draw the weights between hidden layers of an MLP, each (N, N) in float32; none for two layers of weights."""
    shape, scale = (trial.width, trial.width), trial.init_scale * deep_std(trial, trial.width)
    drawn = (
        stream("initial_hidden", trial.seed, layer, *shape).standard_normal(shape, dtype="float32")
        for layer in range(trial.depth - 2)
    )
    return [torch.from_numpy(weights) * scale for weights in drawn]
