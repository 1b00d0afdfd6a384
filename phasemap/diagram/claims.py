"""Test claims on the trials of a run: does each hold, fail, or is it undecided? (docs/claims.md)"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd

from phasemap.diagram.claim_bounds import range_of, step_of
from phasemap.diagram.claim_links import Link, Possible, Verdict, compare_sides, link_words
from phasemap.diagram.claim_terms import Booleans, ExpectedTrials, Unknown, expected_trials, value_of
from phasemap.diagram.map_claims import SearchedMap
from phasemap.study.claims import Claim
from phasemap.study.spec import Study


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
        notes += _too_coarse(links, len(seeds))
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
    found = [
        s for s in grid.study.seeds if all(2 * (m & grid.ok)[seed == s].sum() >= m[seed == s].sum() for m in masks)
    ]
    if len(found) < min(2, len(grid.study.seeds)):
        raise Unknown(f"{len(found)} of {len(grid.study.seeds)} seeds have half of their trials; needed: at least 2")
    return found


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
