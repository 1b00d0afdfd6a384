"""Compare the two sides of a claim over the seeds: their difference, its interval, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from phasemap.diagram.claim_terms import Unknown
from phasemap.diagram.frontier import Floats
from phasemap.study.expressions import COMPARISONS
from phasemap.study.values import SIGNIFICANT_DIGITS, rounded

Verdict = Literal["holds", "fails", "undecided"]

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One comparison of a claim: both sides and their difference, as means over the seeds."""

    left: float
    comparison: str
    right: float
    difference: float  # left - right
    # of the difference: two-sided 95 % interval over the seeds, None with one; over a search's map its least and most
    interval: tuple[float, float] | None
    verdict: Verdict
    coarse_step: float = 0.0  # in which a share moves, where that alone leaves the comparison undecided


def link_words(link: Link, n_seeds: int) -> str:
    """Write a comparison for people, as ``left 0.41 > right 0.02`` only where it holds; ``n_seeds`` is 0 over a map."""
    between = f" {link.comparison} " if link.verdict == "holds" else ", "
    interval = f" [{link.interval[0]:.4g}, {link.interval[1]:.4g}]" if link.interval else ""
    seeds = f"{n_seeds} seed{'s' if n_seeds > 1 else ''}" if n_seeds else "the map"
    return (
        f"left {link.left:.4g}{between}right {link.right:.4g}, difference {link.difference:.4g}{interval} over {seeds}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Possible:
    """What a difference can be at all: in which steps it moves (0: in none), and its least and most."""

    step: float
    low: float
    high: float

    def shown_by_trials(self, comparison: str) -> bool:
        """Tell whether a comparison says something of every single trial, or the opposite of that.

        ``area(...) >= 1`` and ``<= 0`` do: no interval could ever show them, and one exception refutes them for good.
        It shows the opposites, ``< 1`` and ``> 0``.
        """
        at_the_most, at_the_least = comparison in (">=", "<"), comparison in ("<=", ">")
        return bool(self.step and ((at_the_most and self.high == 0) or (at_the_least and self.low == 0)))


CONTINUOUS = Possible(step=0.0, low=-np.inf, high=np.inf)


def compare_sides(left: Floats, comparison: str, right: Floats, possible: Possible) -> Link:
    """Compare two sides (S,) over the seeds."""
    with np.errstate(invalid="ignore"):
        difference = left - right
    if np.isnan(difference).any():
        raise Unknown("step times on both sides are not reached")
    scale = np.maximum(np.abs(left), np.abs(right))
    equal = np.isfinite(scale) & (np.abs(difference) <= 10.0**-SIGNIFICANT_DIGITS * scale)
    difference = np.where(equal, 0.0, difference)
    mean = float(np.mean(difference))
    by_trials = possible.shown_by_trials(comparison)
    plain = _interval(difference)
    interval = plain if by_trials and mean == 0 else _interval(difference, possible)
    verdicts = [_verdict(comparison, *(ends or (mean, mean))) for ends in (interval, plain)]
    if by_trials:
        verdicts[0] = _verdict(comparison, mean, mean)
    return Link(
        left=rounded(float(np.mean(left))),
        comparison=comparison,
        right=rounded(float(np.mean(right))),
        difference=rounded(mean),
        interval=interval and (rounded(interval[0]), rounded(interval[1])),
        verdict=verdicts[0],
        coarse_step=possible.step if verdicts[0] == "undecided" != verdicts[1] else 0.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What a map says of a side: its value, and the least and the most that it may be."""

    value: float
    low: float
    high: float


def compare_ranges(left: Range, comparison: str, right: Range) -> Link:
    """Compare two sides by the ranges that they may be in."""
    low, high = left.low - right.high, left.high - right.low
    return Link(
        left=rounded(left.value),
        comparison=comparison,
        right=rounded(right.value),
        difference=rounded(left.value - right.value),
        interval=(rounded(low), rounded(high)),
        verdict=_verdict(comparison, low, high),
    )


def _interval(difference: Floats, possible: Possible = CONTINUOUS) -> tuple[float, float] | None:
    """Return the two-sided t-interval of a mean over seeds (S,): a point where all are equal, None with one seed.

    Shares move in steps, so that few seeds often agree by chance. The seeds' standard deviation is then taken to be at
    least half a step, that of a value between two neighbouring ones, and half a step is added at either end, as a
    correction for continuity (docs/decisions/0025). No end lies beyond what the difference can be.
    """
    n, mean = len(difference), float(np.mean(difference))
    if n < 2:
        return None
    if (difference == difference[0]).all() and not (possible.step and np.isfinite(mean)):
        return float(difference[0]), float(difference[0])
    if not np.isfinite(difference).all():
        raise Unknown("a step time is reached at some seeds only")
    deviation = max(float(np.std(difference, ddof=1)), possible.step / 2)
    from scipy.special import stdtrit  # here, since runs without claims do without it

    half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * deviation / np.sqrt(n) + possible.step / 2
    return max(mean - half, min(possible.low, mean)), min(mean + half, max(possible.high, mean))


def _verdict(comparison: str, low: float, high: float) -> Verdict:
    """A comparison with zero holds (fails) if it does at both ends of the interval."""
    ends = {bool(COMPARISONS[comparison](end, 0.0)) for end in (low, high)}
    if len(ends) > 1:
        return "undecided"
    return "holds" if True in ends else "fails"
