"""The points that a search did not measure: labels and quantities as the model of the measured ones expects them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phasemap.diagram.inferred import TESTED_FACTS, expected_sides
from phasemap.diagram.tables import Tables
from phasemap.phases.evaluation import GivenTerms
from phasemap.phases.terms import frontier_terms
from phasemap.search.belief import MapBelief, map_belief
from phasemap.search.labelling import Names, side_codes, sides
from phasemap.search.study_model import names_of, numbers_of, point_facts, usable
from phasemap.search.target import Floats
from phasemap.study.conditions import Term
from phasemap.study.rule_file import rule_of
from phasemap.study.spec import Study


def complete(tables: Tables) -> Tables:
    """Fill in the points of a search that have no trial: they are ``inferred``, with a ``confidence``.

    Their quantities are what the model expects, and the deviations how far a network trained there may be off. Points
    whose trials all failed or diverged stay as they are; a grid's are returned as they came.
    """
    study, points = tables.study, tables.points
    bare = (points[["n_seeds", "n_failed", "n_diverged"]].sum(axis=1) == 0).to_numpy()
    if study.search.kind == "grid" or not bare.any():
        return tables
    belief = map_belief(study, tables.trials)
    if belief is None:
        return tables
    known = usable(study, tables.trials)
    places, _ = numbers_of(study, known["trial_id"].tolist())
    needed = {part.undefined_without for part in belief.quantities} - {None}
    names = [name for name in dict.fromkeys((*sorted(map(str, needed)), *TESTED_FACTS)) if name in known]
    facts = {name: fact[bare] for name, fact in point_facts(study, names, known, places).items()}
    labels = _labels(belief, names_of(study), bare)
    quantities = _quantities(belief, facts, bare)
    told = expected_sides(study, labels["phase"], quantities, facts)
    columns = labels | quantities | _sides(study, quantities) | told
    return replace(tables, points=_filled_in(points, bare, columns))


def label_probabilities(study: Study, trials: pd.DataFrame) -> pd.DataFrame | None:
    """Return how likely each point of a study has each label and each phase; None where nothing is known."""
    belief, names = map_belief(study, trials), names_of(study)
    if belief is None:
        return None
    phases = {phase: belief.labels.group[:, number] for number, phase in enumerate(names.phases)}
    labels = {label: belief.labels.code[:, number] for number, label in enumerate(names.labels)}
    return pd.DataFrame(labels | phases)  # a phase may share its name with one of its labels


def _filled_in(
    points: pd.DataFrame, bare: NDArray[np.bool_], columns: Mapping[str, NDArray[Any] | None]
) -> pd.DataFrame:
    """Put values into the columns that there are, at points without a trial; None: what a rule can't tell."""
    filled = points.copy()
    for name, column in columns.items():
        if name not in points or column is None:
            continue
        truths = isinstance(points[name].dtype, pd.BooleanDtype)
        values = points[name].array.copy() if truths else points[name].to_numpy(copy=True)
        values[bare] = column
        filled[name] = values
    return filled


def _labels(belief: MapBelief, names: Names, bare: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    """Return the likeliest phase, the likeliest label within it, and how likely a network trained there has it."""
    group, code = belief.labels.group[bare], belief.labels.code[bare]
    phase = group.argmax(axis=1)
    label = np.where(phase[:, None] == np.asarray(names.groups), code, -1.0).argmax(axis=1)
    return {
        "phase": np.asarray([*names.phases, None], dtype=object)[phase],
        "subphase": np.asarray([*names.labels, None], dtype=object)[label],
        "inferred": np.ones(len(phase), dtype=bool),
        "confidence": belief.labels.one_seed[bare][np.arange(len(phase)), phase],
    }


def _quantities(belief: MapBelief, facts: Mapping[str, Floats], bare: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    """Return the expected quantities and their deviations; NaN where they are undefined."""
    mean = belief.expected.mean[bare]
    spread = np.sqrt(belief.expected.spread[bare] ** 2 + belief.expected.noise**2)
    columns = {}
    for number, part in enumerate(belief.quantities):
        middle, off = mean[:, number], spread[:, number]
        lost = facts[part.undefined_without] == 0 if part.undefined_without is not None else np.zeros(len(mean), bool)
        expected = part.scale.expected
        columns[part.column] = np.where(lost, np.nan, expected(middle))
        columns[f"{part.column}_std"] = np.where(lost, np.nan, (expected(middle + off) - expected(middle - off)) / 2)
    return columns


def _sides(study: Study, quantities: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the side of each frontier on which the expected quantities are."""
    rule, columns = rule_of(study.phases), {}
    for frontier in rule.frontiers:
        looked_at = {term: getattr(term, "quantity", "") for term in frontier_terms(frontier)}
        if not set(looked_at.values()) <= set(quantities):
            continue
        given: dict[Term, NDArray[Any]] = {term: quantities[name] for term, name in looked_at.items()}
        codes = side_codes(frontier, GivenTerms(given, dict(rule.parameters)), len(quantities[frontier.quantity]))
        columns[f"frontier_{frontier.name}"] = np.asarray(sides(frontier), dtype=object)[codes]
    return columns
