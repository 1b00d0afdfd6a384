"""Initial weights: from the seed and the shapes alone."""

from __future__ import annotations

import torch

from phasemap.study.trials import Trial
from phasemap.tasks.streams import stream


def paper_std(width: int) -> float:
    """Return the paper's standard deviation for the two-layer MLP: variance (16 N)^(-2/3)."""
    return (16.0 * width) ** (-1 / 3)


def initial_mlp(trial: Trial, n_classes: int) -> torch.Tensor:
    """Draw the weights of f(m, n) = W phi(U e_m + V e_n) as (3 p, N): U transposed, V transposed, W, in float32."""
    shape = (3 * n_classes, trial.width)
    drawn = stream("initial_weights", trial.seed, *shape).standard_normal(shape, dtype="float32")
    return torch.from_numpy(drawn) * (trial.init_scale * paper_std(trial.width))
