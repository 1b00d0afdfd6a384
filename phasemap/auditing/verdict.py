"""The verdict on the team's own model, by its predictions, or on a training of the team's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from phasemap.auditing.estimates import Estimate, Floats, resampled
from phasemap.auditing.memorization import Answers, decompose
from phasemap.auditing.preparing import Prepared
from phasemap.auditing.suspects import WRONG_FROM

FEWEST_ROWS = 30  # on either side
GAP = 0.03  # of accuracy between trained and held-out rows, from which on a model memorizes
MANY_WRONG = 0.05  # expected share of wrong labels from which on labels are to be mended
VERDICTS = ("keep", "retrain", "fix_labels", "not_enough_evidence")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found of the model in use, and what to do with it."""

    verdict: str  # one of VERDICTS
    source: str  # predictions | program
    trained_accuracy: float
    held_out_accuracy: float
    gap: Estimate
    fitted_suspects: float  # share of trained rows with a probably wrong label that are answered by that label
    repeated_suspects: float  # the same share of such rows that were held out
    expected_wrong: float  # share of wrong labels by the audit's probabilities


def judge_predictions(predictions: pd.DataFrame, data: Prepared, wrong: Floats) -> Verdict:
    """Judge one trained model by its answers; intervals here are over rows, since there is one training only."""
    rows = predictions["row"].to_numpy()
    right = predictions["predicted"].to_numpy() == data.labels[rows]
    trained, suspect = predictions["trained"].to_numpy(), wrong[rows] >= WRONG_FROM
    inside, outside = right[trained], right[~trained]
    gap = Estimate(value=np.nan, low=np.nan, high=np.nan)
    if min(len(inside), len(outside)) >= FEWEST_ROWS:
        gap = _gap_over_rows(inside.astype(float), outside.astype(float))
    return _verdict(
        "predictions",
        gap,
        accuracies=(_mean(inside), _mean(outside)),
        suspects=(_mean(right[trained & suspect]), _mean(right[~trained & suspect])),
        expected=float(wrong.mean()),
    )


def _gap_over_rows(inside: Floats, outside: Floats) -> Estimate:
    draws = resampled(lambda rows: float(inside[rows].mean()), len(inside))
    others = resampled(lambda rows: float(outside[rows].mean()), len(outside), seed=1)
    low, high = np.quantile(draws - others, [0.025, 0.975])
    return Estimate(value=float(inside.mean() - outside.mean()), low=float(low), high=float(high))


def judge_trainings(answers: Answers, wrong: Floats) -> Verdict:
    """Judge a training that was repeated on complementary halves by its answers; the gap's interval is over rounds."""
    parts, suspect = decompose(answers, wrong), wrong >= WRONG_FROM
    return _verdict(
        "program",
        parts.gap,
        accuracies=(parts.train_accuracy.value, parts.held_out_accuracy.value),
        suspects=(_mean(answers.right[answers.trained & suspect]), _mean(answers.right[~answers.trained & suspect])),
        expected=float(wrong.mean()),
    )


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _verdict(
    source: str, gap: Estimate, *, accuracies: tuple[float, float], suspects: tuple[float, float], expected: float
) -> Verdict:
    """Decide by where the gap's interval lies, then by what the labels are like.

    A model whose gap is above 3 points for certain memorizes: retrain it with regularization. One whose gap is below
    for certain does not: then mend the labels if 5 % of them or more are expected to be wrong, else keep it.
    """
    if not np.isfinite(gap.low) or gap.low <= GAP <= gap.high:
        verdict = "not_enough_evidence"
    elif gap.low > GAP:
        verdict = "retrain"
    else:
        verdict = "fix_labels" if expected >= MANY_WRONG else "keep"
    return Verdict(
        verdict=verdict,
        source=source,
        trained_accuracy=accuracies[0],
        held_out_accuracy=accuracies[1],
        gap=gap,
        fitted_suspects=suspects[0],
        repeated_suspects=suspects[1],
        expected_wrong=expected,
    )
