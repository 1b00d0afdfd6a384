"""The team's own model: its predictions, and the verdict on it or on a training of the team's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from phasemap.auditing.estimates import Estimate, Floats, resampled
from phasemap.auditing.memorization import Answers, decompose
from phasemap.auditing.preparing import Prepared
from phasemap.auditing.reading import read_frame
from phasemap.auditing.suspects import WRONG_FROM
from phasemap.study.errors import UserError

FEWEST_ROWS = 30  # on either side
GAP = 0.03  # of accuracy between trained and held-out rows, from which on a model memorizes
MANY_WRONG = 0.05  # expected share of wrong labels from which on labels are to be mended
SUM_TOLERANCE = 0.01
TRUTH = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
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


def read_predictions(path: Path, data: Prepared) -> pd.DataFrame:
    """Read a model's predictions: row, trained, and one column of probabilities for each class.

    Returns row, trained (bool) and predicted (class). UserError names what doesn't match the rows.
    """
    if not path.is_file():
        raise UserError(f"--predictions {path} is not there; allowed: a .csv or .parquet table")
    frame = read_frame(path)
    frame.columns = frame.columns.map(str)
    missing = [name for name in ("row", "trained", *data.classes) if name not in frame]
    if missing:
        wanted = ", ".join(data.classes[:10])
        raise UserError(
            f"{path} has no column '{missing[0]}'; allowed: row, trained, and a probability for each class ({wanted})"
        )
    n = len(data.labels)
    rows = pd.to_numeric(frame["row"], errors="coerce")
    wrong = frame["row"][~rows.isin(np.arange(n))]
    if len(wrong):
        raise UserError(f"{path} names the row {wrong.iloc[0]}, but the data have the rows 0 to {n - 1}: other data?")
    if rows.duplicated().any():
        raise UserError(f"{path} has the row {int(rows[rows.duplicated()].iloc[0])} twice; allowed: each row once")
    trained = frame["trained"].astype(str).str.lower().map(TRUTH)
    if trained.isna().any():
        found = frame["trained"][trained.isna()].iloc[0]
        raise UserError(f"{path}: trained is {found!r} in a row; allowed: true or false")
    chances = frame[list(data.classes)].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)
    with np.errstate(invalid="ignore"):
        odd = ~((chances >= 0).all(axis=1) & (np.abs(chances.sum(axis=1) - 1) < SUM_TOLERANCE))
    if odd.any():
        raise UserError(f"{path}: the probabilities of row {int(rows[odd].iloc[0])} don't add up to 1")
    return pd.DataFrame({"row": rows.astype(int), "trained": trained.astype(bool), "predicted": chances.argmax(axis=1)})


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
