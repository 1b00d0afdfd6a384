"""How well an outsider could tell which rows a network was trained on: the likelihood-ratio attack.

LiRA (Carlini et al. 2022, arXiv 2112.03570), online, with Gaussians for each row's log-odds; the shadow networks are
the audit's own trainings, all but those of the attacked network's round.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from phasemap.auditing.answers import Answers, Floats
from phasemap.auditing.estimates import Estimate, of_shares
from phasemap.auditing.memorization import rounds

FALSE_POSITIVES = 0.01
FEWEST_SHADOWS = 64  # networks on a side, below which one variance serves all rows (the paper's section VI-C)
FEWEST_ROUNDS = 4
MOST_ROUNDS = 50  # attacked
LEAST_DEVIATION = 1e-6


def exposure(answers: Answers) -> Estimate:
    """Return the true positive rate at 1 % false positives, a mean over attacked rounds."""
    found = rounds(answers)
    if len(found) < FEWEST_ROUNDS:
        return of_shares([])
    members, others = _Sums.of(answers, answers.trained), _Sums.of(answers, ~answers.trained)
    return of_shares([_attacked(answers, pair, members, others) for pair in found[:MOST_ROUNDS]])


@dataclass(frozen=True, slots=True)
class _Sums:
    """Each row's number of networks, and the sums of their log-odds and of the squares of these: (n,) each."""

    counts: Floats
    sums: Floats
    squares: Floats

    @classmethod
    def of(cls, answers: Answers, chosen: np.ndarray, part: slice = slice(None)) -> _Sums:
        odds = np.where(chosen[part], answers.log_odds[part], 0).astype(np.float64)
        return cls(chosen[part].sum(axis=0).astype(float), odds.sum(axis=0), (odds**2).sum(axis=0))

    def without(self, other: _Sums) -> _Sums:
        return _Sums(self.counts - other.counts, self.sums - other.sums, self.squares - other.squares)

    def moments(self) -> tuple[Floats, Floats | float]:
        """Return each row's mean and deviation, one deviation for all where the networks are few."""
        mean = self.sums / self.counts
        spread = np.maximum(self.squares - self.counts * mean**2, 0.0)
        if self.counts.min() < FEWEST_SHADOWS:
            return mean, float(np.sqrt(spread.sum() / (self.counts - 1).sum())) + LEAST_DEVIATION
        return mean, np.sqrt(spread / (self.counts - 1)) + LEAST_DEVIATION


def _attacked(answers: Answers, pair: slice, members: _Sums, others: _Sums) -> float:
    """Attack both networks of a round at once: every row is a member of one and not of the other."""
    seen = members.without(_Sums.of(answers, answers.trained, pair)).moments()
    unseen = others.without(_Sums.of(answers, ~answers.trained, pair)).moments()
    target = answers.log_odds[pair].astype(np.float64)
    ratio = stats.norm.logpdf(target, *seen) - stats.norm.logpdf(target, *unseen)
    return true_positive_rate(ratio.ravel(), answers.trained[pair].ravel())


def true_positive_rate(score: Floats, member: np.ndarray, false_positives: float = FALSE_POSITIVES) -> float:
    """Return the share of members above the lowest threshold that at most 1 % of the non-members exceed."""
    others = np.sort(score[~member])
    threshold = others[len(others) - 1 - int(false_positives * len(others))]
    return float((score[member] > threshold).mean())
