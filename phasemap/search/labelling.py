"""From quantities to labels: the seam between the model of a map and what its points are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phasemap.diagram.frontier import UNDETERMINED
from phasemap.phases.evaluation import GivenTerms, number
from phasemap.phases.labels import label_trials
from phasemap.search.modelled import Models
from phasemap.search.target import Floats
from phasemap.study.conditions import Fact, Term, Value
from phasemap.study.rule import Frontier, Rule

Codes = NDArray[np.int64]

ABOVE, BELOW = "above", "below"
JUMP = 0.2  # a deviation of labels' surfaces where nothing else tells: the border may lie anywhere between two trials


class Labelling(Protocol):
    """Names points by their quantities. Codes are in groups: of a group the most frequent code is a point's label."""

    @property
    def group(self) -> Codes:
        """The group of each code (number of codes,); groups and codes stand in the order that decides ties."""

    @property
    def unlabelled(self) -> int | None:
        """The code of what has no label: a vote for it counts where there is no other; None where all have labels."""

    def label(self, values: Floats, places: Codes) -> Codes:
        """Label values (..., m, q) of the model at m points of the target grid: codes (..., m)."""


@dataclass(frozen=True, slots=True)
class OneHot:
    """Labels as they are: each has a surface of its own, 1 where it was seen, and the highest of them names the point.

    They are the last of a map's surfaces.
    """

    n_codes: int
    doubt: float = JUMP
    groups: tuple[int, ...] | None = None  # of each code; by default each is a group of its own
    unlabelled: int | None = None

    @property
    def group(self) -> Codes:
        """The group of each label."""
        return np.arange(self.n_codes) if self.groups is None else np.asarray(self.groups)

    def label(self, values: Floats, places: Codes) -> Codes:
        """Return the label whose surface is highest."""
        return np.asarray(values[..., -self.n_codes :].argmax(axis=-1))


@dataclass(frozen=True, slots=True, kw_only=True)
class ByRule:
    """Labels of trials by a study's rule, from its terms' values on the model's scales."""

    rule: Rule
    names: Names
    models: Models
    facts: Mapping[str, Floats]  # settings and facts by name, (n,) of each point of the grid

    @property
    def group(self) -> Codes:
        """Labels are grouped by their phase."""
        return np.asarray(self.names.groups)

    @property
    def unlabelled(self) -> int | None:
        """The code of what has no label."""
        return self.names.unlabelled

    def label(self, values: Floats, places: Codes) -> Codes:
        """Label drawn values by the rule."""
        terms = _given(self.rule, self.models, self.facts, values, places)
        shape = values.shape[:-1]
        codes = label_trials(self.rule, terms, int(np.prod(shape))).codes
        return self.names.of_rule(self.rule)[codes].reshape(shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class BySide:
    """The sides of one frontier of a study's rule."""

    unlabelled = None  # all have a side, if only none of both

    rule: Rule
    frontier: Frontier
    models: Models
    facts: Mapping[str, Floats]

    @property
    def group(self) -> Codes:
        """Each side is a group of its own."""
        return np.arange(len(sides(self.frontier)))

    def label(self, values: Floats, places: Codes) -> Codes:
        """Return the side of the frontier on which drawn values are."""
        terms = _given(self.rule, self.models, self.facts, values, places)
        return side_codes(self.frontier, terms, int(np.prod(values.shape[:-1]))).reshape(values.shape[:-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What the codes of a map's labels are called: the labels in the order that decides ties, and their phases."""

    labels: tuple[str, ...]
    phases: tuple[str, ...]
    phase_of: Mapping[str, str]
    with_unlabelled: bool = False  # whether there is a code, the last, of what has no label

    @property
    def unlabelled(self) -> int | None:
        """The code of what has no label."""
        return len(self.labels) if self.with_unlabelled else None

    @property
    def groups(self) -> tuple[int, ...]:
        """The number of each code's phase."""
        numbers = tuple(self.phases.index(self.phase_of[name]) for name in self.labels)
        return (*numbers, len(self.phases)) if self.with_unlabelled else numbers

    def codes(self, labels: pd.Series) -> Codes:
        """Return the codes (n,) of labels."""
        codes = pd.Index(self.labels).get_indexer(pd.Index(labels)).astype(np.int64)
        return np.where(codes < 0, -1 if self.unlabelled is None else self.unlabelled, codes)

    def of_rule(self, rule: Rule) -> Codes:
        """Return the code of each label of the rule, and as the last that of none."""
        return np.asarray([*map(self.labels.index, rule.label_names), self.unlabelled or 0])


def sides(frontier: Frontier) -> tuple[str, str, str]:
    """Name the codes of a frontier's sides, in the order that decides ties."""
    return (ABOVE, BELOW, UNDETERMINED) if isinstance(frontier.level, Value) else (BELOW, ABOVE, UNDETERMINED)


def side_codes(frontier: Frontier, terms: GivenTerms, n: int) -> Codes:
    """Return the number (n,) in ``sides`` of the side on which the terms of n trials are.

    At a number a trial is above it, and where two quantities are the same the first is not above the other.
    """
    value, level = (
        np.broadcast_to(np.asarray(number(side, terms), dtype=float).reshape(-1, 1), (n, 1))[:, 0]
        for side in (Value(frontier.quantity), frontier.level)
    )
    above = value > level if isinstance(frontier.level, Value) else value >= level
    first = above if sides(frontier)[0] == ABOVE else ~above
    return np.where(np.isnan(value) | np.isnan(level), 2, np.where(first, 0, 1))


def _given(rule: Rule, models: Models, facts: Mapping[str, Floats], values: Floats, places: Codes) -> GivenTerms:
    """Return the terms of drawn values (..., m, q) at m points, flat."""
    shape = values.shape[:-1]
    at = {name: np.broadcast_to(fact[places], shape) for name, fact in facts.items()}
    given: dict[Term, NDArray[Any]] = {Fact(name): fact.ravel() for name, fact in at.items()}
    for part, drawn in models.drawn(values):
        if part.undefined_without is not None:
            drawn = np.where(at[part.undefined_without] == 0, np.nan, drawn)
        given |= dict.fromkeys(part.terms, drawn.ravel())
    return GivenTerms(given, dict(rule.parameters))
