"""What a study's trials say of its whole map, by one fit: labels, quantities, and how much is expected to be wrong."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phasemap.search.boundary import Belief, BoundarySearch
from phasemap.search.modelled import Modelled, Models
from phasemap.search.scales import Logit
from phasemap.search.study_model import MapModel, as_read, map_model, readings_of, shown_models, usable
from phasemap.search.surfaces import Group, Prediction
from phasemap.search.target import Floats, target_of
from phasemap.study.conditions import Value
from phasemap.study.spec import WHOLE_MAP, Study

COMMON = ""  # stands for all quantities of a rule whose terms have lengths in common
NOTHING_KNOWN = 0.9  # of the deviation that a surface has where nothing was observed
MOST_KEPT = 4  # beliefs, of the tables that were looked at last


@dataclass(frozen=True, slots=True, kw_only=True)
class MapBelief:
    """What is believed of all n points of a study's grid."""

    labels: Belief  # by the rule, whatever the search's metric
    expected_wrong: float  # the share of the points that would get another label, or side, if all trials were trained
    quantities: tuple[Modelled, ...]  # q that are inferred where nothing was trained
    expected: Prediction  # of them, (n, q)
    unknown: NDArray[np.bool_]  # (n,) where no trial is near enough to say anything
    instead: str | None  # why the labels themselves are modelled; None where the rule's terms are


def map_belief(study: Study, trials: pd.DataFrame) -> MapBelief | None:
    """Return what a study's trials say of its map; None where no trial ended ``ok``, or none has a label.

    It depends on the trials alone, so that a finished search is known as such later. The last beliefs are kept: of the
    same trials the model is fitted once.
    """
    known = usable(study, trials)
    return _kept.of(study, known) if len(known) else None


@dataclass
class _Kept:
    """The beliefs that were made last, by the study and the content of the trials."""

    beliefs: OrderedDict[tuple[Study, str], MapBelief] = field(default_factory=OrderedDict)
    lock: Lock = field(default_factory=Lock)

    def of(self, study: Study, trials: pd.DataFrame) -> MapBelief:
        """Return a belief, made anew where it is not there."""
        key = (study, _digest(study, trials))
        with self.lock:
            if key not in self.beliefs:
                self.beliefs[key] = _believe(study, trials)
            self.beliefs.move_to_end(key)
            while len(self.beliefs) > MOST_KEPT:
                self.beliefs.popitem(last=False)
            return self.beliefs[key]


_kept = _Kept()


def _digest(study: Study, trials: pd.DataFrame) -> str:
    """Return a digest of all that a belief reads of trials, in their order."""
    readings = (*readings_of(study, study.search.metric), *readings_of(study, WHOLE_MAP))
    names = ("trial_id", "subphase", *(reading.column for reading in readings), *study.recorded.quantities)
    there = [name for name in dict.fromkeys((*names, *study.recorded.facts, *study.axis_names)) if name in trials]
    rows = pd.util.hash_pandas_object(trials[there].astype(dict.fromkeys(there[:2], object)), index=False)
    return hashlib.sha256(f"{there}".encode() + rows.to_numpy().tobytes()).hexdigest()


def _believe(study: Study, trials: pd.DataFrame) -> MapBelief:
    """Lay surfaces through all that is looked at, those of the search's metric with lengths as in the search."""
    search = BoundarySearch(target_of(study), len(study.seeds), len(study.seeds))
    sought = map_model(study, trials)
    quantities, side_by_side = shown_models(study, trials), _SideBySide(as_read(study, trials))
    side_by_side.model(sought)
    shown = side_by_side.shown(quantities)
    observed = replace(sought.observed, values=side_by_side.values, groups=tuple(side_by_side.groups))
    sought_belief = search.believe(observed, sought.labelling)
    expected = search.surfaces.predict(search.coordinates)
    return MapBelief(
        labels=sought_belief if study.search.metric == WHOLE_MAP else _labels(study, trials),
        expected_wrong=float(sought_belief.wrong.mean()),
        quantities=quantities,
        expected=expected.part(slice(None), shown),
        unknown=np.all(expected.spread >= NOTHING_KNOWN * expected.prior, axis=1),
        instead=sought.instead,
    )


def _labels(study: Study, trials: pd.DataFrame) -> Belief:
    """Return what is believed of the labels where a search's metric is a frontier."""
    model = map_model(study, trials, WHOLE_MAP)
    return BoundarySearch(target_of(study), len(study.seeds), len(study.seeds)).believe(model.observed, model.labelling)


@dataclass
class _SideBySide:
    """The surfaces of a model and of further quantities of the same n trials; what is the same is there once."""

    trials: pd.DataFrame
    values: Floats = field(init=False)  # (n, q) all surfaces
    groups: list[Group] = field(default_factory=list)  # those that have lengths in common
    _firsts: dict[Any, int] = field(default_factory=dict)
    _group_of: dict[str, int] = field(default_factory=dict)  # the group whose lengths a quantity has

    def __post_init__(self) -> None:
        self.values = np.empty((len(self.trials), 0))

    def model(self, model: MapModel) -> None:
        """Add the surfaces of a model, which come first."""
        if model.instead is not None:
            return
        columns = [column for part in model.models for column in self._part(part)]
        if model.observed.groups is None:
            self._together(columns)
            self._group_of |= {part.column: 0 for part in model.models} | {COMMON: 0}
            return
        for column in columns:
            self._together([column])
        self._group_of |= {
            term.quantity: columns.index(self._firsts[_key(part)])
            for part in model.models
            for term in part.terms
            if isinstance(term, Value)
        }

    def shown(self, parts: Sequence[Modelled]) -> list[int]:
        """Add the surfaces of quantities, and return their numbers.

        They have the lengths of the same quantity in the rule, or of the whole rule where its terms have the same
        ones, else their own.
        """
        columns = []
        for part in parts:
            before = self.values.shape[1]
            (column,) = self._part(part)
            columns.append(column)
            if column < before:
                continue
            number = self._group_of.get(part.column, self._group_of.get(COMMON))
            if number is None:
                self._together([column])
            else:
                group = self.groups[number]
                fitted = len(group.columns) if group.fitted is None else group.fitted
                self.groups[number] = replace(group, columns=(*group.columns, column), fitted=fitted)
        return columns

    def _part(self, part: Modelled) -> list[int]:
        if (key := _key(part)) not in self._firsts:
            self._firsts[key] = self.values.shape[1]
            self.values = np.concatenate([self.values, Models((part,)).surfaces(self.trials)], axis=1)
        return list(range(self._firsts[key], self._firsts[key] + part.width))

    def _together(self, columns: Sequence[int]) -> None:
        if columns:
            self.groups.append(Group(name=str(columns[0]), columns=tuple(columns)))


def _key(part: Modelled) -> Any:
    """Tell surfaces apart: those of accuracies on the same scale by their column."""
    return (part.column, part.scale) if isinstance(part.scale, Logit) and part.width == 1 else id(part)
