"""Curves: the quantities of trials over their recorded steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """The curves of n trials that were recorded at the same T steps."""

    steps: NDArray[np.int64]  # (T,) rising
    values: Mapping[str, Floats]  # quantity -> (n, T)
    facts: Mapping[str, NDArray[Any]] = field(default_factory=dict)  # settings and facts by name, (n,) each
    n: int = 0  # trials, where nothing else is known of them

    def fact(self, name: str) -> Floats:
        """Return a setting or a fact (n,); KeyError where it is not known."""
        return np.asarray(self.facts[name], dtype=float)

    def until(self, step: int) -> Curves:
        """Return the curves as they were at an earlier horizon; ValueError if nothing was recorded by then."""
        kept = int(np.searchsorted(self.steps, step, side="right"))
        if kept == 0:
            raise ValueError(f"nothing was recorded at or before step {step}; the first record is {self.steps[0]}")
        return Curves(
            steps=self.steps[:kept],
            values={name: value[:, :kept] for name, value in self.values.items()},
            facts=self.facts,
            n=self.n,
        )

    def __len__(self) -> int:
        return max((len(known) for known in (*self.values.values(), *self.facts.values())), default=self.n)
