"""A study's search, by ask and tell: what it knows is a table of trials, and which of them are under way."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import qmc

from phasemap.search.boundary import OFF_GRID, share_of
from phasemap.search.study_map import (
    boundary_search,
    budget_trials,
    is_known,
    is_near_off_grid,
    seeds_per_point,
    taken_trials,
)
from phasemap.search.study_model import map_model, numbers_of, usable
from phasemap.search.target import Floats, Places
from phasemap.study.identity import Trial
from phasemap.study.spec import Study

Cell = tuple[int, int]
"""A point and the number of a seed."""

FIRST = 0.25  # of the coarse grid, before anything else is chosen; at least as many points as a map has corners
REST = 0.25  # of the later trials, until that grid is complete


class StudySearch:
    """Which trials of a study to train next: ``ask`` for some, and ``tell`` their rows of the table of trials.

    Any number may be under way. ``table`` holds the trials that are there already; those that failed may be asked for
    again.
    """

    def __init__(self, study: Study, table: pd.DataFrame, seed: int = 0) -> None:
        self.study = study
        self.table = table[table["status"] != "failed"]
        self.expected_wrong = 1.0
        """The share of the map's points that is expected to be wrong, as of the last trials that were chosen."""
        self._n_off_grid = int((numbers_of(study, self.table["trial_id"].tolist())[0] == OFF_GRID).sum())
        self._asked: dict[str, int] = {}  # numbers of the trials that were asked for
        self._pending: list[str] = []
        draw = _draws(study, seed)
        self._choose = _Drawn(study, draw) if draw else _Boundary(study, seed)

    @property
    def left(self) -> int:
        """The trials that the budget still allows."""
        on_grid = len(self.table) - self._n_off_grid
        return max(0, budget_trials(self.study) - on_grid - len(self._pending))

    @property
    def in_flight(self) -> int:
        """The trials that were asked for and not told of."""
        return len(self._pending)

    def ask(self, n: int) -> list[Trial]:
        """Return up to n trials to train; none when the budget is used up or the map is known."""
        if not self.left:
            return []
        cells, self.expected_wrong = self._choose(min(n, self.left), self.table, self._pending)
        cells = cells[: self.left]
        if self.expected_wrong < self.study.search.tolerance and is_known(self.study, self.table):
            return []
        trials = [self._trial(cell) for cell in cells]
        for trial in trials:
            self._asked[trial.trial_id] = len(self._asked)
            self._pending.append(trial.trial_id)
        return trials

    def _trial(self, cell: Cell) -> Trial:
        numbers = np.unravel_index(cell[0], [len(axis.values) for axis in self.study.axes])
        point = {axis.name: axis.values[number] for axis, number in zip(self.study.axes, numbers, strict=True)}
        return self.study.trial({**self.study.settings(), **point}, self.study.seeds[cell[1]])

    def tell(self, rows: pd.DataFrame) -> None:
        """Take the rows of trials that ended, as they are in the table of trials.

        The table keeps the order in which they were asked for, so that the next ones don't depend on which ended first.
        """
        ended = rows[rows["trial_id"].isin(self._pending)]
        if len(ended):
            table = pd.concat([self.table, ended], ignore_index=True) if len(self.table) else ended
            number = table["trial_id"].map(self._asked).fillna(-1)
            self.table = table.iloc[np.argsort(number, kind="stable")]
            self._pending = [one for one in self._pending if one not in set(ended["trial_id"])]


class _Boundary:
    """Chooses some points of a coarse grid, and then those whose label is least known, and the rest of that grid."""

    def __init__(self, study: Study, seed: int) -> None:
        self.study, self.search = study, boundary_search(study, seed)
        self._started = self.search.start(budget_trials(study))
        self._start: list[Cell] | None = None  # those of them that no trial off the grid stands for
        self._expected_wrong = 1.0

    def __call__(self, n: int, table: pd.DataFrame, pending: list[str]) -> tuple[list[Cell], float]:
        """Return the cells to train next (about n of them), and the share of points that is expected to be wrong."""
        taken = taken_trials(self.study, [*table["trial_id"], *pending])
        if self._start is None:
            near = is_near_off_grid(self.study, table, np.asarray([place for place, _ in self._started]))
            self._start = [cell for cell, there in zip(self._started, near, strict=True) if not there]
        start = [cell for cell in self._start if not taken[cell]]
        n_first = max(math.ceil(FIRST * len(self._start)), 2 ** len(self.study.axes))
        first = sum(not taken[cell] for cell in self._start[:n_first])
        known = usable(self.study, table)
        if start and (first or not len(known)):
            return start[: first if n < first <= 1.25 * n else n], self._expected_wrong
        if not len(known):
            return self.search.anywhere(n, taken), self._expected_wrong
        known_already = self._expected_wrong < self.study.search.tolerance
        start = start[: n if known_already else share_of(REST, n, int(taken.sum()))]
        for cell in start:
            taken[cell] = True
        if len(start) == n:
            return start, self._expected_wrong
        model = map_model(self.study, known)
        under_way = np.asarray(taken_trials(self.study, pending).any(axis=1))
        under_way[[place for place, _ in start]] = True
        chosen, self._expected_wrong = self.search.choose(
            n - len(start), model.observed, taken, np.flatnonzero(under_way), model.labelling
        )
        return [*start, *chosen], self._expected_wrong


class _Drawn:
    """Draws points of the unit cube, each with all its seeds; a point that is taken gives way to the nearest free."""

    def __init__(self, study: Study, draw: Callable[[], Floats]) -> None:
        self.study, self._draw = study, draw

    def __call__(self, n: int, table: pd.DataFrame, pending: list[str]) -> tuple[list[Cell], float]:
        """Return the cells to train next, and that nothing is known of how wrong the map is."""
        shape = np.asarray([len(axis.values) for axis in self.study.axes])
        taken = taken_trials(self.study, [*table["trial_id"], *pending])
        per_point = seeds_per_point(self.study)
        cells: list[Cell] = []
        numbers = np.stack(np.unravel_index(np.arange(len(taken)), shape), axis=1)
        while len(cells) < n:
            free = np.flatnonzero(taken.sum(axis=1) < per_point)
            if not len(free):
                break
            begun = free[taken[free].any(axis=1)]
            place = begun[0] if len(begun) else _nearest(free, numbers, self._draw() * shape - 0.5, shape)
            for seed in np.flatnonzero(~taken[place])[: per_point - int(taken[place].sum())]:
                cells.append((int(place), int(seed)))
                taken[place, seed] = True
        return cells[:n], 1.0


def _draws(study: Study, seed: int) -> Callable[[], Floats] | None:
    """Return what draws points of the unit cube over the axes, for the kinds of search that do."""
    n = len(study.axes)
    if study.search.kind == "random":
        random: Any = np.random.RandomState(seed)
        return lambda: np.asarray(random.uniform(size=n))
    if study.search.kind == "sobol":
        engine = qmc.Sobol(n, scramble=True, seed=seed)
        return lambda: np.asarray(engine.random(1)[0])
    return None


def _nearest(free: Places, numbers: Places, drawn: Floats, shape: Places) -> int:
    distance = (((numbers[free] - drawn) / np.maximum(shape - 1, 1)) ** 2).sum(axis=1)
    return int(free[np.argmin(distance)])
