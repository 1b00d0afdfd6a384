"""The boundary search as an Optuna sampler: for any study whose trials carry a label as a user attribute."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from phasemap.search.boundary import BoundarySearch, Observed
from phasemap.search.labelling import OneHot
from phasemap.search.target import Places, Target, study_axis
from phasemap.study.axes import Axis

MOST_VALUES = 33  # of an axis, and
MOST_POINTS = 20_000  # of the grid, where the study's distributions leave it open

Params = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """The grid on which labels are wanted: the values of each parameter, and where they lie."""

    values: Mapping[str, Sequence[Any]]
    target: Target

    def place(self, params: Mapping[str, Any]) -> int:
        """Return the point of the grid that is nearest to a trial's parameters."""
        return int(np.ravel_multi_index([_number(params[n], v) for n, v in self.values.items()], self.target.shape))

    def params(self, place: int) -> Params:
        """Return the parameters of a point of the grid."""
        numbers = np.unravel_index(place, self.target.shape)
        return {name: values[int(number)] for (name, values), number in zip(self.values.items(), numbers, strict=True)}


def _number(value: Any, values: Sequence[Any]) -> int:
    if value in values:
        return list(values).index(value)
    return int(np.argmin([abs(other - value) for other in values]))


def space_of(distributions: Mapping[str, BaseDistribution], resolution: int | None = None) -> Space:
    """Return the grid of a search space: the choices and steps as they are, else ``resolution`` values an axis."""
    most = resolution or max(2, min(MOST_VALUES, math.floor(MOST_POINTS ** (1 / len(distributions)))))
    values = {name: _values(distribution, most) for name, distribution in distributions.items()}
    axes = (study_axis(Axis(name=name, values=tuple(chosen))) for name, chosen in values.items())
    return Space(values=values, target=Target(tuple(axes)))


def _values(distribution: BaseDistribution, most: int) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if not isinstance(distribution, FloatDistribution | IntDistribution):
        raise ValueError(f"{distribution} is not a float, an integer or a choice")
    low, high, step = float(distribution.low), float(distribution.high), distribution.step
    steps = math.floor((high - low) / step * (1 + 1e-12)) + 1 if step else most
    if step and steps <= most and not distribution.log:
        values = low + step * np.arange(steps)
    else:
        values = np.geomspace(low, high, most) if distribution.log else np.linspace(low, high, most)
    if step:
        values = low + np.round((values - low) / step) * step
    if isinstance(distribution, IntDistribution):
        return sorted({round(value) for value in values.tolist()})
    return [float(min(max(value, low), high)) for value in values]


@dataclass(eq=False)
class BoundarySampler(BaseSampler):
    """An Optuna sampler that finds the borders between labels with few trials: it samples where labels are uncertain.

    The objective sets its label with ``trial.set_user_attr(label, "...")``; its value is not used. The points are those
    of a grid: the choices and steps of the parameters, or ``resolution`` values from low to high (on a log scale if the
    parameter has one). Running trials count as taken, so any number can run at once. ``batch_size`` points are chosen
    at a time, and processes that ask at the same moment rarely get the same point. Once every point of the grid has a
    trial, further ones are drawn at random.
    """

    label: str = "label"
    resolution: int | None = None
    batch_size: int = 8
    seed: int | None = None
    _intersection: IntersectionSearchSpace = field(default_factory=IntersectionSearchSpace, repr=False)
    _queue: list[int] = field(default_factory=list, repr=False)
    _places: dict[int, int] = field(default_factory=dict, repr=False)
    _space: Space | None = field(default=None, repr=False)
    _distributions: Mapping[str, BaseDistribution] | None = field(default=None, repr=False)
    _search: BoundarySearch | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self._independent = RandomSampler(seed=self.seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters that all trials so far have in common; none before the first."""
        return self._varying(study)

    def _varying(self, study: Study) -> dict[str, BaseDistribution]:
        common = self._intersection.calculate(study)
        return {name: distribution for name, distribution in common.items() if not distribution.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the next point of the batch; a new batch is chosen when it is used up."""
        if not search_space:
            return {}
        self._take(search_space)
        return self._next(study, trial)

    def _take(self, search_space: Mapping[str, BaseDistribution]) -> None:
        """Start anew where the parameters that all trials have in common are others than before."""
        if self._distributions != search_space:
            self._space, self._distributions = space_of(search_space, self.resolution), dict(search_space)
            self._search = BoundarySearch(self._space.target, 1, 1, self.seed or 0)
            self._queue, self._places = [], {}

    def filled_map(self, study: Study) -> pd.DataFrame:
        """Return the map that follows from a study's labelled trials: one row per point of the grid.

        Columns: the parameters; ``label``, measured or the most probable; ``inferred``; and ``confidence``, the
        probability that a trial at an inferred point has that label (NaN at measured points). ValueError if no complete
        trial has a label, or no parameter varies.
        """
        search_space = self._varying(study)
        if not search_space:
            raise ValueError("the study's trials have no parameter in common that varies")
        self._take(search_space)
        assert self._search is not None
        assert self._space is not None
        labelled = [t for t in study.get_trials(deepcopy=False) if self._inside(t) and self._labelled(t)]
        if not labelled:
            raise ValueError(f"no complete trial of the study has the user attribute {self.label}")
        places = np.asarray([self._place(t) for t in labelled], dtype=np.int64)
        names, observed, labelling = self._observed(labelled, places)
        belief = self._search.believe(observed, labelling)
        code = belief.group.argmax(axis=1)
        rows = pd.DataFrame([self._space.params(place) for place in range(len(self._search.target))])
        inferred = ~np.isin(np.arange(len(rows)), places)
        confidence = np.where(inferred, belief.one_seed[np.arange(len(rows)), code], np.nan)
        return rows.assign(label=names[code], inferred=inferred, confidence=confidence)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw one parameter at random: of the first trial, or one that not all trials have."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        """Give parallel processes different draws."""
        self._independent.reseed_rng()

    def _next(self, study: Study, trial: FrozenTrial) -> Params:
        assert self._space is not None
        others = [t for t in study.get_trials(deepcopy=False) if t.number != trial.number and self._inside(t)]
        places = np.asarray([self._place(t) for t in others], dtype=np.int64)
        there = set(places.tolist())
        self._queue = [place for place in self._queue if place not in there]  # another process may have taken it
        before = self._asked_before(study, trial)
        if len(self._queue) <= before:
            self._queue = self._batch(others, places, max(self.batch_size, before + 1))
        return self._space.params(self._queue.pop(min(before, len(self._queue) - 1))) if self._queue else {}

    def _asked_before(self, study: Study, trial: FrozenTrial) -> int:
        """Count the earlier trials whose points are not known yet: other processes take them from the same queue."""
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return sum(t.number < trial.number and not self._inside(t) for t in running)

    def _batch(self, others: Sequence[FrozenTrial], places: Places, size: int) -> list[int]:
        assert self._search is not None
        taken = np.zeros((len(self._search.target), 1), dtype=bool)
        taken[places] = True
        labelled = [number for number, t in enumerate(others) if self._labelled(t)]
        chosen = [trial for trial in self._search.start(len(taken)) if not taken[trial]]
        if not chosen and not labelled:
            chosen = self._search.anywhere(size, taken)
        elif not chosen:
            pending = places[[t.state in (TrialState.RUNNING, TrialState.WAITING) for t in others]]
            _, observed, labelling = self._observed([others[n] for n in labelled], places[labelled])
            chosen, _ = self._search.choose(size, observed, taken, pending, labelling)
        return [place for place, _ in chosen]

    def _inside(self, trial: FrozenTrial) -> bool:
        assert self._space is not None
        return set(self._space.values) <= set(trial.params)

    def _place(self, trial: FrozenTrial) -> int:
        """Return the point of a trial, which its parameters decide for good."""
        assert self._space is not None
        if trial.number not in self._places:
            self._places[trial.number] = self._space.place(trial.params)
        return self._places[trial.number]

    def _labelled(self, trial: FrozenTrial) -> bool:
        return trial.state == TrialState.COMPLETE and self.label in trial.user_attrs

    def _observed(self, trials: Sequence[FrozenTrial], places: Places) -> tuple[NDArray[np.str_], Observed, OneHot]:
        labels = [str(trial.user_attrs[self.label]) for trial in trials]
        names, codes = np.unique(labels, return_inverse=True)
        seeds, values = np.zeros(len(places), dtype=np.int64), np.empty((len(places), 0))
        return names, Observed(places=places, seeds=seeds, codes=codes, values=values), OneHot(len(names))
