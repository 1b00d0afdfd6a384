"""The team's own model under the same inspection: its predictions, or an estimator refitted on subsets."""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from phasemap.auditing.answers import Floats
from phasemap.auditing.estimates import Estimate, of_rounds, resampled
from phasemap.auditing.preparing import Prepared
from phasemap.auditing.reading import read_frame
from phasemap.auditing.suspects import WRONG_FROM
from phasemap.auditing.trainings import HALF, Rows
from phasemap.results.folder import write_whole
from phasemap.study.errors import UserError
from phasemap.tasks.dataset import Dataset
from phasemap.tasks.splits import split_rows

FEWEST_ROWS = 30  # on either side
GAP = 0.03  # of accuracy between trained and held-out rows, from which on a model memorizes
MANY_WRONG = 0.05  # expected share of wrong labels from which on labels are to be mended
REFIT_ROUNDS = 10
SUM_TOLERANCE = 0.01
TRUTH = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
VERDICTS = ("keep", "retrain", "fix_labels", "not_enough_evidence")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found of the model in use, and what to do with it."""

    verdict: str  # one of VERDICTS
    source: str  # predictions | estimator
    trained_accuracy: float
    held_out_accuracy: float
    gap: Estimate
    fitted_suspects: float  # share of trained rows with a probably wrong label that are answered by that label
    repeated_suspects: float  # the same share of such rows that were held out
    expected_wrong: float  # share of wrong labels that the advice rests on


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


def judge_predictions(predictions: pd.DataFrame, data: Prepared, wrong: Floats, expected: float) -> Verdict:
    """Judge one trained model by its answers; intervals here are over rows, since there is one training only.

    ``wrong`` (n,) are the probabilities by which suspects are counted, ``expected`` is the share of wrong labels that
    advice rests on.
    """
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
        expected=expected,
    )


def _gap_over_rows(inside: Floats, outside: Floats) -> Estimate:
    draws = resampled(lambda rows: float(inside[rows].mean()), len(inside))
    others = resampled(lambda rows: float(outside[rows].mean()), len(outside), seed=1)
    low, high = np.quantile(draws - others, [0.025, 0.975])
    return Estimate(value=float(inside.mean() - outside.mean()), low=float(low), high=float(high))


def load_estimator(name: str) -> Any:
    """Import and build a scikit-learn classifier named module:Class, also from the working directory."""
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise UserError(f"--estimator {name} is no module:Class, e.g. sklearn.tree:DecisionTreeClassifier")
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        made = getattr(importlib.import_module(module), attribute)
        estimator = made() if callable(made) else made
    except Exception as error:  # whatever the user's code raises
        raise UserError(f"--estimator {name} can't be built: {type(error).__name__}: {error}") from None
    finally:
        sys.path.remove(folder)
    if not (hasattr(estimator, "fit") and hasattr(estimator, "predict") and hasattr(estimator, "get_params")):
        raise UserError(f"--estimator {name} is no scikit-learn estimator: it needs fit, predict and get_params")
    return estimator


def judge_estimator(
    estimator: Any, rows: Rows, wrong: Floats, expected: float, say: Callable[[str], None], cache: Path
) -> Verdict:
    """Refit the model on complementary halves and judge it by its answers; refits that were kept are not repeated.

    ``wrong`` and ``expected`` as in ``judge_predictions``.
    """
    n_classes = int(rows.labels.max()) + 1
    dataset = Dataset(
        name=rows.path.stem, inputs=rows.inputs, labels=rows.labels, n_classes=n_classes, groups=rows.groups
    )
    key = hashlib.sha256(f"{estimator!r} {rows.path.name}".encode()).hexdigest()[:12]
    cache.mkdir(parents=True, exist_ok=True)
    suspect = wrong >= WRONG_FROM
    found = []
    for seed in range(2 * REFIT_ROUNDS):
        if seed % 2 == 0:
            say(f"refitting the estimator: {seed}/{2 * REFIT_ROUNDS}")
        train, _ = split_rows(dataset, seed=seed, data_fraction=HALF, split="balanced")
        right = _refitted(estimator, rows, train, cache / f"{key}-{seed}.npy") == rows.labels
        inside = np.zeros(len(right), dtype=bool)
        inside[train] = True
        shares = [(inside, None), (~inside, None), (inside, suspect), (~inside, suspect)]
        found.append([_mean(right[side if of is None else side & of]) for side, of in shares])
    by_round = np.array(found).reshape(REFIT_ROUNDS, 2, 4).mean(axis=1)
    return _verdict(
        "estimator",
        of_rounds(by_round[:, 0] - by_round[:, 1]),
        accuracies=(float(by_round[:, 0].mean()), float(by_round[:, 1].mean())),
        suspects=(_mean(by_round[:, 2]), _mean(by_round[:, 3])),
        expected=expected,
    )


def _refitted(estimator: Any, rows: Rows, train: np.ndarray, kept: Path) -> np.ndarray:
    """Return the answers to all rows of the model fitted on some."""
    from sklearn.base import clone

    if kept.exists():
        return np.asarray(np.load(kept))
    try:
        fitted = clone(estimator).fit(rows.inputs[train], rows.labels[train])
        answers = np.asarray(fitted.predict(rows.inputs)).astype(np.int64)
    except Exception as error:  # whatever the user's model raises
        raise UserError(f"the estimator can't be fitted: {type(error).__name__}: {error}") from None
    write_whole(kept, lambda path: np.save(path, answers))
    return answers


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
