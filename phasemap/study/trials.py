"""The trials of a study: all of its grid, those of some points, one by its id; and the values of its settings."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from phasemap.study.errors import KeyPath, UserError
from phasemap.study.identity import Trial
from phasemap.study.networks import NETWORK_SETTINGS, NetworkTrial, scaled_steps
from phasemap.study.spec import NetworkStudy, Study

SHORTEST_PREFIX = 6
"""Digits of a trial's id that are enough to ask for it."""


@lru_cache(maxsize=1)
def grid_ids(study: Study) -> tuple[str, ...]:
    """Return the ids of ``expand(study)`` without building its trials, for grids of very many."""
    if study.scattered:
        return tuple(trial.trial_id for trial in expand(study))
    axes = {axis.name: axis.values for axis in study.axes}
    return tuple(study.identity.grid_ids(study.settings(), axes, study.seeds))


def expand(study: Study, points: Iterable[tuple[Any, ...]] | None = None) -> Iterator[Trial]:
    """Yield the trials of the given points (default: all of the grid), all seeds of a point together."""
    fixed, names = study.settings(), study.axis_names
    for point in study.points() if points is None else points:
        settings = {**fixed, **dict(zip(names, point, strict=True))}
        for seed in study.seeds:
            yield study.trial(settings, seed)


def networks(trials: Iterable[Trial]) -> list[NetworkTrial]:
    """Return trials as those of phasemap's own networks; UserError where a program of somebody else trains them."""
    trials = list(trials)
    own = [trial for trial in trials if isinstance(trial, NetworkTrial)]
    if len(own) < len(trials):
        raise UserError("a program trains the study's trials: there are no networks of phasemap to look at")
    return own


def find_trial(study: Study, trial_id: str) -> Trial:
    """Return a study's trial by its id, or by the first 6 or more digits of it; UserError unless there is one."""
    short, ids = len(trial_id) < SHORTEST_PREFIX, grid_ids(study)
    numbers = [] if short else [number for number, one in enumerate(ids) if one.startswith(trial_id)]
    if len(numbers) == 1:
        return _numbered(study, numbers[0])
    if numbers:
        several = ", ".join(ids[number] for number in numbers[:5])
        raise UserError(f"{trial_id} is the start of {len(numbers)} trials ({several}); allowed: more digits of one id")
    what = f"too short for the id of a trial of {study.name}" if short else f"not a trial of {study.name}"
    raise UserError(
        f"{trial_id} is {what}; allowed: an id in its trials.parquet, or at least its first {SHORTEST_PREFIX} digits"
    )


def _numbered(study: Study, number: int) -> Trial:
    """Return one trial by its position in the order of ``expand``."""
    position, seed = divmod(number, len(study.seeds))
    (point,) = itertools.islice(study.points(), position, position + 1)
    return list(expand(study, [point]))[seed]


def count_trials(study: Study) -> int:
    """Count the trials of a study's full grid."""
    return study.n_points * len(study.seeds)


def trials_of_run(study: Study, n_known: int) -> int:
    """Count the trials that a run is to have: those of its grid, or where its points lie on none those that it has."""
    return n_known if study.scattered else count_trials(study)


def values_of(study: Study, name: str) -> list[tuple[KeyPath, Any]]:
    """Return (path in the file, value) for every value that a setting takes in a study."""
    if name in study.axis_names:
        return [(("axes", name, i), value) for i, value in enumerate(study.axis(name).values)]
    setting = study.declared.get(name) or NETWORK_SETTINGS[name]  # of others: what it is for all networks
    return [((setting.section, setting.key), study.setting(name))]


def together(study: Study, *names: str) -> Iterator[tuple[tuple[KeyPath, Any], ...]]:
    """Yield every combination of the values of several settings, each with its path."""
    yield from itertools.product(*(values_of(study, name) for name in names))


def longest_training(study: Study) -> int | None:
    """Return the largest number of optimizer steps among a study's trials; None where only its program knows."""
    if not isinstance(study, NetworkStudy):
        return None
    lengths = together(study, "steps", "batch_size", "scale_to_batch")
    return max(scaled_steps(*(value for _, value in values)) for values in lengths)
