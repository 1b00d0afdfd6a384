"""Plans for GPUs: how many networks a card holds at once, how packs share it, and what a plan takes of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from phasemap.study.errors import UserError
from phasemap.study.identity import Trial
from phasemap.study.spec import ResourceSpec
from phasemap.study.trials import networks
from phasemap.training.cards import Card
from phasemap.training.costs import card_bytes, card_seconds, card_step

if TYPE_CHECKING:
    from phasemap.planning.packs import Pack

USABLE_SHARE = 0.85  # of a card's memory, for packs: PyTorch keeps pieces of it that fit nothing
CONTEXT_BYTES = 700_000_000  # that a process with CUDA takes of a card before it trains
MOST_NETWORKS = 2048  # of a pack: what is recorded of them is on the host at once
MOST_SHARING = 8  # packs at once on one card


def card_key(trial: Trial) -> str:
    """Name the kind of trials that take as much of a card as this one, but for the number of their examples."""
    (network,) = networks([trial])
    shape = network.shape if network.explicit else network.shape[:-1]  # without the data fraction
    return hashlib.sha256(repr((shape, network.dropout > 0)).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class CardCosts:
    """How many times more seconds and memory trials take on a kind of card than estimated, where it was measured."""

    seconds: Mapping[str, float] = field(default_factory=dict)  # by card_key
    memory: Mapping[str, float] = field(default_factory=dict)

    def seconds_of(self, trials: Sequence[Trial]) -> float:
        """Estimate a card's seconds for a pack."""
        return card_seconds(networks(trials)) * self.seconds.get(card_key(trials[0]), 1.0)

    def trial_bytes(self, trial: Trial) -> int:
        """Estimate a trial's memory on the card: as by shapes, or as measured where that is more.

        What is less is left: packs would be cut otherwise, and lose their checkpoints, for a few per cent.
        """
        return int(card_bytes(*networks([trial])) * max(1.0, self.memory.get(card_key(trial), 1.0)))


@dataclass(frozen=True, slots=True, kw_only=True)
class CardShare:
    """What a pack may take of a card: all of it, or the share that ``gpus_per_pack`` gives."""

    card: Card
    share: float = 1.0
    costs: CardCosts = field(default_factory=CardCosts)

    @classmethod
    def of(cls, card: Card, resources: ResourceSpec, costs: CardCosts) -> CardShare:
        """Return what packs get of a card; a pack trains on one, also where it is given several."""
        gpus = resources.gpus_per_pack
        return cls(card=card, share=1.0 if gpus == "auto" else min(1.0, float(gpus)), costs=costs)

    @property
    def memory(self) -> int:
        """The bytes for a pack's networks."""
        return max(0, int(USABLE_SHARE * self.share * self.card.memory) - CONTEXT_BYTES)

    def most(self, trials: Sequence[Trial]) -> int:
        """Return how many of some alike trials fit at once; UserError if one alone does not."""
        largest = max(map(self.costs.trial_bytes, trials))
        if largest > self.memory:
            share = "" if self.share == 1 else f", of which resources.gpus_per_pack gives {self.share:g}"
            raise UserError(
                f"trial {trials[0]} alone takes {largest / 1e9:.3g} GB of a GPU's memory, but {self.card}{share} has "
                f"room for {self.memory / 1e9:.3g} GB; allowed: a smaller width or batch_size, or device cpu"
            )
        return min(MOST_NETWORKS, self.memory // largest)

    def measured(self, packs: Sequence[Pack]) -> bool:
        """Whether the kinds of trials that take most of the work were measured on such a card."""
        longest = max(packs, key=lambda pack: card_seconds(networks(pack.trials)), default=None)
        return longest is not None and card_key(longest.trials[0]) in self.costs.seconds

    def pack_bytes(self, trials: Sequence[Trial]) -> int:
        """Estimate what a pack takes of a card, with its process."""
        return sum(map(self.costs.trial_bytes, trials)) + CONTEXT_BYTES

    def shared(self, packs: Sequence[Pack]) -> float:
        """Return the share of a card for each pack where a study leaves it open.

        A card whose steps are launched more slowly than it works on them has room for other packs' steps.
        """
        sharing = MOST_SHARING
        for pack in packs:
            launches, work = card_step(networks(pack.trials))
            fits = int(USABLE_SHARE * self.card.memory // self.pack_bytes(pack.trials))
            sharing = max(1, min(sharing, int(launches / work), fits))
        return 1 / sharing if packs else 1.0


def estimate_on_cards(
    packs: Sequence[Pack], resources: ResourceSpec, cpus: int, card_share: CardShare
) -> dict[str, float]:
    """Estimate wall seconds, GPU-hours and core-hours, and the memory of the fullest card."""
    gpus = gpus_each(packs, resources, card_share)
    slots = at_once(resources, min(int(card_share.card.count / gpus + 1e-9), int(cpus // resources.cpus_per_pack)))
    on_a_card = min(slots, max(1, int(1 / gpus + 1e-9)))
    bytes_each = [card_share.pack_bytes(pack.trials) for pack in packs]
    seconds = [card_share.costs.seconds_of(pack.trials) * _slower(pack, on_a_card) for pack in packs]
    return {
        "wall_seconds": wall_seconds(seconds, slots),
        "core_hours": sum(seconds) * resources.cpus_per_pack / 3600,
        "gpu_hours": sum(seconds) * gpus / 3600,
        "gpu_memory_bytes": float(sum(sorted(bytes_each)[-on_a_card:])),
        "slots": slots,
    }


def at_once(resources: ResourceSpec, room: int) -> int:
    """Return how many packs train at once on a machine that has room for so many: at least one."""
    slots = max(1, room)
    return slots if resources.max_concurrent == "auto" else min(slots, resources.max_concurrent)


def wall_seconds(costs: Iterable[float], slots: int) -> float:
    """Return when the last pack is done, where each goes, in their order, to the slot that is free first."""
    busy = [0.0] * slots
    for cost in costs:
        busy[busy.index(min(busy))] += cost
    return max(busy)


def gpus_each(packs: Sequence[Pack], resources: ResourceSpec, card_share: CardShare) -> float:
    """Return what each pack gets of a card, as the study says or as it was chosen."""
    return card_share.shared(packs) if resources.gpus_per_pack == "auto" else float(resources.gpus_per_pack)


def _slower(pack: Pack, sharing: int) -> float:
    """Return how many times longer a step takes where packs share a card whose work they fill."""
    launches, work = card_step(networks(pack.trials))
    return max(1.0, sharing * work / max(launches, work))
