"""Memorization scores of rows, and the decomposition of training accuracy that they give.

The score (Feldman & Zhang 2020, arXiv 2008.03703, equation 1) is the probability that a network answers a row by its
given label when it was trained on it, minus that when it was held out. Over balanced complementary halves its mean is
the generalization gap by construction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from phasemap.auditing.answers import Answers, Floats
from phasemap.auditing.estimates import Estimate, of_rounds, of_shares

ENOUGH_TRAININGS = 200
"""Trainings from which on claims about single rows are made (half of them per side: errors of at most 0.07)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Memorization scores of n rows with their standard errors."""

    score: Floats  # (n,)
    error: Floats  # (n,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decomposition:
    """Training accuracy = held-out accuracy + memorization of probably right labels + of probably wrong labels."""

    train_accuracy: Estimate
    held_out_accuracy: Estimate
    useful: Estimate
    harmful: Estimate
    gap: Estimate  # of accuracies: the sum of both kinds of memorization


def scores(answers: Answers) -> Scores:
    """Return each row's memorization score and its binomial standard error; NaN for rows never on both sides."""
    inside, right = answers.trained, answers.right
    n_in, n_out = inside.sum(axis=0), (~inside).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        share_in = (right & inside).sum(axis=0) / n_in
        share_out = (right & ~inside).sum(axis=0) / n_out
        variance = share_in * (1 - share_in) / (n_in - 1) + share_out * (1 - share_out) / (n_out - 1)
        return Scores(score=share_in - share_out, error=np.sqrt(variance))


def decompose(answers: Answers, wrong: Floats) -> Decomposition:
    """Split training accuracy by each row's probability (n,) of having a wrong label; intervals over rounds."""
    parts = np.array([_parts(answers, pair, wrong) for pair in rounds(answers)])  # (rounds, 4)
    trained, held_out = (of_shares(column) for column in parts.T[:2])
    useful, harmful = (of_rounds(column) for column in parts.T[2:])
    return Decomposition(
        train_accuracy=trained,
        held_out_accuracy=held_out,
        useful=useful,
        harmful=harmful,
        gap=of_rounds(parts[:, 0] - parts[:, 1]),
    )


def rounds(answers: Answers) -> list[slice]:
    """Return the networks of each round, two complements."""
    return [slice(start, start + 2) for start in range(0, len(answers.trained), 2)]


def _parts(answers: Answers, pair: slice, wrong: Floats) -> tuple[float, float, float, float]:
    inside, right = answers.trained[pair], answers.right[pair]
    as_trained = (right & inside).any(axis=0).astype(float)  # each row is inside one of the two
    as_held_out = (right & ~inside).any(axis=0).astype(float)
    memorized = as_trained - as_held_out
    return (
        float(as_trained.mean()),
        float(as_held_out.mean()),
        float((memorized * (1 - wrong)).mean()),
        float((memorized * wrong).mean()),
    )
