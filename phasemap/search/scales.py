"""The scales on which a search models what it sees: where a value lies there, and which value a place there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import expit

from phasemap.diagram.frontier import logit
from phasemap.phases.terms import Reading
from phasemap.search.target import Floats

SATURATION = 0.02  # accuracies beyond this and 1 minus this are the same to the model
LEAST_SATURATION = 1e-4  # where a rule asks for accuracies nearer to 0 or 1
REACHED = 1.5  # times the saturation: drawn accuracies within this of 0 or 1 are 0 and 1
NODES = 33  # of the values seen, that a scale is drawn through
BEYOND = 1.0  # times the range that was seen, how far it goes on to either side


class Scale(Protocol):
    """A rising map of a quantity to the model's scale and back."""

    def there(self, values: Floats) -> Floats:
        """Return where finite values lie on the model's scale."""

    def drawn(self, places: Floats) -> Floats:
        """Return the values of places that were drawn from the model, for a rule to judge."""

    def expected(self, places: Floats) -> Floats:
        """Return the values of places that the model expects, for a table."""


@dataclass(frozen=True, slots=True)
class Logit:
    """The logit scale of accuracies, saturated near 0 and 1."""

    off: float = SATURATION
    taken_out: bool = True  # of what is drawn too: a saturated accuracy is 0 or 1

    def there(self, values: Floats) -> Floats:
        """Return the logit of accuracies."""
        return logit(values, self.off)

    def drawn(self, places: Floats) -> Floats:
        """Return drawn accuracies."""
        inside = expit(places).round(9)
        return self._unsaturated(inside, REACHED * self.off) if self.taken_out else inside

    def expected(self, places: Floats) -> Floats:
        """Return expected accuracies."""
        return self._unsaturated(expit(places), self.off)

    def _unsaturated(self, values: Floats, edge: float) -> Floats:
        low, high = 2 * self.off, 1 - 2 * self.off
        return np.interp(values, np.asarray([edge, low, high, 1 - edge]), [0.0, low, high, 1.0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Bent:
    """A scale about some numbers, on each side in the usual distance from them there, and logarithmic far off.

    So a few values that are huge don't hide what differs near a threshold, and both its sides count the same. It goes
    through nodes: ``values`` and the ``heights`` that these have.
    """

    values: Floats
    heights: Floats
    log: bool = False  # of the logarithm; what is not positive counts as the lowest node
    kept: tuple[tuple[float, float, float], ...] = ()  # from, to, and the number that all drawn between them are

    def there(self, values: Floats) -> Floats:
        """Return the heights of values."""
        return np.interp(self._inner(values), self.values, self.heights)

    def drawn(self, places: Floats) -> Floats:
        """Return the values of heights."""
        values = self.expected(places)
        for low, high, number in self.kept:
            values = np.where((values > low) & (values < high), number, values)
        return values

    def expected(self, places: Floats) -> Floats:
        """Return the values of heights, also between numbers that are kept."""
        values = np.interp(places, self.heights, self.values)
        return np.asarray(np.exp(values) if self.log else values)

    def _inner(self, values: Floats) -> Floats:
        return np.log(np.maximum(values, np.exp(self.values[0]))) if self.log else np.asarray(values, dtype=float)


def scale_of(reading: Reading, seen: Floats) -> Scale:
    """Return the scale of what was read: ``seen`` are its finite values (n,) so far."""
    if reading.kind == "accuracy":
        return Logit(_saturation(reading.thresholds))
    return bent_scale(seen, reading.thresholds, log=reading.kind in ("loss", "step"))


def bent_scale(seen: Floats, thresholds: Sequence[float], *, log: bool = False) -> Bent:
    """Return a scale about thresholds, or where there are none about the median of what was seen."""
    about = np.asarray(thresholds, dtype=float)
    if log:
        seen, about = np.log(seen[seen > 0]), np.log(about[about > 0])
    if not len(seen):
        seen = np.zeros(1)
    about = about if len(about) else np.asarray([np.median(seen)])
    kept = () if log else tuple(one for number in about if (one := _around(seen, number)))
    about = np.asarray([*(set(about) - {number for *_, number in kept}), *(e for k in kept for e in k[:2])])
    about = np.sort(about[np.isfinite(about)])
    low, high = min(seen.min(), about.min()), max(seen.max(), about.max())
    reach = BEYOND * max(high - low, 1e-6 * max(abs(low), abs(high)), 1e-12)
    quantiles = np.quantile(seen, np.linspace(0, 1, NODES))
    far = np.concatenate([low - reach * np.linspace(1, 0, 9), high + reach * np.linspace(0, 1, 9)])
    near = [one + side * width * np.sinh(np.linspace(0, 3, 13)) for one in about for side, width in _widths(seen, one)]
    values = np.unique(np.concatenate([quantiles, far, about, *near]))
    values = values[(values >= low - reach) & (values <= high + reach)]
    heights = np.mean([_bend(values, one, seen) for one in about], axis=0)
    rising = np.concatenate([[True], np.diff(heights) > 0])
    return Bent(values=values[rising], heights=heights[rising], log=log, kept=kept)


def _around(seen: Floats, number: float) -> tuple[float, float, float] | None:
    """Return the middles between a threshold and what was seen next to it, and itself, if it was seen exactly.

    What is 0 where something died out lies on one side of ``q <= 0`` for certain: the border is beside it.
    """
    below, above = seen[seen < number], seen[seen > number]
    if len(below) + len(above) in (0, len(seen)):
        return None
    low = (below.max() + number) / 2 if len(below) else -np.inf
    high = (above.min() + number) / 2 if len(above) else np.inf
    return float(low), float(high), float(number)


def _bend(values: Floats, about: float, seen: Floats) -> Floats:
    heights = np.zeros(len(values))
    for side, width in _widths(seen, about):
        there = (values - about) * side > 0
        heights[there] = np.arcsinh((values[there] - about) / width)
    return heights


def _widths(seen: Floats, about: float) -> list[tuple[int, float]]:
    """Return for either side of a number the usual distance of what was seen there; else that of the other side."""
    widths = {}
    for side in (-1, 1):
        away = (seen - about) * side
        widths[side] = float(np.median(away[away > 0])) if (away > 0).any() else 0.0
    usual = max(widths.values()) or 1.0
    return [(side, width or usual) for side, width in widths.items()]


def _saturation(thresholds: Sequence[float]) -> float:
    """Return how far accuracies are kept off 0 and 1, so that every threshold lies well inside."""
    margins = [min(one, 1 - one) / 2 for one in thresholds if 0 < one < 1]
    return max(LEAST_SATURATION, min([SATURATION, *margins]))
