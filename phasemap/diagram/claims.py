"""Test claims on the trials of a run: does each hold, fail, or is it undecided? (docs/claims.md)"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd

from phasemap.diagram.claim_links import Link, Possible, Verdict, compare_sides, link_words
from phasemap.diagram.claim_terms import Booleans, ExpectedTrials, Unknown, expected_trials, value_of
from phasemap.diagram.map_claims import SearchedMap
from phasemap.phases.built_in import column_kinds, phase_named
from phasemap.study.claims import Area, Claim, Correlation, Expression, Frontier, Share, Statistic
from phasemap.study.expressions import OPERATIONS, Negative, Number, Operation
from phasemap.study.spec import PhaseRule, Study

ANY = (-math.inf, math.inf)


def step_of(grid: ExpectedTrials, expression: Expression, seed: int) -> float:
    """Return the coarsest step in which an expression moves at one seed, to first order; 0 where it has no steps.

    An area or a share over n trials is one of 0, 1/n, ..., 1.
    """
    if isinstance(expression, Area | Share):
        return 1.0 / max(len(grid.measured(expression, seed)), 1)
    if isinstance(expression, Negative):
        return step_of(grid, expression.of, seed)
    if not isinstance(expression, Operation):
        return 0.0
    sides = expression.left, expression.right
    left, right = (step_of(grid, side, seed) for side in sides)
    if expression.operator in "+-" or not (left or right):
        return max(left, right)
    a, b = (abs(value_of(grid, side, seed)) for side in sides)
    return max(left * b, a * right) if expression.operator == "*" else max(left / b, a * right / b**2)


def range_of(study: Study, expression: Expression) -> tuple[float, float]:
    """Return the least and the most that an expression can be, as far as its terms tell."""
    if isinstance(expression, Number):
        return expression.value, expression.value
    if isinstance(expression, Area | Share):
        return 0.0, 1.0
    if isinstance(expression, Statistic):
        return (0.0, 1.0) if column_kinds(study).get(expression.column) == "accuracy" else ANY
    if isinstance(expression, Correlation):
        return -1.0, 1.0
    if isinstance(expression, Frontier):
        values = study.axis(expression.along).values
        return float(min(values)), float(max(values))
    if isinstance(expression, Negative):
        low, high = range_of(study, expression.of)
        return -high, -low
    return _combined(study, expression)


def _combined(study: Study, expression: Operation) -> tuple[float, float]:
    """Return the range of two expressions joined: that of the ends of theirs, but for a division by what may be 0.

    Labels that exclude each other have at most all of the trials together.
    """
    if _exclusive(study.phases, _summed(expression)):
        return 0.0, 1.0
    left, right = range_of(study, expression.left), range_of(study, expression.right)
    if expression.operator == "/" and right[0] <= 0 <= right[1]:
        return ANY
    ends = [OPERATIONS[expression.operator](*both) for both in itertools.product(left, right)]
    return ANY if any(map(math.isnan, ends)) else (min(ends), max(ends))


def _summed(expression: Expression) -> list[Expression]:
    """Return the terms of a sum."""
    if isinstance(expression, Operation) and expression.operator == "+":
        return [*_summed(expression.left), *_summed(expression.right)]
    return [expression]


def _labels(rule: PhaseRule, name: str) -> tuple[str, ...]:
    """Return the labels that an area counts: those of a phase, or the one that is named."""
    phase = phase_named(name)
    return tuple(label for label in rule.labels if rule.phase_of[label] == phase) or (name,)


def _exclusive(rule: PhaseRule, terms: list[Expression]) -> bool:
    """Tell whether terms are areas of labels of which a trial has at most one, over the same trials."""
    areas = [term for term in terms if isinstance(term, Area)]
    labels = [label for area in areas for label in _labels(rule, area.label)]
    alike = len({area.conditions for area in areas}) == 1
    return len(areas) == len(terms) and alike and len(set(labels)) == len(labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimResult:
    """What a run says about one claim; a claim that can't be computed has no links, and a reason."""

    text: str
    verdict: Verdict
    links: tuple[Link, ...]
    n_seeds: int  # that the numbers are computed over; 0 over the map of a search
    n_trials: int  # of the chosen trials that ended ``ok``
    n_expected: int  # trials that the claim chooses
    reason: str  # why it is undecided, and what the numbers leave out

    @property
    def deciding(self) -> Link | None:
        """The first link with the claim's verdict; None where nothing could be computed."""
        return next((link for link in self.links if link.verdict == self.verdict), None)

    @property
    def left(self) -> float | None:
        """The left side of the deciding link."""
        return self.deciding.left if self.deciding else None

    @property
    def right(self) -> float | None:
        """The right side of the deciding link."""
        return self.deciding.right if self.deciding else None

    @property
    def difference(self) -> float | None:
        """The difference of the deciding link."""
        return self.deciding.difference if self.deciding else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The interval of the deciding link's difference."""
        return self.deciding.interval if self.deciding else None


class ClaimResults(list[ClaimResult]):
    """What a run says about its claims; a notebook shows them as a table."""

    def _repr_html_(self) -> str:
        """Show each claim, its verdict, and the numbers behind it."""
        rows = [
            f"<tr><td>{result.verdict}</td><td><code>{escape(result.text)}</code></td><td>{_reasons(result)}</td></tr>"
            for result in self
        ]
        return f"<table><tr><th>verdict</th><th>claim</th><th>why</th></tr>{''.join(rows)}</table>"


def _reasons(result: ClaimResult) -> str:
    words = [link_words(link, result.n_seeds) for link in result.links]
    return "<br>".join(escape(text) for text in (*words, result.reason) if text)


def check_claims(
    study: Study, trials: pd.DataFrame, claims: Sequence[Claim], searched: SearchedMap | None = None
) -> ClaimResults:
    """Test claims on a table of trials, seed by seed; over the map of a search, where that can tell."""
    if not claims:
        return ClaimResults()
    grid, soon = expected_trials(study, trials), expected_trials(study, trials, soon=True)
    return ClaimResults(
        _check_over_map(grid, searched, claim)
        if searched is not None and searched.tells(claim)
        else _check(grid, soon, claim)
        for claim in claims
    )


def _check_over_map(grid: ExpectedTrials, searched: SearchedMap, claim: Claim) -> ClaimResult:
    """Test one claim on the map that a search completed."""
    chosen = functools.reduce(np.logical_or, [grid.chosen(term) for term in claim.terms])
    links: tuple[Link, ...] = ()
    try:
        links, reason = searched.links(claim), searched.note
    except Unknown as unknown:
        reason = str(unknown)
    return ClaimResult(
        text=claim.text,
        verdict=_together(links),
        links=links,
        n_seeds=0,
        n_trials=int((chosen & grid.ok).sum()),
        n_expected=int(chosen.sum()),
        reason=reason,
    )


def _check(grid: ExpectedTrials, soon: ExpectedTrials, claim: Claim) -> ClaimResult:
    """Test one claim with step times that are not reached as infinite; ``soon`` has them just after the horizon."""
    masks = [grid.chosen(term) for term in claim.terms]
    chosen = functools.reduce(np.logical_or, masks)
    links: tuple[Link, ...] = ()
    seeds: list[int] = []
    notes = _left_out(grid, chosen)
    try:
        seeds = _seeds(grid, masks)
        notes += _undefined(grid, claim)
        notes += _not_reached(grid, claim)
        links = _links(grid, claim, seeds)
        if [link.verdict for link in links] != [link.verdict for link in _links(soon, claim, seeds)]:
            links = ()
            raise Unknown("the answer depends on when they are reached after the horizon")
        notes += [*_too_coarse(links, len(seeds)), *_measured(grid, chosen)]
    except Unknown as unknown:
        notes.append(str(unknown))
    return ClaimResult(
        text=claim.text,
        verdict=_together(links),
        links=links,
        n_seeds=len(seeds) if links else 0,
        n_trials=int((chosen & grid.ok).sum()),
        n_expected=int(chosen.sum()),
        reason="; ".join(notes),
    )


def _together(links: Sequence[Link]) -> Verdict:
    verdicts = {link.verdict for link in links}
    if "fails" in verdicts:
        return "fails"
    return "holds" if verdicts == {"holds"} else "undecided"


def _measured(grid: ExpectedTrials, chosen: Booleans) -> list[str]:
    """Say of points on no grid that nothing was inferred between them."""
    if not grid.study.scattered:
        return []
    return [f"over {int((chosen & grid.ok).sum())} measured trials, which lie on no grid; nothing is inferred"]


def _left_out(grid: ExpectedTrials, chosen: Booleans) -> list[str]:
    """Say which of the chosen trials have no results, and why."""
    counts = grid.rows.loc[chosen & ~grid.ok, "status"].value_counts()
    if counts.empty:
        return []
    words = ", ".join(f"{n} {status}" for status, n in counts.items())
    return [f"{chosen.sum() - counts.sum()} of {chosen.sum()} trials are there ({words})"]


def _seeds(grid: ExpectedTrials, masks: Sequence[Booleans]) -> list[int]:
    """Return the seeds of which every term has at least half of its trials."""
    for mask in masks:
        if 2 * (mask & grid.ok).sum() < mask.sum():
            raise Unknown("fewer than half of the trials of a term are there")
    seed = grid.rows["seed"].to_numpy()
    seeds = [
        s for s in grid.study.seeds if all(2 * (m & grid.ok)[seed == s].sum() >= m[seed == s].sum() for m in masks)
    ]
    if len(seeds) < min(2, len(grid.study.seeds)):
        raise Unknown(f"{len(seeds)} of {len(grid.study.seeds)} seeds have half of their trials; needed: at least 2")
    return seeds


def _undefined(grid: ExpectedTrials, claim: Claim) -> list[str]:
    """Say where a quantity is undefined (e.g. memorized_accuracy where nothing is corrupted)."""
    notes = []
    for term in claim.terms:
        there = grid.chosen(term) & grid.ok
        lacking = int((there & ~grid.defined(term)).sum())
        if 2 * lacking > there.sum():
            raise Unknown(f"{term} is undefined in {lacking} of {there.sum()} trials")
        if lacking:
            notes.append(f"{term} leaves out {lacking} of {there.sum()} trials, where it is undefined")
    return notes


def _not_reached(grid: ExpectedTrials, claim: Claim) -> list[str]:
    """Say how many of the step times that a claim looks at are censored."""
    notes = []
    for term in claim.terms:
        there = grid.rows[grid.chosen(term) & grid.ok]
        for name in (name for name in term.columns if name in grid.times):
            if censored := int(np.isinf(there[name]).sum()):
                notes.append(f"{name} is not reached in {censored} of {len(there)} trials")
    return list(dict.fromkeys(notes))


def _too_coarse(links: Sequence[Link], n_seeds: int) -> list[str]:
    """Say where shares over few trials at few seeds leave a comparison undecided."""
    steps = [link.coarse_step for link in links if link.coarse_step]
    return [f"undecided at {n_seeds} seeds, because a share moves in steps of {max(steps):.3g}"] if steps else []


def _links(grid: ExpectedTrials, claim: Claim, seeds: Sequence[int]) -> tuple[Link, ...]:
    values = np.asarray([[value_of(grid, side, seed) for side in claim.sides] for seed in seeds])  # (S, sides)
    steps = [max(step_of(grid, side, seed) for seed in seeds) for side in claim.sides]
    ranges = [range_of(grid.study, side) for side in claim.sides]
    links = []
    for i, comparison in enumerate(claim.comparisons):
        (low, high), (least, most) = ranges[i : i + 2]
        possible = Possible(step=max(steps[i : i + 2]), low=low - most, high=high - least)
        links.append(compare_sides(values[:, i], comparison, values[:, i + 1], possible))
    return tuple(links)
