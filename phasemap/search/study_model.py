"""How a study's map is modelled: by the terms of its rule, by the sides of a frontier, or by the labels themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from phasemap.phases.evaluation import GivenTerms
from phasemap.phases.terms import (
    SHOWN,
    Reading,
    frontier_readings,
    label_readings,
    labelled_above,
    quantity_kinds,
    rule_facts,
    shown_quantities,
    stand_in_values,
)
from phasemap.search.boundary import OFF_GRID, Observed
from phasemap.search.labelling import ByRule, BySide, Codes, Labelling, Names, OneHot, side_codes
from phasemap.search.modelled import Modelled, Models, explained, model_columns
from phasemap.search.scales import Logit
from phasemap.search.target import Floats, Places, coordinates_off_grid, target_of
from phasemap.study.conditions import Term, quantities_of
from phasemap.study.rule import Frontier
from phasemap.study.rule_file import rule_of
from phasemap.study.spec import WHOLE_MAP, Study
from phasemap.study.trials import count_trials, grid_ids

MOST_TERMS = 8  # that are modelled; of more, the labels themselves are
MOST_UNKNOWN = 0.1  # the share of the trials with an undefined term or without a label; likewise
NEAR = 50  # measured points that tell of a fact elsewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class MapModel:
    """What the trials of a study say of its map, and how draws of its quantities become labels or sides."""

    observed: Observed
    labelling: Labelling
    models: tuple[Modelled, ...]  # of the quantities (q); none where the labels are modelled
    instead: str | None = None  # why the labels themselves are modelled


def frontier_of(study: Study, metric: str) -> Frontier | None:
    """Return the frontier that a metric names; None for the whole map."""
    if metric == WHOLE_MAP:
        return None
    return next(frontier for frontier in rule_of(study.phases).frontiers if frontier.name == metric)


def names_of(study: Study) -> Names:
    """Return what the codes of a study's labels are called; own ones may lack a label."""
    phases = study.phases
    return Names(
        labels=phases.labels, phases=phases.phases, phase_of=phases.phase_of, with_unlabelled=phases.own is not None
    )


def readings_of(study: Study, metric: str) -> tuple[Reading, ...]:
    """Return the columns of the table of trials that decide a metric."""
    frontier = frontier_of(study, metric)
    return label_readings(study) if frontier is None else frontier_readings(study, frontier)


def usable(study: Study, trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials that a model learns from: those that ended ``ok``; by a built-in rule, if they have a label.

    By own labels also those that diverged, which have none, where any ended ``ok``.
    """
    if study.phases.own is None:
        return trials[(trials["status"] == "ok") & trials["subphase"].notna()]
    ended = trials[trials["status"].isin(("ok", "diverged"))]
    return ended if (ended["status"] == "ok").any() else ended[:0]


def map_model(study: Study, trials: pd.DataFrame, metric: str | None = None) -> MapModel:
    """Return what ``usable`` trials of a study say of a metric, by default of its search's."""
    metric = study.search.metric if metric is None else metric
    places, seeds = numbers_of(study, trials["trial_id"].tolist())
    frontier, readings = frontier_of(study, metric), readings_of(study, metric)
    reason = why_labels(study, trials, metric)
    models = () if reason else _models(study, readings, trials)
    side_by_side = Models(models)
    needed = {part.undefined_without for part in models} - {None}
    rule, names = rule_of(study.phases), names_of(study)
    wanted = (*(rule_facts(rule) if frontier is None else ()), *sorted(map(str, needed)))
    facts = {} if reason else point_facts(study, wanted, trials, places)
    codes = names.codes(trials["subphase"]) if frontier is None else _sides(study, frontier, trials)
    labelling: Labelling
    if reason:
        of_map = names.groups if frontier is None else None
        unlabelled = names.unlabelled if frontier is None else None
        labelling = OneHot(len(of_map or range(3)), groups=of_map, unlabelled=unlabelled)
    elif frontier is None:
        labelling = ByRule(rule=rule, names=names, models=side_by_side, facts=facts)
    else:
        labelling = BySide(rule=rule, frontier=frontier, models=side_by_side, facts=facts)
    values = side_by_side.surfaces(as_read(study, trials))
    groups = side_by_side.groups if study.phases.own is not None else None
    at = coordinates_off_grid(study, trials) if (places == OFF_GRID).any() else None
    observed = Observed(places=places, seeds=seeds, codes=codes, values=values, groups=groups, at=at)
    return MapModel(observed=observed, labelling=labelling, models=models, instead=reason)


def why_labels(study: Study, trials: pd.DataFrame | None, metric: str | None = None) -> str | None:
    """Say why the labels themselves are modelled and not the terms of the rule; None where the terms are.

    ``trials`` are ``usable`` ones; without any, what the rule alone tells.
    """
    if study.phases.own is None:
        return None
    metric = study.search.metric if metric is None else metric
    readings = readings_of(study, metric)
    if len(readings) > MOST_TERMS:
        return f"the rule has {len(readings)} terms, more than {MOST_TERMS}"
    if trials is None or not len(trials):
        return None
    if missing := [reading.column for reading in readings if reading.column not in trials]:
        return f"the table of trials lacks {', '.join(missing)}"
    unknown = np.zeros(len(trials), dtype=bool)
    for reading in readings:
        values = trials[reading.column].to_numpy(dtype=float)
        unknown |= np.isnan(values) & ~explained(values, trials, _needs(study, reading))
    if metric == WHOLE_MAP:
        unknown |= trials["subphase"].isna().to_numpy()
    share = float(unknown.mean())
    if share <= MOST_UNKNOWN:
        return None
    return f"{100 * share:.0f} % of the trials have an undefined term or no label, more than {100 * MOST_UNKNOWN:g} %"


def shown_models(study: Study, trials: pd.DataFrame) -> tuple[Modelled, ...]:
    """Return the quantities that are inferred where nothing was trained: those that the rule looks at, or else all."""
    if study.phases.own is None:
        return tuple(_plain(name, (), None) for name in SHOWN if name in trials)
    kinds = shown_quantities(study) if study.phases.labels else quantity_kinds(study)
    readings = [Reading(column=name, kind=kind, terms=()) for name, kind in kinds.items() if name in trials]
    there = [reading for reading in readings if np.isfinite(trials[reading.column].to_numpy(dtype=float)).any()]
    return tuple(
        replace(model_columns([reading], trials, _all_needs(study, [reading]))[0], outcomes=(0.0,)) for reading in there
    )


def point_facts(study: Study, names: Sequence[str], trials: pd.DataFrame, places: Places) -> dict[str, Floats]:
    """Return settings and facts (n,) of each point of a study's grid, by name.

    Settings are those of the point. Facts are those of the ``trials`` at ``places`` of the grid; elsewhere what the
    settings tell of them, in the same proportion, or else what the measured points around have.
    """
    facts = {}
    on_grid = places != OFF_GRID
    trials, places = trials[on_grid], places[on_grid]
    for name in dict.fromkeys(names):
        if name in study.declared:
            facts[name] = _setting(study, name)
            continue
        known = trials[name].to_numpy(dtype=float)
        told = _expected(study).get(name)
        values = _around(study, known, places) if told is None else told * known.sum() / (told[places].sum() or 1.0)
        values = np.round(values) if name in study.recorded.whole else values
        values[places] = known
        facts[name] = values
    return facts


def numbers_of(study: Study, trial_ids: Sequence[str]) -> tuple[Places, Places]:
    """Return the point and the seed's number of each trial (n,) of a study; OFF_GRID of trials between its points."""
    numbers = pd.Index(grid_ids(study)).get_indexer(pd.Index(list(trial_ids)))
    places, seeds = np.divmod(numbers.astype(np.int64), len(study.seeds))
    return np.where(numbers < 0, OFF_GRID, places), np.where(numbers < 0, 0, seeds)


def _models(study: Study, readings: Sequence[Reading], trials: pd.DataFrame) -> tuple[Modelled, ...]:
    if study.phases.own is None:
        return tuple(_plain(reading.column, reading.terms, _needs(study, reading)) for reading in readings)
    return model_columns(readings, trials, _all_needs(study, readings))


def _plain(column: str, terms: tuple[Term, ...], fact: str | None) -> Modelled:
    """Return an accuracy as the built-in rules have been modelled ever since: drawn ones stay saturated."""
    return Modelled(column=column, terms=terms, scale=Logit(taken_out=False), undefined_without=fact)


def _needs(study: Study, reading: Reading) -> str | None:
    """Return the fact without which what was read is undefined."""
    needs = study.recorded.undefined_without
    names = {reading.column, *(name for term in reading.terms for name in quantities_of(term))}
    return next((needs[name] for name in sorted(names & needs.keys())), None)


def _all_needs(study: Study, readings: Sequence[Reading]) -> dict[str, str]:
    needs = ((reading.column, _needs(study, reading)) for reading in readings)
    return {column: fact for column, fact in needs if fact is not None}


def as_read(study: Study, trials: pd.DataFrame) -> pd.DataFrame:
    """Return the table of trials as a model reads it."""
    return stand_in_values(trials, study.phases) if study.phases.own is None else trials


def _sides(study: Study, frontier: Frontier, trials: pd.DataFrame) -> Codes:
    """Return the side (n,) of a frontier on which trials are."""
    if study.phases.own is None and (above := labelled_above(frontier.name, trials)) is not None:
        return above.astype(np.int64)
    readings = frontier_readings(study, frontier)
    given: dict[Term, NDArray[Any]] = {
        term: trials[reading.column].to_numpy(dtype=float) for reading in readings for term in reading.terms
    }
    return side_codes(frontier, GivenTerms(given, dict(rule_of(study.phases).parameters)), len(trials))


def _setting(study: Study, name: str) -> Floats:
    """Return a setting (n,) of each point; NaN where it is no number."""
    if name not in study.axis_names:
        return np.full(count_trials(study) // len(study.seeds), _number(study.setting(name)))
    shape = [len(axis.values) for axis in study.axes]
    numbers = np.indices(shape)[study.axis_names.index(name)].ravel()
    return np.asarray([_number(value) for value in study.axis(name).values])[numbers]


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else np.nan


@lru_cache(maxsize=1)
def _expected(study: Study) -> dict[str, Floats]:
    """Return what settings tell of the facts (n,) of each point, by name."""
    fixed, names = study.settings(), study.axis_names
    rows = [study.expected_facts({**fixed, **dict(zip(names, point, strict=True))}) for point in study.points()]
    return {name: np.asarray([row[name] for row in rows], dtype=float) for name in rows[0]}


def _around(study: Study, known: Floats, places: Places) -> Floats:
    """Return a fact (n,) of each point, on the surface through the measured points around it."""
    at = target_of(study).coordinates()
    measured, first = np.unique(places, return_index=True)
    values = known[first]
    if not len(measured):
        return np.full(len(at), np.nan)
    if len(measured) == 1 or np.ptp(values) == 0:
        return np.full(len(at), values[0])
    surface = RBFInterpolator(at[measured], values, kernel="linear", degree=0, neighbors=min(NEAR, len(measured)))
    return np.clip(surface(at), values.min(), values.max())
