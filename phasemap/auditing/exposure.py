"""How well an outsider could tell which rows a network was trained on: the likelihood-ratio attack.

LiRA (Carlini et al. 2022, arXiv 2112.03570), online, with Gaussians for each row's log-odds; the shadow networks are
the audit's own trainings, all but those of the attacked network's round.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from phasemap.auditing.answers import Answers, Floats
from phasemap.auditing.estimates import Estimate, of_rounds
from phasemap.auditing.memorization import rounds

FALSE_POSITIVES = 0.01
FEWEST_SHADOWS = 64  # networks on a side, below which one variance serves all rows (the paper's section VI-C)
FEWEST_ROUNDS = 4
MOST_ROUNDS = 50  # attacked; each pass costs as much as all trainings' answers


def exposure(answers: Answers) -> Estimate:
    """Return the true positive rate at 1 % false positives, a mean over attacked rounds."""
    found = rounds(answers)
    if len(found) < FEWEST_ROUNDS:
        return of_rounds([])
    return of_rounds([_attacked(answers, pair) for pair in found[:MOST_ROUNDS]])


def _attacked(answers: Answers, pair: slice) -> float:
    """Attack both networks of a round at once: every row is a member of one and not of the other."""
    shadows = np.ones(len(answers.trained), dtype=bool)
    shadows[pair] = False
    inside, odds = answers.trained[shadows], answers.log_odds[shadows].astype(np.float64)
    seen, unseen = _moments(odds, inside), _moments(odds, ~inside)
    target = answers.log_odds[pair].astype(np.float64)
    ratio = stats.norm.logpdf(target, *seen) - stats.norm.logpdf(target, *unseen)
    return true_positive_rate(ratio.ravel(), answers.trained[pair].ravel())


def _moments(odds: Floats, chosen: np.ndarray) -> tuple[Floats, Floats | float]:
    """Return each row's mean (n,) and deviation over the chosen networks, one deviation for all where they are few."""
    counts = chosen.sum(axis=0)
    mean = np.where(chosen, odds, 0).sum(axis=0) / counts
    squares = np.where(chosen, (odds - mean) ** 2, 0).sum(axis=0)
    if counts.min() < FEWEST_SHADOWS:
        return mean, float(np.sqrt(squares.sum() / (counts - 1).sum())) + 1e-6
    return mean, np.sqrt(squares / (counts - 1)) + 1e-6


def true_positive_rate(score: Floats, member: np.ndarray, false_positives: float = FALSE_POSITIVES) -> float:
    """Return the share of members above the lowest threshold that at most 1 % of the non-members exceed."""
    others = np.sort(score[~member])
    threshold = others[len(others) - 1 - int(false_positives * len(others))]
    return float((score[member] > threshold).mean())
