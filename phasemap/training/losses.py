"""The losses, per example, and what they and the answers say of a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
import torch.nn.functional as F

from phasemap.study.networks import NetworkTrial
from phasemap.study.own_code import code_of
from phasemap.study.own_parts import OwnTrial
from phasemap.training.networks import named_norms
from phasemap.training.recording import Evaluation


def mse(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return each example's squared error to its one-hot target, a mean over classes: (B,) from scores (B, C)."""
    one = torch.full((len(targets), 1), -1.0, dtype=scores.dtype, device=scores.device)  # taken off at the targets
    return scores.scatter_add(1, targets[:, None], one).square().mean(dim=1)


def cross_entropy(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return each example's cross entropy: (B,) from scores (B, C)."""
    return F.cross_entropy(scores, targets, reduction="none")


def stablemax(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return each example's cross entropy by stablemax (Prieto et al. 2501.04697): (B,) from scores (B, C).

    In place of exp(x) stands x + 1 from 0 on, and 1 / (1 - x) below.
    """
    logs = torch.where(scores < 0, -torch.log1p(-scores.clamp(max=0)), torch.log1p(scores.clamp(min=0)))
    return F.cross_entropy(logs, targets, reduction="none")


def hinge(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return each example's hinge loss with margin 1 to the best other class: (B,) from scores (B, C).

    (Crammer and Singer 2001; of two classes max(0, 1 - y f) with f the difference of their scores.)
    """
    at_target = scores.gather(1, targets[:, None])[:, 0]
    others = scores.scatter(1, targets[:, None], -torch.inf).amax(dim=1)
    return torch.clamp(1 + others - at_target, min=0)


Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
LOSSES: dict[str, Loss] = {"mse": mse, "cross_entropy": cross_entropy, "stablemax": stablemax, "hinge": hinge}


def loss_of(trial: NetworkTrial) -> Loss:
    """Return a trial's loss of its network's scores: phasemap's, or a user's with its settings."""
    part = trial.parts.get("loss") if isinstance(trial, OwnTrial) else None
    if part is None or not isinstance(trial, OwnTrial):
        loss = LOSSES[trial.loss]
    else:
        loss = partial(code_of(part), **trial.values_of(part))
    factor = trial.scores_factor
    return loss if factor == 1.0 else lambda scores, targets: loss(scores * factor, targets)


def evaluation(predicted: torch.Tensor, losses: torch.Tensor, n_train: int, norms: Mapping[str, float]) -> Evaluation:
    """Put one network's answers and losses (M,), training examples first, together; losses are averaged in float64."""
    losses = losses.double()
    return Evaluation(
        predicted=predicted.cpu().numpy(),
        train_loss=float(losses[:n_train].mean()),
        test_loss=float(losses[n_train:].mean()),
        norms=norms,
    )


def evaluations(
    predicted: torch.Tensor, losses: torch.Tensor, n_train: int, weights: Sequence[Mapping[str, torch.Tensor]]
) -> list[Evaluation]:
    """Put answers and losses (K, M) of K networks and their weights together, by two downloads from their device."""
    numbers = []
    for answers, parts in zip(losses.double(), weights, strict=True):
        norms = [part.double().norm() for part in parts.values()]
        numbers.append(torch.stack([answers[:n_train].mean(), answers[n_train:].mean(), *norms]))
    rows = zip(predicted.cpu().numpy(), torch.stack(numbers).tolist(), weights, strict=True)
    return [
        Evaluation(
            predicted=classes, train_loss=train, test_loss=test, norms=named_norms(dict(zip(parts, norms, strict=True)))
        )
        for classes, (train, test, *norms), parts in rows
    ]
