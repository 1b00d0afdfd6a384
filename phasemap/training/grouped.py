"""What kernels share: a pack's networks in groups that are trained and asked together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import torch

from phasemap.study.networks import NetworkTrial
from phasemap.tasks.examples import Examples
from phasemap.training.cuda import rounding
from phasemap.training.inside import Seen
from phasemap.training.optimizers import Optimizer, saved
from phasemap.training.recording import Evaluation

Answer = TypeVar("Answer")


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
    """K networks of one shape that are trained and asked group after group; ``members`` are indices into the pack."""

    name: str  # as it stands in shards and checkpoints

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

    def network_states(self, members: Sequence[int]) -> list[dict[str, Any]]:
        """Return each network's part of ``state``, which knows nothing of its group."""
        found: dict[int, dict[str, Any]] = {}
        for group, kept in zip(self.groups, self.state(), strict=True):
            found |= {member: _part(kept, len(group.members), index) for index, member in enumerate(group.members)}
        return [found[member] for member in members]

    def put_states(self, states: Mapping[int, Mapping[str, Any]]) -> None:
        """Continue networks, by their indices into the pack, from what ``network_states`` returned."""
        every = self.state()
        for group, kept in zip(self.groups, every, strict=True):
            for index, member in enumerate(group.members):
                if member in states:
                    _put_part(kept, len(group.members), index, states[member])
        self.load(every)

    def _asked(self, members: Sequence[int], ask: Callable[[Group], list[Answer]]) -> list[Answer]:
        """Ask each group that holds one of the given networks, and return what it tells of these."""
        told: dict[int, Answer] = {}
        for group in self._groups_of(members):
            told |= dict(zip(group.members, ask(group), strict=True))
        return [told[member] for member in members]

    def _groups_of(self, members: Sequence[int]) -> list[Group]:
        wanted = set(members)
        return [group for group in self.groups if wanted.intersection(group.members)]


def _part(kept: Mapping[str, Any], networks: int, index: int) -> dict[str, Any]:
    """Return the part of one of a group's networks in the group's state; its tensors are flat."""
    each = networks // len(kept["optimizers"])
    optimizer = kept["optimizers"][index // each]
    if each > 1 or _flat(optimizer):
        optimizer = {name: value.view(each, -1)[index % each].clone() for name, value in optimizer.items()}
    weights = kept["weights"].view(networks, -1)[index].clone()
    return {**kept, "weights": weights, "optimizers": [optimizer]}


def _put_part(kept: dict[str, Any], networks: int, index: int, part: Mapping[str, Any]) -> None:
    """Put what ``_part`` returned in its place in a group's state."""
    each = networks // len(kept["optimizers"])
    (given,) = part["optimizers"]
    place = kept["optimizers"][index // each]
    if each > 1 or _flat(place):
        for name, value in place.items():
            value.view(each, -1)[index % each] = given[name]
    else:  # a user's, which has one instance for each network
        kept["optimizers"][index] = given
    kept["weights"].view(networks, -1)[index] = part["weights"]
    kept |= {name: value for name, value in part.items() if name not in ("weights", "optimizers")}


def _flat(optimizer: Mapping[str, Any]) -> bool:
    """Whether an optimizer's state are tensors by name, each with a value a weight."""
    return all(isinstance(value, torch.Tensor) for value in optimizer.values())


class SizedKernel(GroupedKernel):
    """K networks as groups of those with equally many training examples, each the arrays of its networks."""

    group: type[Any]  # of members, trials, examples and a device

    def __init__(self, trials: Sequence[NetworkTrial], examples: Sequence[Examples], device: torch.device) -> None:
        sizes = [len(seen.train) for seen in examples]
        groups = by_training_size(sizes, lambda size: self.at_once(trials, size))
        made = [self.group(g, [trials[m] for m in g], [examples[m] for m in g], device) for g in groups]
        super().__init__(made, precision=trials[0].precision)

    @staticmethod
    def at_once(trials: Sequence[NetworkTrial], n_train: int) -> int:
        """Return how many networks with so many training examples a group may have: all."""
        del n_train
        return len(trials)


def by_training_size(sizes: Sequence[int], at_once: Callable[[int], int]) -> list[list[int]]:
    """Put networks with equally many training examples together, at most ``at_once(size)`` a group; in order."""
    alike: dict[int, list[int]] = {}
    for member, size in enumerate(sizes):
        alike.setdefault(size, []).append(member)
    return [
        members[i : i + at_once(size)] for size, members in alike.items() for i in range(0, len(members), at_once(size))
    ]
