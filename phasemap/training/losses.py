"""The losses, per example."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F


def mse(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return each example's squared error to its one-hot target, a mean over classes: (B,) from scores (B, C)."""
    target = (targets[:, None] == torch.arange(scores.shape[1], device=scores.device)).to(scores.dtype)
    return (scores - target).square().mean(dim=1)


def cross_entropy(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return each example's cross entropy: (B,) from scores (B, C)."""
    return F.cross_entropy(scores, targets, reduction="none")


LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {"mse": mse, "cross_entropy": cross_entropy}
