"""How accuracy answers to wrong labels, made on purpose at several regularizations, and to more rows (learning)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeWarning, curve_fit

from phasemap.auditing.measures import Estimate, of_draws, of_rounds, of_shares
from phasemap.auditing.trainings import WEIGHT_DECAY, WIDTH, Network, Rows, Trainer, Training, trial_table
from phasemap.diagram.tables import derive
from phasemap.study.spec import PhaseRule, Study

MAP_ROUNDS = 2
RATES = (0.0, 0.1, 0.2, 0.4)
LEVELS: Mapping[str, tuple[float, ...]] = {
    "weight_decay": (0.0, 1.0, WEIGHT_DECAY, 15.0),
    "dropout": (0.0, 0.2, 0.5),
    "width": (32, WIDTH, 512),
}
CURRENT: Mapping[str, float] = {"weight_decay": WEIGHT_DECAY, "dropout": 0.0, "width": WIDTH, "as_it_is": 0.0}
AS_IT_IS = "as_it_is"  # in the place of a regularizer: the one level of a training of the user's own
SLOPE_UP_TO = 0.25  # of added noise, for the loss of accuracy at small rates
GENERALIZED_SHARE = 0.9  # of the way from chance to the best held-out accuracy without added noise
FRACTIONS = (0.0625, 0.125, 0.25, 0.5, 0.75, 0.875)
FEWEST_TRAINED = 20
DRAWS = 150
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """The robustness curves of the data: held-out, memorized and recovered accuracy over rate and regularization."""

    regularizer: str  # of LEVELS, or AS_IT_IS
    current: float
    recommended: float
    trials: pd.DataFrame  # one row a training: round, corruption, the regularizer, effective rate and accuracies
    points: pd.DataFrame  # one row a cell of the map, with its phase
    generalized: float  # the held-out accuracy from which on a cell counts as generalizing
    run: str = ""  # the name of the map's study

    def curve(self, level: float) -> list[dict[str, Any]]:
        """Return the accuracies over the rates at one level of the regularizer."""
        rows = self.trials[self.trials[self.regularizer] == level]
        names = ("test_accuracy", "memorized_accuracy", "recovered_accuracy")
        return [
            {
                "corruption": float(rate),
                "effective": float(cell["corruption_effective"].mean()),
                **{name: of_shares(cell.groupby("round")[name].mean()).as_json() for name in names},
            }
            for rate, cell in rows.groupby("corruption")
        ]

    def losses(self) -> np.ndarray:
        """Return each round's loss of held-out accuracy per unit of noise, at the current regularization."""
        rows = self.trials[self.trials[self.regularizer] == self.current]
        rows = rows[rows["corruption"] <= SLOPE_UP_TO]
        found = []
        for _, cell in rows.groupby("round"):
            if len(cell["corruption"].unique()) > 1:
                found.append(-np.polyfit(cell["corruption_effective"], cell["test_accuracy"], 1)[0])
        return np.array(found)

    def rates(self) -> tuple[Floats, Floats]:
        """Return the shares of labels that were made wrong (R,) and each round's held-out accuracies (rounds, R)."""
        rows = self.trials[self.trials[self.regularizer] == self.current]
        found = rows.pivot_table(index="round", columns="corruption", values="test_accuracy").dropna()
        return rows.groupby("corruption")["corruption_effective"].mean().to_numpy(), found.to_numpy()

    def gains(self, level: float, rounds: Sequence[int] | None = None) -> np.ndarray:
        """Return each round's gain of held-out accuracy from one level of the regularizer, without added noise."""
        clean = self.trials[self.trials["corruption"] == 0].pivot_table(
            index="round", columns=self.regularizer, values="test_accuracy"
        )
        if rounds is not None:
            clean = clean.loc[clean.index.isin(rounds)]
        return (clean[level] - clean[self.current]).dropna().to_numpy()

    def clean_errors(self) -> np.ndarray:
        """Return the mean held-out error of each level without added noise."""
        return 1 - self._clean_accuracies().to_numpy()

    @property
    def accuracy(self) -> float:
        """The mean held-out accuracy at the current regularization without added noise."""
        return float(self._clean_accuracies()[self.current])

    def _clean_accuracies(self) -> pd.Series:
        clean = self.trials[self.trials["corruption"] == 0]
        return clean.groupby(self.regularizer)["test_accuracy"].mean()

    @property
    def levels(self) -> tuple[float, ...]:
        """The levels of the regularizer that were tried."""
        return tuple(sorted(self.trials[self.regularizer].unique()))

    @property
    def rounds(self) -> tuple[int, ...]:
        """The numbers of the rounds of trainings."""
        return tuple(sorted(self.trials["round"].unique()))

    def best(self, rounds: Sequence[int] | None = None) -> float:
        """Return the level of highest mean held-out accuracy without added noise; of equals the current one."""
        return max(self.levels, key=lambda level: (self.gains(level, rounds).mean(), level == self.current))

    @property
    def recommended_gains(self) -> np.ndarray:
        """The gain of the recommended level in each round that did not choose it."""
        return self.gains(self.recommended, self.rounds[1::2])

    @property
    def gain(self) -> Estimate:
        """The gain of the recommended level."""
        return of_rounds(self.recommended_gains)


def measure_response(trainer: Trainer, rows: Rows, regularizer: str, *, n_rounds: int) -> Response:
    """Train over rates of corruption and levels of a regularizer, and label the map by thresholds above chance.

    The map has few rounds; its row at the current level and its column without corruption, which decisions rest on,
    have ``n_rounds``. A training of the user's own has no regularizer that is known: it is trained as it is.
    """
    if not isinstance(trainer.training, Network):
        regularizer = AS_IT_IS
    study, *others = _studies(trainer.training, rows, regularizer, n_rounds)
    folder = trainer.run(study)
    tables = [trial_table(folder, study), *(trial_table(trainer.run(other), other) for other in others)]
    found = [table.assign(**{AS_IT_IS: CURRENT[AS_IT_IS]}) for table in tables]
    trials = _rounds_of(pd.concat(found, ignore_index=True)).drop_duplicates("trial_id", ignore_index=True)
    clean = trials[trials["corruption"] == 0].groupby(regularizer)["test_accuracy"].mean()
    chance = float(np.bincount(rows.labels).max() / len(rows.labels))
    level = chance + GENERALIZED_SHARE * max(float(clean.max()) - chance, 0.0)
    labelled = _labelled(study, level)
    trainer.run(labelled)  # trains nothing: the map is labelled again
    response = Response(
        regularizer=regularizer,
        current=CURRENT[regularizer],
        recommended=CURRENT[regularizer],
        trials=trials,
        points=derive(folder, labelled).points.assign(**{AS_IT_IS: CURRENT[AS_IT_IS]}),
        generalized=level,
        run=study.name,
    )
    return with_recommendation(response)


def _studies(training: Training, rows: Rows, regularizer: str, n_rounds: int) -> list[Study]:
    """Return the study of the map, and those with more rounds of a part of it."""

    def study_of(name: str, rates: Sequence[float], at: Sequence[float], number: int) -> Study:
        axes = {"corruption": rates} | ({} if regularizer == AS_IT_IS else {regularizer: at})
        question = "What do wrong labels do, and which regularization bears them?"
        return training.study(name, rows, seeds=2 * number, axes=axes, question=question)

    if regularizer == AS_IT_IS:
        return [study_of("response", RATES, [], n_rounds)]
    current, levels = [CURRENT[regularizer]], LEVELS[regularizer]
    return [
        study_of("response", RATES, levels, min(n_rounds, MAP_ROUNDS)),
        study_of("rates", RATES[1:], current, n_rounds),
        study_of("levels", RATES[:1], levels, n_rounds),
    ]


def _labelled(study: Study, level: float) -> Study:
    return study.model_copy(update={"phases": PhaseRule(generalized=round(min(max(level, 0.01), 1.0), 4))})


def with_recommendation(response: Response) -> Response:
    """Choose a level by the even rounds; the odd ones value it."""
    chosen = response.best(response.rounds[::2])
    return replace(response, recommended=chosen)


def _rounds_of(trials: pd.DataFrame) -> pd.DataFrame:
    """Keep the trainings that ended well, with the round of their complement."""
    kept = trials[trials["status"] == "ok"]
    return kept.assign(round=kept["seed"] // 2, corruption_effective=kept["corruption_effective"].fillna(0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningCurve:
    """Errors of trainings on increasing numbers of rows."""

    n: int  # rows of the data
    trials: pd.DataFrame  # one row a training: n_train, error

    def points(self) -> list[dict[str, Any]]:
        """Return the accuracy at each number of rows."""
        return [
            {"n_train": int(size), "accuracy": of_shares(1 - cell["error"]).as_json()}
            for size, cell in self.trials.groupby("n_train")
        ]

    def draws(self, sizes: ArrayLike) -> Floats:
        """Return the error at some numbers of rows under drawing the trainings again: (DRAWS, sizes)."""
        cells = [(float(size), cell["error"].to_numpy()) for size, cell in self.trials.groupby("n_train")]
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
    """Train on rising fractions of the rows, groups whole and classes balanced.

    Errors are fitted by a + b n^-c, by b n^-c, and by a straight line in log n; each draw of the trainings with
    replacement is fitted by one of the three, so that the uncertainty of the extrapolation holds that of its form.
    """
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
