"""How much of an audit a time budget pays for: how many rows, and how many trainings of which kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from phasemap.auditing.preparing import Prepared
from phasemap.auditing.trainings import STEPS, WIDTH
from phasemap.results.folder import write_text
from phasemap.study.errors import UserError
from phasemap.tasks.dataset import Ints
from phasemap.training.costs import LAUNCH_SECONDS, OPERATIONS_PER_SECOND

FULL_TRAININGS = 200
USUAL_ROWS, MOST_ROWS = 2_000, 20_000
RECORDS_FACTOR = 1.3  # of the recorded answers beside the steps
ALLOWANCE = 0.6  # of the budget is for trainings; the rest for starting, asking and writing
SHARED_LAUNCHES = 8  # networks of a pack share what a step costs beside its products


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """What an audit trains."""

    rows: int  # that are trained on and tested with
    trainings: int  # for scores, suspects, exposure; half of the rows each
    plantings: int = 2
    planted_trainings: int = 48  # for each planting
    rounds: int = 10  # for the response to corruption at the current regularization, and for each other one without
    learning_seeds: int = 16

    @property
    def halves(self) -> float:
        """All trainings, counted in trainings on half of the rows."""
        response = 64 + 14 * self.rounds
        return self.trainings + self.plantings * self.planted_trainings + response + 5.2 * self.learning_seeds

    @property
    def own_trainings(self) -> int:
        """All trainings of a user's own, which are not repeated where two studies need the same."""
        return self.trainings + self.plantings * self.planted_trainings + 6 * self.rounds + 5 * self.learning_seeds

    @property
    def row_precision(self) -> float:
        """The half width of a 95 % interval of a share of all rows that is estimated from the rows used."""
        return float(1.96 * np.sqrt(0.25 / self.rows))


SMALLER = (
    {"trainings": FULL_TRAININGS},
    {"trainings": 100, "planted_trainings": 24, "rounds": 6},
    {"trainings": 40, "planted_trainings": 16, "rounds": 4, "learning_seeds": 8},
)

SMALLEST_OWN = {"trainings": 16, "plantings": 1, "planted_trainings": 8, "rounds": 4, "learning_seeds": 4}


def choose_effort(data: Prepared, budget_minutes: float, cores: int) -> Effort:
    """Choose rows and trainings for a budget: all rows and 200 trainings if they fit, else fewer rows down to 2,000.

    Only if that is too long still, trainings are fewer too.
    """
    seconds = ALLOWANCE * budget_minutes * 60 * cores
    n = min(len(data.labels), MOST_ROWS)
    plantings = 3 if n < 1000 else 2
    for step in SMALLER:
        effort = replace(Effort(rows=n, trainings=FULL_TRAININGS, plantings=plantings), **step)
        affordable = int(n * seconds / (effort.halves * half_seconds(n, data)))
        if affordable >= min(n, USUAL_ROWS) or step is SMALLER[-1]:
            return replace(effort, rows=max(min(n, affordable), min(n, USUAL_ROWS, max(affordable, 500))))
    raise AssertionError("the last step returns")


def choose_own_effort(rows: int, seconds: float, budget_minutes: float, cores: int) -> Effort:
    """Choose the number of trainings of a user's own, each of some seconds on one core, on so many rows.

    UserError where the budget doesn't pay for the smallest audit.
    """
    for step in (*SMALLER, SMALLEST_OWN):
        effort = replace(Effort(rows=rows, trainings=FULL_TRAININGS, plantings=3 if rows < 1000 else 2), **step)
        minutes = effort.own_trainings * seconds / cores / 60 / ALLOWANCE
        if minutes <= budget_minutes:
            return effort
    raise UserError(
        f"a training takes {seconds:.3g} s, and the smallest audit has {effort.own_trainings} of them; needed: "
        f"--budget {int(minutes) + 1} or more (what is trained is kept)"
    )


def half_seconds(n: int, data: Prepared) -> float:
    """Estimate one core's seconds for a training on half of n rows, as packs are cut."""
    products = 3 * 2.0 * WIDTH * (data.inputs.shape[1] + data.n_classes) * n / 2 / OPERATIONS_PER_SECOND
    return STEPS * (products * RECORDS_FACTOR + 2 * LAUNCH_SECONDS["mlp"] / SHARED_LAUNCHES)


def kept_effort(path: Path, key: str, choose: Callable[[], Effort]) -> Effort:
    """Return the effort that an audit of the same data and budget began with, so that it can be continued."""
    if path.exists():
        saved = json.loads(path.read_text(encoding="utf-8"))
        if saved.pop("key", None) == key:
            return Effort(**saved)
    effort = choose()
    write_text(path, json.dumps({"key": key, **asdict(effort)}, indent=2) + "\n")
    return effort


def sample(data: Prepared, rows: int) -> Ints:
    """Draw rows, in rising order: the same share of each class, at least two of each; groups in random order."""
    n = len(data.labels)
    if rows >= n:
        return np.arange(n)
    source = np.random.default_rng(0)
    units = np.arange(n) if data.groups is None else np.unique(data.groups, return_inverse=True)[1]
    order = source.permutation(units.max() + 1)[units]
    ranked = np.lexsort((order, data.labels))
    place = np.empty(n, dtype=np.int64)
    start = np.searchsorted(data.labels[ranked], np.arange(data.n_classes))
    place[ranked] = np.arange(n) - start[data.labels[ranked]]
    sizes = np.bincount(data.labels, minlength=data.n_classes)
    chosen = place < np.maximum(2, np.round(sizes * rows / n))[data.labels]
    return np.flatnonzero(chosen)
