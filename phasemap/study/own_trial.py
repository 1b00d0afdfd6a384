"""One network to train that takes something from a user's files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from phasemap.study.networks import NetworkTrial
from phasemap.study.own_parts import Part, Parts


@dataclass(frozen=True, kw_only=True)
class OwnTrial(NetworkTrial):
    """A network with parts of a user: phasemap's settings that don't apply are at their default."""

    parts: Parts
    own: tuple[tuple[str, Any], ...]  # the settings of the parts

    __hash__ = NetworkTrial.__hash__

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting's value by its flat name."""
        own = dict(self.own)
        return {name: own[name] if name in own else self.values[name] for name in self.parts.declared}

    @property
    def shape(self) -> tuple[Any, ...]:
        """What all trials of a pack must have in common: also the settings of all parts but an optimizer's."""
        optimizer = self.parts.get("optimizer")
        free = optimizer.names if optimizer else ()
        static = tuple((name, value) for name, value in self.own if name not in free)
        dropout = self.dropout if self.parts.get("model") else 0.0
        shared: tuple[Any, ...] = super().shape
        return (*shared, static, dropout)

    @property
    def start(self) -> tuple[Any, ...]:
        """What trials have in common that are alike up to the first of their ``events``: also the parts' settings."""
        return (*super().start, self.own)

    @property
    def explicit(self) -> bool:
        """Whether a closed-form gradient covers the network: never where a user's code computes a part of it."""
        return not self.parts.code and super().explicit

    def values_of(self, part: Part) -> dict[str, Any]:
        """Return what a part's code is called with, by the names of its parameters."""
        own = dict(self.own)
        heard = {"learning_rate": self.step_size, "weight_decay": self.weight_decay, "dropout": self.dropout}
        return {name: own[name] for name in part.names} | {name: heard[setting] for name, setting in part.hears}
