"""What kernels share that train one network after the other: on a CPU that is faster, and exact in any pack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch

from phasemap.training.optimizers import SGD, AdamW
from phasemap.training.recording import Evaluation


class OneNetwork(Protocol):
    """One network with its weights as a flat tensor or table, its optimizer and its examples."""

    weights: torch.Tensor

    @property
    def optimizer(self) -> AdamW | SGD:
        """The optimizer of the weights."""

    def train_step(self, step: int) -> None:
        """Take one step of the optimizer, counted from 1."""

    def evaluate(self) -> Evaluation:
        """Answer all examples with dropout off."""

    def named_weights(self) -> dict[str, torch.Tensor]:
        """Return the weights by name."""


class OneByOneKernel:
    """K networks of one shape, each with arrays and arithmetic of its own; see ``Kernel``."""

    def __init__(self, networks: Sequence[OneNetwork]) -> None:
        self.networks = networks

    @torch.no_grad()
    def advance(self, members: Sequence[int], after: int, until: int) -> None:
        """Train the given networks from step ``after`` to step ``until``."""
        for member in members:
            network = self.networks[member]
            for step in range(after + 1, until + 1):
                network.train_step(step)

    @torch.no_grad()
    def evaluate(self, members: Sequence[int]) -> list[Evaluation]:
        """Answer all examples with dropout off."""
        return [self.networks[member].evaluate() for member in members]

    def weights(self, member: int) -> dict[str, torch.Tensor]:
        """Return one network's weights by name."""
        return self.networks[member].named_weights()

    def state(self) -> list[dict[str, Any]]:
        """Return what a checkpoint needs, one entry a network."""
        return [{"weights": n.weights.clone(), **n.optimizer.state()} for n in self.networks]

    def load(self, state: list[dict[str, Any]]) -> None:
        """Continue from a checkpoint."""
        for network, saved in zip(self.networks, state, strict=True):
            network.weights.copy_(saved["weights"])
            network.optimizer.load(saved)
