"""The learning curve: held-out accuracy against the number of training rows, and how it may go on.

Errors are fitted by a + b n^-c, by b n^-c, and by a straight line in log n; each draw of the trainings with
replacement is fitted by one of the three, so that the uncertainty of the extrapolation holds that of its form.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeWarning, curve_fit

from phasemap.auditing.estimates import Estimate, of_draws, of_shares
from phasemap.auditing.trainings import Rows, Trainer, trial_table

FRACTIONS = (0.0625, 0.125, 0.25, 0.5, 0.75, 0.875)
FEWEST_TRAINED = 20
DRAWS = 150

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningCurve:
    """Errors of trainings on rising numbers of rows."""

    n: int  # rows of the data
    trials: pd.DataFrame  # one row a training: n_train, error, half (0 or 1)

    def points(self) -> list[dict[str, Any]]:
        """Return the accuracy at each number of rows."""
        return [
            {"n_train": int(size), "accuracy": of_shares(1 - cell["error"]).as_json()}
            for size, cell in self.trials.groupby("n_train")
        ]

    def draws(self, sizes: ArrayLike, half: int | None = None) -> Floats:
        """Return the error at some numbers of rows under drawing the trainings again: (DRAWS, sizes)."""
        trials = self.trials if half is None else self.trials[self.trials["half"] == half]
        cells = [(float(size), cell["error"].to_numpy()) for size, cell in trials.groupby("n_train")]
        source = np.random.default_rng(0)
        wanted = np.asarray(sizes, dtype=float)
        found = []
        for number in range(DRAWS):
            means = [float(source.choice(errors, len(errors)).mean()) for _, errors in cells]
            found.append(_fit(np.array([size for size, _ in cells]), np.array(means), wanted, number % 3))
        return np.array(found)

    def gain(self, more: int) -> Estimate:
        """Return the gain of accuracy from so many more rows."""
        errors = self.draws([self.n, self.n + more])
        gains = errors[:, 0] - errors[:, 1]
        return of_draws(float(np.median(gains)), gains)


def measure_learning(trainer: Trainer, rows: Rows, *, seeds: int) -> LearningCurve:
    """Train on rising fractions of the rows, groups whole and classes balanced."""
    classes = len(np.unique(rows.labels))
    enough = [f for f in FRACTIONS if f * len(rows.labels) >= max(FEWEST_TRAINED, 2 * classes)]
    study = trainer.training.study(
        "learning", rows, seeds=seeds, axes={"data_fraction": enough}, question="What would more rows bring?"
    )
    trials = trial_table(trainer.run(study), study)
    kept = trials[trials["status"] == "ok"]
    frame = pd.DataFrame(
        {
            "n_train": (kept["data_fraction"] * len(rows.labels)).round().astype(int),
            "error": 1 - kept["test_accuracy"],
            "half": kept["seed"] % 2,
        }
    )
    return LearningCurve(n=len(rows.labels), trials=frame.reset_index(drop=True))


def _fit(sizes: Floats, errors: Floats, wanted: Floats, form: int) -> Floats:
    """Fit one of the three forms and return its errors at the wanted sizes, in [0, 1]."""
    x, at = np.log(sizes / sizes[-1]), np.log(wanted / sizes[-1])
    line = np.poly1d(np.polyfit(x, errors, 1))
    if form == 2 or len(sizes) < 4 or line[1] >= 0:
        return np.clip(line(at), 0, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)
        try:
            found, _ = curve_fit(_power if form else _power_to_floor, x, errors, **_start(errors, form))
        except RuntimeError:
            return np.clip(line(at), 0, 1)
    return np.clip((_power if form else _power_to_floor)(at, *found), 0, 1)


def _power(x: Floats, b: float, c: float) -> Floats:
    return np.asarray(b * np.exp(-c * x))


def _power_to_floor(x: Floats, b: float, c: float, a: float) -> Floats:
    return np.asarray(a + b * np.exp(-c * x))


def _start(errors: Floats, form: int) -> dict[str, Any]:
    """Return the start of a fit and its bounds: rates c from 0.02 to 2, floors from 0 to the last error."""
    last = max(float(errors[-1]), 1e-3)
    if form:
        return {"p0": [last, 0.3], "bounds": ([0, 0.02], [2, 2])}
    return {"p0": [last / 2, 0.5, last / 2], "bounds": ([0, 0.02, 0], [2, 2, last])}
