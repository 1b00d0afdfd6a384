"""A trial: its program's settings and a seed; and what its id is made of: these but for settings at a default."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training from start to end: a program's, with every setting resolved, and a seed."""

    trial_id: str  # a hash of its program, settings and seed
    seed: int  # what all its random streams start from
    values: Mapping[str, Any]  # of its settings, by their flat names

    def __hash__(self) -> int:
        return hash(self.trial_id)

    def __str__(self) -> str:
        """Name the trial as a person would look for it."""
        return f"{self.trial_id} (seed {self.seed})"

    @property
    def settings(self) -> Mapping[str, Any]:
        """Every setting's value by its flat name."""
        return self.values

    @property
    def shape(self) -> tuple[Any, ...]:
        """What all trials of a pack must have in common: nothing, where they run one after the other."""
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What the ids of a program's trials have in common, and the settings that they leave out."""

    constant: Mapping[str, Any] = field(default_factory=dict)  # hashed into every id
    defaults: Mapping[str, Any] = field(default_factory=dict)  # values that are left out, so that new ones change none

    def trial_id(self, settings: Mapping[str, Any], seed: int) -> str:
        """Hash a resolved trial into 16 hexadecimal digits."""
        content = {name: value for name, value in settings.items() if not self._left_out(name, value)}
        return _digest(json.dumps({"seed": seed, **self.constant, **content}, sort_keys=True, separators=(",", ":")))

    def grid_ids(
        self, fixed: Mapping[str, Any], axes: Mapping[str, Sequence[Any]], seeds: Sequence[int]
    ) -> Iterator[str]:
        """Yield the ids of a whole grid, the last axis faster than those before it and the seeds fastest.

        What ``trial_id`` hashes is put together from one piece of text for every value of every axis.
        """
        alternatives = {name: [self._piece(name, value)] for name, value in fixed.items()}
        alternatives |= {name: [_piece(name, value)] for name, value in self.constant.items()}
        alternatives |= {name: [self._piece(name, value) for value in values] for name, values in axes.items()}
        alternatives["seed"] = [_piece("seed", seed) for seed in seeds]
        order = [*axes, "seed"]
        template = "".join(
            f"{{{order.index(name)}}}" if name in order else _escaped(alternatives[name][0])
            for name in sorted(alternatives)
        )
        for chosen in itertools.product(*(alternatives[name] for name in order)):
            yield _digest("{" + template.format(*chosen)[:-1] + "}")

    def _left_out(self, name: str, value: Any) -> bool:
        return name in self.defaults and bool(value == self.defaults[name])

    def _piece(self, name: str, value: Any) -> str:
        return "" if self._left_out(name, value) else _piece(name, value)


def _piece(name: str, value: Any) -> str:
    """Return a value's part of the text that is hashed, with a comma."""
    return json.dumps({name: value}, sort_keys=True, separators=(",", ":"))[1:-1] + ","


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
