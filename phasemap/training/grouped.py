"""What kernels share: a pack's networks in groups that are trained and asked together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol, TypeVar

import torch

from phasemap.training.inside import Seen
from phasemap.training.optimizers import Optimizer, saved
from phasemap.training.precision import rounding
from phasemap.training.recording import Evaluation

Told = TypeVar("Told")


class Group(Protocol):
    """Networks whose arrays stand in common tensors; a group may be one network."""

    weights: torch.Tensor

    @property
    def members(self) -> Sequence[int]:
        """Indices of the networks into the pack."""

    @property
    def optimizers(self) -> Sequence[Optimizer]:
        """The optimizers of the weights, in order."""

    def train_step(self, step: int) -> None:
        """Take one step with every network, counted from 1."""

    def evaluate(self) -> list[Evaluation]:
        """Answer all examples with every network, dropout off."""

    def named_weights(self, index: int) -> dict[str, torch.Tensor]:
        """Return the weights of the group's network ``index`` by name."""


class GroupedKernel:
    """K networks of one shape, group after group; see ``Kernel``."""

    name: str

    def __init__(self, groups: Sequence[Group], *, precision: str = "full") -> None:
        self.groups, self._precision = groups, precision

    @torch.no_grad()
    def advance(self, members: Sequence[int], after: int, until: int) -> None:
        """Train every group that holds one of the given networks from step ``after`` to step ``until``.

        A stopped network in such a group goes on too: what it computes is not used, and reaches no other network.
        """
        with rounding(self._precision):
            for group in self._groups_of(members):
                for step in range(after + 1, until + 1):
                    group.train_step(step)

    @torch.no_grad()
    def evaluate(self, members: Sequence[int]) -> list[Evaluation]:
        """Answer all examples with dropout off."""
        return self._asked(members, lambda group: group.evaluate())

    def record(self, members: Sequence[int], step: int, wanted: Collection[str]) -> list[tuple[Evaluation, Seen]]:
        """Answer all examples, and tell what was seen inside on the way of what is ``wanted``: here, nothing."""
        del step, wanted
        return [(evaluation, Seen()) for evaluation in self.evaluate(members)]

    def ends(self, members: Sequence[int]) -> list[Seen]:
        """Tell what was seen inside the trained networks of what a table of trials shows: here, nothing."""
        return [Seen() for _ in members]

    def weights(self, member: int) -> dict[str, torch.Tensor]:
        """Return one network's weights by name; a two-layer MLP's U and V as (N, p)."""
        (group,) = self._groups_of([member])
        return group.named_weights(group.members.index(member))

    def state(self) -> list[dict[str, Any]]:
        """Return what a checkpoint needs, one entry a group, on the CPU."""
        return [{"weights": saved(g.weights), "optimizers": [o.state() for o in g.optimizers]} for g in self.groups]

    def load(self, state: list[dict[str, Any]]) -> None:
        """Continue from a checkpoint."""
        for group, kept in zip(self.groups, state, strict=True):
            group.weights.copy_(kept["weights"])
            for optimizer, values in zip(group.optimizers, kept["optimizers"], strict=True):
                optimizer.load(values)

    def _asked(self, members: Sequence[int], ask: Callable[[Group], list[Told]]) -> list[Told]:
        """Ask each group that holds one of the given networks, and return what it tells of these."""
        told: dict[int, Told] = {}
        for group in self._groups_of(members):
            told |= dict(zip(group.members, ask(group), strict=True))
        return [told[member] for member in members]

    def _groups_of(self, members: Sequence[int]) -> list[Group]:
        wanted = set(members)
        return [group for group in self.groups if wanted.intersection(group.members)]


def by_training_size(sizes: Sequence[int], at_once: Callable[[int], int]) -> list[list[int]]:
    """Put networks with equally many training examples together, at most ``at_once(size)`` a group; in order."""
    alike: dict[int, list[int]] = {}
    for member, size in enumerate(sizes):
        alike.setdefault(size, []).append(member)
    return [
        members[i : i + at_once(size)] for size, members in alike.items() for i in range(0, len(members), at_once(size))
    ]
