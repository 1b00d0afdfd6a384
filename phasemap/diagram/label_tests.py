"""Do the labels of two groups of seeds differ by more than the seeds do among themselves?

Every test compares the seeds' outcomes per point. ``exact_point_test`` looks at one point. A whole map is compared by
the sum over its points of the distance between the two groups' shares of labels (total variation), in two ways that
both must reject:

- ``seed_test`` deals whole seeds out to the groups anew, because the points of a seed are correlated;
- ``map_test`` deals the labels out anew within each point, because a difference in one or two noisy points is none.

With three seeds a side there are only ten ways to deal seeds out, so that no permutation test can reject at 5 %. Up to
FEWEST_SPLITS ways the observed distance is therefore judged by a t prediction interval from the other ways; how often
this cries wolf is measured in docs/decisions/0008.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import multivariate_hypergeom, t

from phasemap.diagram.frontier import Floats

MOST_SPLITS = 1000
FEWEST_SPLITS = 99
DRAWS = 1999
TIE = 1 + 1e-9  # probabilities and distances that differ by rounding are equal

Counts = NDArray[np.int64]


def label_counts(outcomes: NDArray[np.object_], names: Sequence[str]) -> Counts:
    """Count outcomes (S, P) per seed, point and name: (S, P, K) of zeros and ones; null is in none."""
    return np.stack([(outcomes == name) for name in names], axis=-1).astype(np.int64)


def distances(a: Counts, b: Counts) -> Floats:
    """Return the total variation (..., P) between two groups' shares of labels, from counts (..., P, K).

    It is 0 where a group has no label at all.
    """
    n_a, n_b = a.sum(axis=-1, keepdims=True), b.sum(axis=-1, keepdims=True)
    gap = np.abs(a / np.maximum(n_a, 1) - b / np.maximum(n_b, 1)).sum(axis=-1) / 2
    return np.where((n_a[..., 0] > 0) & (n_b[..., 0] > 0), gap, 0.0)


@cache
def _null(totals: tuple[int, ...], n_a: int) -> tuple[Floats, Floats, Counts]:
    """Return (distances, probabilities, first groups' counts) of all ways to deal labels out to a group of n_a."""
    ways = [w for w in itertools.product(*(range(m + 1) for m in totals)) if sum(w) == n_a]
    a = np.asarray(ways, dtype=np.int64)
    probability = np.atleast_1d(multivariate_hypergeom.pmf(a, m=np.asarray(totals), n=n_a))
    return distances(a, np.asarray(totals) - a), probability / probability.sum(), a


def _pattern(a: Counts, b: Counts) -> tuple[tuple[int, ...], int]:
    totals = a + b
    return tuple(totals[totals > 0].tolist()), int(a.sum())


def exact_point_test(a: Counts, b: Counts) -> float:
    """Return the two-sided p-value of Fisher's exact test (Freeman & Halton's for several labels) on counts (K,)."""
    totals, n_a = _pattern(a, b)
    if not totals or n_a in (0, sum(totals)):
        return 1.0
    _, probability, ways = _null(totals, n_a)
    seen = (ways == a[(a + b) > 0]).all(axis=1)
    return float(min(1.0, probability[probability <= probability[seen] * TIE].sum()))


def map_test(a: Counts, b: Counts) -> float:
    """Return the p-value of the summed distance of counts (P, K), dealing labels out anew within each point."""
    observed = distances(a, b).sum()
    random = np.random.default_rng(0)
    drawn = np.zeros(DRAWS)
    for one, other in zip(a, b, strict=True):
        totals, n_a = _pattern(one, other)
        if len(totals) > 1 and 0 < n_a < sum(totals):
            distance, probability, _ = _null(totals, n_a)
            drawn += random.choice(distance, p=probability, size=DRAWS)
    return float((1 + (drawn * TIE >= observed).sum()) / (1 + DRAWS))


def seed_test(a: Counts, b: Counts) -> float | None:
    """Return the p-value of the summed distance of counts (S, P, K), dealing whole seeds out anew.

    None where there are fewer than two other ways to deal them out.
    """
    both = np.concatenate([a, b])
    varies = (both.sum(axis=0) > 0).sum(axis=1) > 1  # elsewhere the distance is 0 in every way
    both, n_a = both[:, varies], len(a)
    total = both.sum(axis=0)
    observed = distances(a[:, varies].sum(axis=0), b[:, varies].sum(axis=0)).sum()
    others = []
    for group in _other_splits(len(both), n_a):
        first = both[list(group)].sum(axis=0)
        others.append(distances(first, total - first).sum())
    return _against(observed, np.asarray(others))


def _against(observed: float, others: Floats) -> float | None:
    """Judge an observed distance by those of other splits: by its rank, or by a t prediction where they are few."""
    m = len(others)
    if m >= FEWEST_SPLITS:
        return float((1 + (others * TIE >= observed).sum()) / (1 + m))
    if m < 2:
        return None
    spread = float(np.std(others, ddof=1)) * math.sqrt(1 + 1 / m)
    gap = observed - float(np.mean(others))
    if spread == 0:
        return 0.0 if gap > 0 else 1.0
    return float(t.sf(gap / spread, m - 1))


def _other_splits(n: int, n_a: int) -> list[tuple[int, ...]]:
    """List the ways to choose the first group's seeds, without the observed one; all, or a fixed random sample."""
    seen = tuple(range(n_a))
    if math.comb(n, n_a) <= MOST_SPLITS:
        ways = [group for group in itertools.combinations(range(n), n_a) if group != seen]
        return [group for group in ways if group[0] == 0] if 2 * n_a == n else ways  # else each split stands twice
    random = np.random.default_rng(n)
    drawn = {tuple(sorted(random.permutation(n)[:n_a].tolist())) for _ in range(MOST_SPLITS)}
    return sorted(drawn - {seen, tuple(range(n_a, n))})
