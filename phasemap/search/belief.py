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

from phasemap.search.boundary import Belief, BoundarySearch
from phasemap.search.modelled import Modelled, Models
from phasemap.search.scales import Logit
from phasemap.search.study_model import MapModel, as_read, map_model, readings_of, shown_models, usable
from phasemap.search.surfaces import Prediction
from phasemap.search.target import Floats, target_of
from phasemap.study.spec import WHOLE_MAP, Study

MOST_KEPT = 4  # beliefs, of the tables that were looked at last


@dataclass(frozen=True, slots=True, kw_only=True)
class MapBelief:
    """What is believed of all n points of a study's grid."""

    labels: Belief  # by the rule, whatever the search's metric
    expected_wrong: float  # the share of the points that would get another label, or side, if all trials were trained
    quantities: tuple[Modelled, ...]  # q that are inferred where nothing was trained
    expected: Prediction  # of them, (n, q)
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
    there = [name for name in dict.fromkeys((*names, *study.recorded.facts)) if name in trials]
    rows = pd.util.hash_pandas_object(trials[there].astype(dict.fromkeys(there[:2], object)), index=False)
    return hashlib.sha256(f"{there}".encode() + rows.to_numpy().tobytes()).hexdigest()


def _believe(study: Study, trials: pd.DataFrame) -> MapBelief:
    """Fit lengths to the surfaces of the search's metric, as the search does, and use them for all others too."""
    search = BoundarySearch(target_of(study), len(study.seeds), len(study.seeds))
    sought = map_model(study, trials)
    of_labels = sought if study.search.metric == WHOLE_MAP else map_model(study, trials, WHOLE_MAP)
    side_by_side = _SideBySide(as_read(study, trials))
    asked = side_by_side.model(sought)
    labels = asked if of_labels is sought else side_by_side.model(of_labels)
    quantities = shown_models(study, trials)
    shown = side_by_side.columns(quantities)
    search.fit(replace(sought.observed, values=side_by_side.values), fitted=len(asked))
    expected = search.surfaces.predict(search.coordinates)
    places = np.arange(len(search.target))

    def vote(model: MapModel, columns: Sequence[int]) -> Belief:
        return search.vote(model.observed, model.labelling, places, lambda some: expected.part(some, columns))

    found = vote(sought, asked)
    return MapBelief(
        labels=found if of_labels is sought else vote(of_labels, labels),
        expected_wrong=float(found.wrong.mean()),
        quantities=quantities,
        expected=expected.part(slice(None), shown),
        instead=sought.instead,
    )


@dataclass
class _SideBySide:
    """The surfaces of several models of the same n trials; what is the same is there once."""

    trials: pd.DataFrame
    parts: list[Floats] = field(default_factory=list)
    firsts: dict[Any, int] = field(default_factory=dict)
    width: int = 0

    @property
    def values(self) -> Floats:
        """All surfaces (n, q)."""
        return np.concatenate(self.parts, axis=1)

    def model(self, model: MapModel) -> list[int]:
        """Add the surfaces of a model, and return their numbers."""
        if model.instead is None:
            return self.columns(model.models)
        return self._add(model.observed.values)

    def columns(self, parts: Sequence[Modelled]) -> list[int]:
        """Add the surfaces of some columns, and return their numbers."""
        found: list[int] = []
        for part in parts:
            key = (part.column, part.scale) if isinstance(part.scale, Logit) and part.width == 1 else id(part)
            if key not in self.firsts:
                self.firsts[key] = self._add(Models((part,)).surfaces(self.trials))[0]
            found += range(self.firsts[key], self.firsts[key] + part.width)
        return found

    def _add(self, values: Floats) -> list[int]:
        first, self.width = self.width, self.width + values.shape[1]
        self.parts.append(values)
        return list(range(first, self.width))
