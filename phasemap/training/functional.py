"""The general kernel: any PyTorch module, vectorized over networks with torch.func (functional_call and vmap).

Networks with equally many training examples form one group of stacked weights; so no network's rows are padded for the
sake of a neighbour.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.func import functional_call, grad, vmap

from phasemap.study.trials import Trial
from phasemap.tasks.examples import Examples
from phasemap.training.dropout import DropoutMasks
from phasemap.training.networks import build_network
from phasemap.training.optimizers import OPTIMIZERS, OptimizerSettings
from phasemap.training.recording import Evaluation

Parameters = dict[str, torch.Tensor]


class FunctionalKernel:
    """K networks of one architecture, as groups of stacked weights."""

    def __init__(self, trials: Sequence[Trial], examples: Sequence[Examples], device: torch.device) -> None:
        sizes: dict[int, list[int]] = {}
        for member, seen in enumerate(examples):
            sizes.setdefault(len(seen.train), []).append(member)
        self.groups = [
            _Group(members, [trials[m] for m in members], [examples[m] for m in members], device)
            for members in sizes.values()
        ]

    def advance(self, members: Sequence[int], after: int, until: int) -> None:
        """Train every group that holds one of the given networks from step ``after`` to step ``until``.

        A stopped network in such a group goes on too: what it computes is not used, and reaches no other network.
        """
        for group in self._groups_of(members):
            for step in range(after + 1, until + 1):
                group.train_step(step)

    @torch.no_grad()
    def evaluate(self, members: Sequence[int]) -> list[Evaluation]:
        """Answer all examples with dropout off."""
        found: dict[int, Evaluation] = {}
        for group in self._groups_of(members):
            found |= dict(zip(group.members, group.evaluate(), strict=True))
        return [found[member] for member in members]

    def weights(self, member: int) -> dict[str, torch.Tensor]:
        """Return one network's weights by name; a two-layer MLP's U and V as (N, p)."""
        for group in self.groups:
            if member in group.members:
                return group.named_weights(group.members.index(member))
        raise IndexError(member)

    def state(self) -> list[dict[str, Any]]:
        """Return what a checkpoint needs, one entry a group."""
        return [{"weights": g.weights.clone(), **g.optimizer.state()} for g in self.groups]

    def load(self, state: list[dict[str, Any]]) -> None:
        """Continue from a checkpoint."""
        for group, saved in zip(self.groups, state, strict=True):
            group.weights.copy_(saved["weights"])
            group.optimizer.load(saved)

    def _groups_of(self, members: Sequence[int]) -> list[_Group]:
        return [group for group in self.groups if set(group.members) & set(members)]


class _Group:
    """K networks with equally many training examples: weights (K, P), one flat row a network."""

    def __init__(
        self,
        members: Sequence[int],
        trials: Sequence[Trial],
        examples: Sequence[Examples],
        device: torch.device,
    ) -> None:
        data = examples[0].dataset
        self.members, self.n_train = list(members), len(examples[0].train)
        networks = [build_network(trial, data.n_classes) for trial in trials]
        self.module = networks[0].to(device)
        self.shapes = {name: p.shape for name, p in self.module.named_parameters()}
        flat = [torch.cat([p.detach().reshape(-1) for p in n.parameters()]) for n in networks]
        self.weights = torch.stack(flat).to(device)  # (K, P)

        def column(name: str) -> torch.Tensor:
            return torch.tensor([[getattr(t, name)] for t in trials], dtype=torch.float32, device=device)

        self.optimizer = OPTIMIZERS[trials[0].optimizer](
            self.weights,
            OptimizerSettings(
                learning_rate=column("learning_rate"),
                weight_decay=column("weight_decay"),
                betas=trials[0].betas,
                eps=trials[0].eps,
                momentum=trials[0].momentum,
            ),
        )
        orders = [np.concatenate([e.train, e.test]) for e in examples]
        targets = [np.concatenate([e.given, data.labels[e.test]]) for e in examples]
        self.inputs = torch.from_numpy(data.inputs[np.stack(orders)]).to(device)  # (K, M, 2)
        self.targets = torch.from_numpy(np.stack(targets)).to(device)  # (K, M)
        self.masks = [DropoutMasks(seed=t.seed, rate=t.dropout, width=(t.depth - 1) * t.width) for t in trials]
        self._dropout = any(trial.dropout for trial in trials)
        self._losses: Callable[..., torch.Tensor] = _mse if trials[0].loss == "mse" else _cross_entropy
        self._gradients = vmap(grad(self._mean_loss), in_dims=(0, 0, 0, 0 if self._dropout else None))
        self._answers = vmap(lambda weights, inputs: functional_call(self.module, self._unflatten(weights), (inputs,)))

    def train_step(self, step: int) -> None:
        """Take one step of full-batch AdamW with every network, counted from 1."""
        inputs, targets = self.inputs[:, : self.n_train], self.targets[:, : self.n_train]
        mask = self._mask(step)
        gradients = self._gradients(self.weights, inputs, targets, mask)
        with torch.no_grad():
            self.optimizer.step(gradients, step)

    def _mean_loss(
        self, weights: torch.Tensor, inputs: torch.Tensor, targets: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        return self._losses(functional_call(self.module, self._unflatten(weights), (inputs, mask)), targets).mean()

    def _mask(self, step: int) -> torch.Tensor | None:
        """Return (K, B, layers N) masks of 0 and the dropout scale, or None where no network has dropout."""
        if not self._dropout:
            return None
        masks = [m.mask(m.numbers(step, self.n_train)) * m.scale for m in self.masks]
        return torch.stack(masks).to(self.weights.device)

    def evaluate(self) -> list[Evaluation]:
        """Answer all examples with every network."""
        scores = self._answers(self.weights, self.inputs)  # (K, M, p)
        losses = vmap(self._losses)(scores, self.targets).double()  # (K, M)
        predicted = scores.argmax(dim=2).cpu().numpy()
        return [
            Evaluation(
                predicted=predicted[i],
                train_loss=float(losses[i, : self.n_train].mean()),
                test_loss=float(losses[i, self.n_train :].mean()),
                norms=self.norms(i),
            )
            for i in range(len(self.members))
        ]

    def norms(self, index: int) -> dict[str, float]:
        """Return the Frobenius norm of all weights, and of a two-layer MLP's parts."""
        parts = self._unflatten(self.weights[index].double())
        by_part = {f"weight_norm_{n.lower()}": float(w.norm()) for n, w in parts.items()} if len(parts) == 3 else {}
        return by_part | {"weight_norm": float(self.weights[index].double().norm())}

    def named_weights(self, index: int) -> Parameters:
        """Return one network's weights; U and V as (N, p)."""
        parts = self._unflatten(self.weights[index])
        return {name: w.t() if name in ("U", "V") else w for name, w in parts.items()}

    def _unflatten(self, weights: torch.Tensor) -> Parameters:
        parts = weights.split([shape.numel() for shape in self.shapes.values()])
        return {name: part.view(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}


def _mse(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return each example's squared error, a mean over classes: (B,) from scores (B, C)."""
    target = (targets[:, None] == torch.arange(scores.shape[1], device=scores.device)).to(scores.dtype)
    return (scores - target).square().mean(dim=1)


def _cross_entropy(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(scores, targets, reduction="none")
