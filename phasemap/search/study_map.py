"""What a study's trials say of its map: measured points as they are, and the others as the model sees them."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phasemap.search.belief import map_belief
from phasemap.search.boundary import OFF_GRID, BoundarySearch, start_points
from phasemap.search.study_model import numbers_of, usable
from phasemap.search.target import STRIDE, Places, coordinates_off_grid, target_of
from phasemap.study.spec import WHOLE_MAP, Study
from phasemap.study.trials import count_trials

DEFAULT_BUDGET = 0.25
FEWEST = 2  # times the start's trials, before a search may stop
FEWEST_TRIALS = 12  # also of a map with one label


def budget_trials(study: Study) -> int:
    """Return the most trials that a study's search may have trained."""
    total, budget = count_trials(study), study.search.budget
    if study.search.kind == "grid":
        return total
    if isinstance(budget, int):
        return min(budget, total)
    return max(1, round((budget or DEFAULT_BUDGET) * total))


def seeds_per_point(study: Study) -> int:
    """Return the most seeds of a point; a boundary search gives most points fewer."""
    wanted = study.search.seeds_per_point
    return len(study.seeds) if wanted == "auto" else min(wanted, len(study.seeds))


def boundary_search(study: Study, seed: int = 0) -> BoundarySearch:
    """Return the search of a study's map, with its random choices by a seed."""
    return BoundarySearch(target_of(study), len(study.seeds), seeds_per_point(study), seed, study.search.coverage)


def taken_trials(study: Study, trial_ids: Collection[str]) -> NDArray[np.bool_]:
    """Mark trials (points, S) by their ids."""
    taken = np.zeros((count_trials(study) // len(study.seeds), len(study.seeds)), dtype=bool)
    places, seeds = numbers_of(study, list(trial_ids))
    taken[places[places != OFF_GRID], seeds[places != OFF_GRID]] = True
    return taken


def is_near_off_grid(study: Study, trials: pd.DataFrame, places: Places) -> NDArray[np.bool_]:
    """Tell at which places (m,) of a search's start a trial between the grid's points says enough already."""
    known = usable(study, trials)
    off_grid = known[numbers_of(study, known["trial_id"].tolist())[0] == OFF_GRID]
    if not len(off_grid):
        return np.zeros(len(places), dtype=bool)
    measured = coordinates_off_grid(study, off_grid)
    at = target_of(study).coordinates()[places]
    near = np.abs(at[:, None] - measured[None]).max(axis=-1) <= STRIDE / 2
    return np.asarray(near.any(axis=1))


def expected_wrong(study: Study, trials: pd.DataFrame) -> float | None:
    """Return the share of a study's points that are expected to have another label if all trials were trained.

    The label is that of the search's metric. None where no trial ended ``ok``.
    """
    belief = map_belief(study, trials)
    return None if belief is None else belief.expected_wrong


def is_known(study: Study, trials: pd.DataFrame) -> bool:
    """Tell whether a study's boundary search may stop: fewer points are expected to be wrong than it tolerates.

    Of a map with several labels the start says too little of how wrong it is, so as many trials again are needed.
    """
    if study.search.kind != "boundary":
        return False
    start = target_of(study).coarse(start_points(budget_trials(study)))
    start = start[~is_near_off_grid(study, trials, start)]
    seen = np.flatnonzero(taken_trials(study, trials["trial_id"]).any(axis=1))
    labels = trials.loc[trials["status"] == "ok", "subphase" if study.search.metric == WHOLE_MAP else "phase"]
    few = len(trials) < (FEWEST * len(start) if labels.nunique() > 1 else FEWEST_TRIALS)
    if few or not np.isin(start, seen).all():
        return False
    wrong = expected_wrong(study, trials)
    return wrong is not None and wrong < study.search.tolerance
