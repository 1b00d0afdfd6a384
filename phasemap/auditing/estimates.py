"""A measured number with its interval, from resampling trainings."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

CONFIDENCE = 0.95
DRAWS = 1000

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value with the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def within(self, least: float, most: float) -> Estimate:
        """Return the estimate cut to what its quantity can be; undefined numbers stay so."""
        value, low, high = (min(max(number, least), most) for number in (self.value, self.low, self.high))
        return Estimate(value=value, low=low, high=high)

    def as_json(self) -> dict[str, float | None]:
        """Return plain numbers, null where undefined."""
        return {name: None if math.isnan(value) else value for name, value in asdict(self).items()}


def of_rounds(values: ArrayLike) -> Estimate:
    """Return the mean of a measure over independent rounds of trainings, with Student's interval."""
    found = np.asarray(values, dtype=float)
    found = found[np.isfinite(found)]
    if not len(found):
        return Estimate(value=math.nan, low=math.nan, high=math.nan)
    mean = float(found.mean())
    error = float(stats.sem(found)) if len(found) > 1 else math.nan
    if not error > 0:
        return Estimate(value=mean, low=mean if error == 0 else math.nan, high=mean if error == 0 else math.nan)
    low, high = stats.t.interval(CONFIDENCE, len(found) - 1, loc=mean, scale=error)
    return Estimate(value=mean, low=float(low), high=float(high))


def of_shares(values: ArrayLike) -> Estimate:
    """Return the mean of a share (an accuracy, a rate) over rounds, with an interval that stays within 0 and 1."""
    return of_rounds(values).within(0.0, 1.0)


def of_draws(value: float, draws: ArrayLike) -> Estimate:
    """Return a value with the percentile interval of its bootstrap draws."""
    found = np.asarray(draws, dtype=float)
    found = found[np.isfinite(found)]
    if not len(found):
        return Estimate(value=value, low=math.nan, high=math.nan)
    low, high = np.quantile(found, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value=value, low=float(min(low, value)), high=float(max(high, value)))


def resampled(statistic: Callable[[NDArray[np.int64]], float], n: int, *, draws: int = DRAWS, seed: int = 0) -> Floats:
    """Return a statistic of n units under drawing them again with replacement: (draws,)."""
    source = np.random.default_rng(seed)
    return np.array([statistic(source.integers(n, size=n)) for _ in range(draws)])


def share(hits: int, n: int) -> Estimate:
    """Return a share of counted units with its exact (Clopper-Pearson) interval."""
    if not n:
        return Estimate(value=math.nan, low=0.0, high=1.0)
    found = stats.binomtest(hits, n)
    interval = found.proportion_ci(CONFIDENCE, method="exact")
    return Estimate(value=hits / n, low=float(interval.low), high=float(interval.high))
