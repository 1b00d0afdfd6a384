"""Curves: the quantities of trials over their recorded steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from phasemap.study.names import ACCURACIES, QUANTITIES

__all__ = ["ACCURACIES", "QUANTITIES", "Curves", "Floats"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """The curves of n trials that were recorded at the same T steps."""

    steps: NDArray[np.int64]  # (T,) rising
    values: Mapping[str, Floats]  # quantity -> (n, T)
    corruption: Floats  # (n,) the nominal share of corrupted labels
    n_corrupted: NDArray[np.int64]  # (n,) labels that are really wrong
    facts: Mapping[str, Floats] = field(default_factory=dict)  # other settings and facts by name, (n,) each

    def fact(self, name: str) -> Floats:
        """Return a setting or a fact (n,); KeyError where it is not known."""
        known = {"corruption": self.corruption, "n_corrupted": self.n_corrupted, **self.facts}
        return np.asarray(known[name], dtype=float)

    def until(self, step: int) -> Curves:
        """Return the curves as they were at an earlier horizon; ValueError if nothing was recorded by then."""
        kept = int(np.searchsorted(self.steps, step, side="right"))
        if kept == 0:
            raise ValueError(f"nothing was recorded at or before step {step}; the first record is {self.steps[0]}")
        return Curves(
            steps=self.steps[:kept],
            values={name: value[:, :kept] for name, value in self.values.items()},
            corruption=self.corruption,
            n_corrupted=self.n_corrupted,
            facts=self.facts,
        )

    def __len__(self) -> int:
        return len(self.corruption)
