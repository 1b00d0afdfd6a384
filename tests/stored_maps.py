"""Full maps that were trained once (benchmarks/search_maps.py), to ask searches about; and how good their maps are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from phasemap.diagram.frontier import crossings, height, map_frontiers
from phasemap.diagram.points import point_table
from phasemap.diagram.tables import Tables
from phasemap.results.merge import trial_schema
from phasemap.results.schema import SHARD_SCHEMA
from phasemap.search.inference import complete
from phasemap.search.study_search import StudySearch
from phasemap.search.target import target_of
from phasemap.study.axes import Axis
from phasemap.study.file import load_study
from phasemap.study.spec import SearchSpec, Study
from phasemap.study.trials import grid_ids

FOLDER = Path(__file__).parent / "data" / "search"
NAMES = ("plane_wd0", "plane_wd10", "plane_wd15", "weight_decay", "plane_wd10_fine", "space")
FEWEST_CROSSINGS = 8
ANSWERED = 0.2  # of the corrupted examples, at least, with one label or the other
FAR = 3.0  # cells: what a frontier counts that the other map lacks


@dataclass(frozen=True)
class StoredMap:
    """A study and the rows of all its trials, in its order."""

    study: Study
    trials: pd.DataFrame

    def __hash__(self) -> int:
        return id(self)

    @cached_property
    def target(self):
        return target_of(self.study)

    @property
    def n_seeds(self) -> int:
        return len(self.study.seeds)

    def searched(self, **search) -> StoredMap:
        """Return the same map for a study with a search."""
        return replace(self, study=self.study.model_copy(update={"search": SearchSpec(**search)}))

    def rows(self, trial_ids) -> pd.DataFrame:
        return self.trials[self.trials["trial_id"].isin(set(trial_ids))]

    @cached_property
    def points(self) -> pd.DataFrame:
        """The full map."""
        return point_table(self.study, self.trials)

    @cached_property
    def agreed(self):
        """Points whose seeds have the same phase; all where there is one seed."""
        return (self.points["agreement"].fillna(1) == 1).to_numpy()

    @cached_property
    def boundary(self):
        """Points with a neighbour of another phase."""
        phase = pd.factorize(self.points["phase"])[0].reshape(self.target.shape)
        found = np.zeros(phase.shape, dtype=bool)
        for axis in range(phase.ndim):
            changed = np.diff(phase, axis=axis) != 0
            pad = [(0, 0)] * phase.ndim
            found |= np.pad(changed, [*pad[:axis], (0, 1), *pad[axis + 1 :]])
            found |= np.pad(changed, [*pad[:axis], (1, 0), *pad[axis + 1 :]])
        return found.ravel()

    def shares(self, phase):
        """Return the share of each point's seeds that have a phase (n,)."""
        same = self.trials["phase"].to_numpy().reshape(-1, self.n_seeds) == np.asarray(phase, dtype=object)[:, None]
        return same.mean(axis=1)


def load_map(name: str) -> StoredMap:
    """Load a stored map; plane_wd10 is every second row and column of the fine one."""
    if name == "plane_wd10":
        return every_second(load_map("plane_wd10_fine"), name)
    study = load_study(FOLDER / f"{name}.yaml")
    trials = pq.read_table(FOLDER / f"{name}.parquet").to_pandas()
    assert trials["trial_id"].tolist() == list(grid_ids(study))
    return StoredMap(study, trials.reindex(columns=trial_schema(SHARD_SCHEMA, study.phases).names))


def every_second(full: StoredMap, name: str) -> StoredMap:
    axes = tuple(Axis(name=axis.name, values=axis.values[::2]) for axis in full.study.axes)
    study = full.study.model_copy(update={"axes": axes, "name": name})
    trials = full.trials.set_index("trial_id", drop=False).loc[list(grid_ids(study))]
    return StoredMap(study, trials.reset_index(drop=True))


def measures(full: StoredMap, points: pd.DataFrame) -> dict[str, float]:
    """Compare a map with the full one; ``points`` has its labels, accuracies, confidence and what was inferred."""
    right = (points["phase"] == full.points["phase"]).to_numpy()
    inferred = points["inferred"].to_numpy(dtype=bool)
    off = points["confidence"].to_numpy(dtype=float) - full.shares(points["phase"])
    return {
        "agreed": right[full.agreed].mean(),
        "boundary": right[full.agreed & full.boundary].mean(),
        "generalization_cells": displacement(full, points, "generalization"),
        "inversion_cells": displacement(full, points, "inversion"),
        "macro_f1": macro_f1(full.points["subphase"], points["subphase"]),
        "brier": float(np.mean(off[inferred] ** 2)) if inferred.any() else np.nan,
        "wrong": 1 - right.mean(),
    }


def macro_f1(truth, found) -> float:
    """Return the mean F1 of the labels that either map has."""
    scores = []
    for name in set(truth) | set(found):
        both = int(((truth == name) & (found == name)).sum())
        scores.append(2 * both / int((truth == name).sum() + (found == name).sum()))
    return float(np.mean(scores))


def displacement(full: StoredMap, points: pd.DataFrame, kind: str) -> float:
    """Return the mean distance of two maps' frontiers along the grid's lines, in cells; NaN where there is hardly any.

    Each crossing of either map counts with its distance to the other's nearest on the same line, at most FAR.
    """
    if kind not in {one.name for one in map_frontiers(full.study)}:
        return np.nan
    distances, n_true = [], 0
    for axis in range(len(full.target.shape)):
        one, other = (_crossings(full, frame, kind, axis) for frame in (full.points, points))
        n_true += sum(map(len, one))
        for a, b in ((one, other), (other, one)):
            for mine, theirs in zip(a, b, strict=True):
                distances += [min([abs(place - p) for p in theirs] + [FAR]) for place in mine]
    if n_true < FEWEST_CROSSINGS:
        return np.nan
    return float(np.mean(distances))


def _crossings(full: StoredMap, points: pd.DataFrame, kind: str, axis: int):
    shape = full.target.shape
    columns = {name: points[name].to_numpy() for name in points}
    if kind == "inversion":  # one seed tells fewer points apart than all do: the line is compared wherever it may be
        answered = np.fmax(columns["recovered_accuracy"], columns["memorized_accuracy"]) > ANSWERED
        columns["generalization_wins"] = np.where(answered, "wins", "undetermined")
    z, level = height(next(one for one in map_frontiers(full.study) if one.name == kind), columns)
    lines = np.moveaxis(z.reshape(shape), axis, -1).reshape(-1, shape[axis])
    return [c[np.isfinite(c)] for c in crossings(np.arange(shape[axis], dtype=float), lines, level)]


def drive(full: StoredMap, n: int = 8, seed: int = 0, **search) -> pd.DataFrame:
    """Let a search ask for n trials at a time until it stops, and return the rows of those that it asked for."""
    study = full.searched(**search).study
    driven, chosen = StudySearch(study, full.trials[:0], seed=seed), []
    while asked := driven.ask(n):
        rows = full.rows(trial.trial_id for trial in asked)
        driven.tell(rows)
        chosen.append(rows)
    return pd.concat(chosen)


def completed(full: StoredMap, trials: pd.DataFrame) -> pd.DataFrame:
    """Return the points of a map as a boundary search knows it after these trials."""
    study = full.searched(kind="boundary").study
    return complete(Tables(study=study, trials=trials, points=point_table(study, trials))).points
