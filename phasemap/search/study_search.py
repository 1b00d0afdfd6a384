"""A study's search, by ask and tell: its state lies in an Optuna storage that can be made again from the shards."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, QMCSampler, RandomSampler
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from phasemap.results.optuna_study import (
    ATTRIBUTES,
    VALUE,
    add_trials,
    distributions,
    parameter,
    user_attributes,
)
from phasemap.search.labelling import MODELLED
from phasemap.search.maps import boundary_search, budget_trials, is_known, observe, seeds_per_point, taken_trials
from phasemap.search.sampler import BoundarySampler
from phasemap.study.spec import Study, Trial
from phasemap.study.writing import study_hash

KEPT = (*ATTRIBUTES, *MODELLED, "n_corrupted")
"""The user attributes of a trial: all that the search needs to know of it."""

HASH = "study_hash"

Cell = tuple[int, int]
"""A point and the number of a seed."""

logger = logging.getLogger("phasemap")


class StudySampler(BoundarySampler):
    """Samples the trials of a phasemap study: a point and a seed each, labelled by the study's rule."""

    def __init__(self, study: Study, seed: int = 0) -> None:
        super().__init__()
        self.study, self.space = study, distributions(study)
        self.search = boundary_search(study, seed)
        self.expected_wrong = 1.0
        self._started = self.search.start(budget_trials(study))
        self._cells: list[Cell] = []

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the study's axes and seeds."""
        return self.space

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the axis values and the seed of the next trial."""
        return self._params(self._cells.pop(0))

    def plan(self, study: optuna.Study, n: int) -> int:
        """Choose up to n trials to be sampled next, and return how many."""
        self._cells = self._choose(study, n)
        return len(self._cells)

    def _choose(self, study: optuna.Study, n: int) -> list[Cell]:
        table, pending = told(study), asked(study)
        taken = taken_trials(self.study, [*table["trial_id"], *pending])
        start = [cell for cell in self._started if not taken[cell]]
        if start:
            return start if len(start) <= 1.25 * n else start[:n]
        if not (table["status"] == "ok").any():
            return self.search.anywhere(n, taken)
        observed, labelling = observe(self.study, table)
        places = np.flatnonzero(taken_trials(self.study, pending).any(axis=1))
        chosen, self.expected_wrong = self.search.choose(n, observed, taken, places, labelling)
        return chosen

    def _params(self, cell: Cell) -> dict[str, Any]:
        values = {
            **dict(zip(self.study.axis_names, self.point(cell[0]), strict=True)),
            "seed": self.study.seeds[cell[1]],
        }
        return {name: parameter(name, values[name], self.space) for name in self.space}

    def point(self, place: int) -> tuple[Any, ...]:
        """Return the axis values of a point."""
        numbers = np.unravel_index(place, [len(axis.values) for axis in self.study.axes])
        return tuple(axis.values[number] for axis, number in zip(self.study.axes, numbers, strict=True))


class DrawnSampler(StudySampler):
    """Draws points by a sampler of Optuna, each with all its seeds; a point that is taken gives way to the next."""

    def __init__(self, study: Study, draws: BaseSampler) -> None:
        super().__init__(study)
        self._draws = draws
        self._unit: dict[str, BaseDistribution] = {axis.name: FloatDistribution(0.0, 1.0) for axis in study.axes}

    def _choose(self, study: optuna.Study, n: int) -> list[Cell]:
        taken = taken_trials(self.study, [*told(study)["trial_id"], *asked(study)])
        per_point, shape = seeds_per_point(self.study), np.asarray(self.search.target.shape)
        cells: list[Cell] = []
        numbers = np.stack(np.unravel_index(np.arange(len(taken)), self.search.target.shape), axis=1)
        while len(cells) < n:
            free = np.flatnonzero(taken.sum(axis=1) < per_point)
            if not len(free):
                break
            begun = free[taken[free].any(axis=1)]
            place = begun[0] if len(begun) else _nearest(free, numbers, self._draw(study) * shape - 0.5, shape)
            for seed in np.flatnonzero(~taken[place])[: per_point - int(taken[place].sum())]:
                cells.append((int(place), int(seed)))
                taken[place, seed] = True
        return cells[:n]

    def _draw(self, study: optuna.Study) -> np.ndarray:
        trial = optuna.trial.create_trial(state=TrialState.RUNNING)
        found = self._draws.sample_relative(study, trial, self._unit)
        for name, distribution in self._unit.items():
            if name not in found:
                found[name] = self._draws.sample_independent(study, trial, name, distribution)
        return np.asarray([found[name] for name in self._unit])


def _nearest(free: np.ndarray, numbers: np.ndarray, drawn: np.ndarray, shape: np.ndarray) -> int:
    distance = (((numbers[free] - drawn) / np.maximum(shape - 1, 1)) ** 2).sum(axis=1)
    return int(free[np.argmin(distance)])


def sampler_of(study: Study, seed: int = 0) -> StudySampler:
    """Return the sampler of a study's kind of search."""
    if study.search.kind == "random":
        return DrawnSampler(study, RandomSampler(seed=seed))
    if study.search.kind == "sobol":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return DrawnSampler(study, QMCSampler(seed=seed, scramble=True))
    return StudySampler(study, seed)


class StudySearch:
    """Which trials of a study to train next: ``ask`` for some, and ``tell`` their rows of the table of trials.

    Any number may be under way. ``table`` holds the trials that are there already; those that failed may be asked for
    again. With a path the state is kept there, as a journal that Optuna's dashboard reads; it is made again from the
    table where it is missing, damaged, or tells of other trials.
    """

    def __init__(self, study: Study, table: pd.DataFrame, path: Path | None = None, seed: int = 0) -> None:
        self.study = study
        self.sampler = sampler_of(study, seed)
        there = table[table["status"] != "failed"]
        self._optuna = _open(study, there, path, self.sampler)
        self._running: dict[str, optuna.Trial] = {}
        self._n_told = len(there)

    @property
    def left(self) -> int:
        """The trials that the budget still allows."""
        return max(0, budget_trials(self.study) - self._n_told - len(self._running))

    @property
    def in_flight(self) -> int:
        """The trials that were asked for and not told of."""
        return len(self._running)

    @property
    def expected_wrong(self) -> float:
        """The share of the map's points that is expected to be wrong, as of the last trials that were chosen."""
        return self.sampler.expected_wrong

    def ask(self, n: int) -> list[Trial]:
        """Return up to n trials to train; none when the budget is used up or the map is known."""
        planned = min(self.sampler.plan(self._optuna, min(n, self.left)), self.left) if self.left else 0
        if planned and self._may_stop():
            return []
        return [self._ask() for _ in range(planned)]

    def _may_stop(self) -> bool:
        estimate = self.sampler.expected_wrong
        return estimate < self.study.search.tolerance and is_known(self.study, told(self._optuna))

    def _ask(self) -> Trial:
        cell = self.sampler._cells[0]
        trial = self._optuna.ask(self.sampler.space)
        values = {**self.study.settings(), **dict(zip(self.study.axis_names, self.sampler.point(cell[0]), strict=True))}
        made = self.study.trial(values, self.study.seeds[cell[1]])
        trial.set_user_attr("trial_id", made.trial_id)
        self._running[made.trial_id] = trial
        return made

    def tell(self, rows: pd.DataFrame) -> None:
        """Take the rows of trials that ended, as they are in the table of trials."""
        for row in rows.to_dict("records"):
            trial = self._running.pop(row["trial_id"], None)
            if trial is None:
                continue
            for name, value in user_attributes(row, KEPT).items():
                trial.set_user_attr(name, value)
            ok = row["status"] == "ok"
            self._optuna.tell(trial, float(row[VALUE]) if ok else None, None if ok else TrialState.FAIL)
            self._n_told += 1


def told(study: optuna.Study) -> pd.DataFrame:
    """Return what an Optuna study knows of the trials that ended."""
    ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL))
    rows = [trial.user_attrs for trial in ended if "status" in trial.user_attrs]
    table = pd.DataFrame(rows, columns=list(KEPT))
    return table.astype(dict.fromkeys(MODELLED, float))


def asked(study: optuna.Study) -> list[str]:
    """Return the ids of the trials under way."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return [trial.user_attrs["trial_id"] for trial in running if "trial_id" in trial.user_attrs]


def _open(study: Study, there: pd.DataFrame, path: Path | None, sampler: BaseSampler) -> optuna.Study:
    """Open the kept state, or make it from the trials that are there."""
    if path is not None:
        with suppress(Exception):  # whatever is wrong with a cache, it is made again
            found = _load(study, path, sampler)
            if found.user_attrs[HASH] == study_hash(study) and _labels(told(found)) == _labels(there):
                for trial in found.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                    found.tell(trial.number, state=TrialState.FAIL)  # its process ended
                return found
    storage: Any = InMemoryStorage()
    if path is not None:
        try:
            path.parent.mkdir(exist_ok=True)
            for file in (path, path.with_name(f"{path.name}.lock")):
                file.unlink(missing_ok=True)
            storage = _journal(path)
        except OSError as error:
            logger.warning("the search's state is kept in memory only: %s", error)
    with _quiet():
        found = optuna.create_study(storage=storage, study_name=study.name, direction="maximize", sampler=sampler)
    found.set_user_attr(HASH, study_hash(study))
    add_trials(found, study, there, KEPT)
    return found


def _labels(table: pd.DataFrame) -> set[tuple[str, str, str]]:
    return set(zip(table["trial_id"], table["status"], table["subphase"].fillna(""), strict=True))


def _load(study: Study, path: Path, sampler: BaseSampler) -> optuna.Study:
    if not path.is_file():
        raise FileNotFoundError(path)
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)  # of a driver that was killed: the run's lock is ours
    return optuna.load_study(storage=_journal(path), study_name=study.name, sampler=sampler)


def _journal(path: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(path)))


@contextmanager
def _quiet() -> Iterator[None]:
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)
