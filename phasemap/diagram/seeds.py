"""A run's trials laid out by seed and point, and maps of resampled seeds.

Points of one seed share their split, wrong labels and initial weights, so they are correlated: what is said about the
spread of a map resamples whole seeds, never single trials.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phasemap.diagram.frontier import Floats, MapFrontier, generalization_wins, map_frontiers
from phasemap.phases.built_in import N_CLASSES, N_CORRUPTED
from phasemap.study.spec import Study
from phasemap.study.trials import grid_ids

ALL_RESAMPLES = 200  # up to this many different resamples all are taken, else N_RESAMPLES at random
N_RESAMPLES = 300


def by_seed(study: Study, trials: pd.DataFrame, columns: Iterable[str]) -> dict[str, NDArray[Any]]:
    """Return columns as arrays (S, P) of seeds by points in the study's order; null where it did not end ``ok``."""
    ok = trials[trials["status"] == "ok"].set_index("trial_id").reindex(grid_ids(study))
    return {name: ok[name].to_numpy().reshape(-1, len(study.seeds)).T for name in columns}


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedMaps:
    """The quantities behind frontiers, as arrays (S, P) with NaN where a trial did not end ``ok``."""

    ended: NDArray[np.bool_]  # (S, P) which trials ended ``ok``
    values: Mapping[str, Floats]

    @classmethod
    def of(cls, study: Study, trials: pd.DataFrame, frontiers: Sequence[MapFrontier] | None = None) -> SeedMaps:
        """Lay out what frontiers, by default those of the study, need of its trials."""
        wanted = map_frontiers(study) if frontiers is None else frontiers
        names = dict.fromkeys(name for one in wanted for name in (*one.quantities, *one.facts))
        columns = by_seed(study, trials, ["status", *names])
        ended = np.asarray(pd.notna(columns.pop("status")), dtype=bool)
        return cls(ended=ended, values={name: values.astype(float) for name, values in columns.items()})

    def chosen(self, places: Sequence[int]) -> SeedMaps:
        """Return the maps of some seeds, by their places."""
        values = {name: values[list(places)] for name, values in self.values.items()}
        return SeedMaps(ended=self.ended[list(places)], values=values)

    @property
    def n_seeds(self) -> int:
        """The number of seeds that have any result."""
        return int(self.ended.any(axis=1).sum())

    def means(self, frontier: MapFrontier, weights: Floats) -> dict[str, NDArray[Any]]:
        """Average a frontier's quantities over the seeds with weights (R, S): columns (R, P)."""
        return {name: _means(self.values[name], weights) for name in frontier.quantities}

    def wins(self, frontier: MapFrontier, *, pooled: bool = True) -> NDArray[np.str_]:
        """Tell whether the first side of a tested frontier wins: (P,) over all seeds, as ``point_table`` does, or of
        each trial (S, P).
        """
        corrupted = np.nan_to_num(self.values[N_CORRUPTED])
        classes = self.values[N_CLASSES]
        counts = [*(np.round(np.nan_to_num(self.values[name]) * corrupted) for name in frontier.quantities), corrupted]
        if pooled:
            classes, counts = np.fmax.reduce(classes, axis=0), [count.sum(axis=0) for count in counts]
        right, wrong, n = (count.astype(np.int64) for count in counts)
        return generalization_wins(right, wrong, n, 1.0 / np.nan_to_num(classes, nan=1.0))


def _means(values: Floats, weights: Floats) -> Floats:
    """Average values (S, P) over the seeds with weights (R, S), leaving out what is NaN."""
    with np.errstate(invalid="ignore"):
        mean: Floats = (weights @ np.nan_to_num(values)) / (weights @ np.isfinite(values).astype(float))
    return mean


def resamples(n: int) -> tuple[Floats, Floats]:
    """Return bootstrap resamples of n seeds: how often each was drawn (R, n), and the probabilities (R,) of them.

    With few seeds these are all there are; else a fixed random sample, so that the same run gives the same numbers.
    """
    if math.comb(2 * n - 1, n) <= ALL_RESAMPLES:
        drawn = list(itertools.combinations_with_replacement(range(n), n))
        counts = np.asarray([np.bincount(one, minlength=n) for one in drawn], dtype=float)
        ways = np.asarray([math.factorial(n) / math.prod(map(math.factorial, row)) for row in counts.astype(int)])
        return counts, ways / n**n
    random = np.random.default_rng(n)
    counts = random.multinomial(n, np.full(n, 1 / n), size=N_RESAMPLES).astype(float)
    return counts, np.full(N_RESAMPLES, 1 / N_RESAMPLES)
