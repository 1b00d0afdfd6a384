"""The columns of a table of trials as surfaces of a model: finite values on a scale, and what is beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phasemap.phases.terms import Reading
from phasemap.search.scales import Scale, scale_of
from phasemap.search.surfaces import Group
from phasemap.search.target import Floats
from phasemap.study.conditions import Term

FINITE = 0.0  # stands for any finite value
OUTCOMES = (FINITE, np.inf, -np.inf, np.nan)
"""What a value may be: finite, never reached, below everything, undefined."""
OUTCOME_NUMBERS = {str(outcome): number for number, outcome in enumerate(OUTCOMES)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Modelled:
    """One column of the table of trials as surfaces: one of its finite values, and one for each further outcome seen.

    The outcome of a draw is the one whose surface is highest; that of the first is what the others leave of 1.
    """

    column: str
    terms: tuple[Term, ...]
    scale: Scale
    outcomes: tuple[float, ...] = (FINITE,)
    undefined_without: str | None = None  # a fact: where it is 0, the value is undefined, which needs no model

    @property
    def width(self) -> int:
        """The number of its surfaces."""
        return len(self.outcomes)

    def surfaces(self, values: Floats) -> Floats:
        """Return values (n,) as surfaces (n, width) on the model's scale; NaN where a value is not finite."""
        finite = np.isfinite(values)
        there = np.full(len(values), np.nan)
        there[finite] = self.scale.there(values[finite])
        known, outcome = [OUTCOME_NUMBERS[str(one)] for one in self.outcomes], outcome_of(values)
        shares = [np.where(np.isin(outcome, known), outcome == number, np.nan) for number in known[1:]]
        return np.stack([there, *shares], axis=1)

    def drawn(self, surfaces: Floats) -> Floats:
        """Return the values (...) of surfaces (..., width) that were drawn."""
        values = self.scale.drawn(surfaces[..., 0])
        if self.outcomes == (FINITE,):
            return values
        shares = np.concatenate([1 - surfaces[..., 1:].sum(axis=-1, keepdims=True), surfaces[..., 1:]], axis=-1)
        outcome = np.asarray(self.outcomes)[shares.argmax(axis=-1)]
        return np.where(outcome == FINITE, values, outcome)


@dataclass(frozen=True, slots=True)
class Models:
    """Several columns as surfaces, side by side."""

    parts: tuple[Modelled, ...]
    firsts: tuple[int, ...] = field(init=False)  # the first surface of each

    def __post_init__(self) -> None:
        starts = np.cumsum([0, *(part.width for part in self.parts)])
        object.__setattr__(self, "firsts", tuple(int(start) for start in starts[:-1]))

    def surfaces(self, trials: pd.DataFrame) -> Floats:
        """Return the surfaces (n, q) of trials."""
        parts = [part.surfaces(trials[part.column].to_numpy(dtype=float)) for part in self.parts]
        return np.concatenate(parts, axis=1) if parts else np.empty((len(trials), 0))

    def drawn(self, surfaces: Floats) -> Iterable[tuple[Modelled, Floats]]:
        """Yield each column with the values (...) of drawn surfaces (..., q)."""
        for part, first in zip(self.parts, self.firsts, strict=True):
            yield part, part.drawn(surfaces[..., first : first + part.width])

    @property
    def groups(self) -> tuple[Group, ...]:
        """Each surface by itself: what a rule looks at may be smooth in one quantity and a jump in another."""
        pairs = zip(self.parts, self.firsts, strict=True)
        return tuple(
            Group(name=f"{part.column}, {OUTCOMES[k]}" if k else part.column, columns=(first + k,))
            for part, first in pairs
            for k in range(part.width)
        )


def model_columns(
    readings: Sequence[Reading], trials: pd.DataFrame, undefined_without: Mapping[str, str]
) -> tuple[Modelled, ...]:
    """Return columns as surfaces; of those whose values are the same in all trials, the first stands for all.

    ``undefined_without`` names for some columns the fact of the trials that must not be 0.
    """
    distinct: list[tuple[Modelled, Reading, Floats]] = []
    for reading in readings:
        values = trials[reading.column].to_numpy(dtype=float)
        for number, (same, other, known) in enumerate(distinct):
            if other.kind == reading.kind and np.array_equal(values, known, equal_nan=True):
                both = Reading(
                    column=other.column,
                    kind=other.kind,
                    terms=(*other.terms, *reading.terms),
                    thresholds=tuple(sorted({*other.thresholds, *reading.thresholds})),
                )
                distinct[number] = (_modelled(both, values, trials, same.undefined_without), both, values)
                break
        else:
            fact = undefined_without.get(reading.column)
            distinct.append((_modelled(reading, values, trials, fact), reading, values))
    return tuple(one for one, _, _ in distinct)


def explained(values: Floats, trials: pd.DataFrame, fact: str | None) -> NDArray[np.bool_]:
    """Tell which values (n,) are undefined because a fact is 0."""
    return np.isnan(values) & (trials[fact].to_numpy(dtype=float) == 0) if fact else np.zeros(len(values), dtype=bool)


def outcome_of(values: Floats) -> NDArray[np.int64]:
    """Return the number (n,) in OUTCOMES of each value."""
    return np.select([np.isfinite(values), values == np.inf, values == -np.inf], [0, 1, 2], 3)


def _modelled(reading: Reading, values: Floats, trials: pd.DataFrame, fact: str | None) -> Modelled:
    seen = np.unique(outcome_of(values[~explained(values, trials, fact)]))
    return Modelled(
        column=reading.column,
        terms=reading.terms,
        scale=scale_of(reading, values[np.isfinite(values)]),
        outcomes=tuple(OUTCOMES[k] for k in seen) or (FINITE,),
        undefined_without=fact,
    )
