"""The points that a search did not measure: labels and quantities as the model of the measured ones expects them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from phasemap.diagram.statistics import generalization_wins
from phasemap.diagram.tables import Tables
from phasemap.search.boundary import Belief
from phasemap.search.labelling import MODELLED, PHASE_OF, SATURATION, Floats, model_values
from phasemap.search.study_map import boundary_search, observe
from phasemap.search.surfaces import Prediction
from phasemap.study.names import PHASES, SUBPHASES

SATURATED = np.asarray([SATURATION, 2 * SATURATION, 1 - 2 * SATURATION, 1 - SATURATION])


def complete(tables: Tables) -> Tables:
    """Fill in the points of a search that have no trial: they are ``inferred``, with a ``confidence``.

    Their quantities are what the model expects, and the deviations how far a network trained there may be off. Points
    whose trials all failed or diverged stay as they are; a grid's are returned as they came.
    """
    study, points = tables.study, tables.points
    bare = (points[["n_seeds", "n_failed", "n_diverged"]].sum(axis=1) == 0).to_numpy()
    if study.search.kind == "grid" or not bare.any() or not (tables.trials["status"] == "ok").any():
        return tables
    mapped = study.model_copy(update={"search": study.search.model_copy(update={"metric": "phases"})})
    ok = tables.trials[(tables.trials["status"] == "ok") & tables.trials["subphase"].notna()]
    observed, labelling = observe(mapped, ok)
    search = boundary_search(mapped)
    found = search.believe(replace(observed, values=model_values(ok, study.phases)), labelling, np.flatnonzero(bare))
    expected = search.surfaces.predict(search.coordinates[bare])
    columns = _labels(found) | _quantities(expected)
    columns["generalization_wins"] = _wins(columns, labelling.n_corrupted[bare], 1 / ok["n_classes"].median())
    return replace(tables, points=_filled_in(points, bare, columns))


def _filled_in(points: pd.DataFrame, bare: NDArray[np.bool_], columns: Mapping[str, NDArray[Any]]) -> pd.DataFrame:
    filled = points.copy()
    for name, column in columns.items():
        if name not in points:
            continue
        values = points[name].array.copy() if name == "generalizes" else points[name].to_numpy(copy=True)
        values[bare] = column
        filled[name] = values
    return filled


def _labels(found: Belief) -> dict[str, NDArray[Any]]:
    """Return the likeliest phase, the likeliest subphase within it, and how likely a network trained there has it."""
    phase = found.group.argmax(axis=1)
    subphase = np.where(phase[:, None] == PHASE_OF, found.code, -1.0).argmax(axis=1)
    return {
        "phase": np.asarray(PHASES, dtype=object)[phase],
        "subphase": np.asarray(SUBPHASES, dtype=object)[subphase],
        "generalizes": np.asarray(PHASES)[phase] == "grokking",
        "inferred": np.ones(len(phase), dtype=bool),
        "confidence": found.one_seed[np.arange(len(phase)), phase],
    }


def _quantities(expected: Prediction) -> dict[str, NDArray[Any]]:
    """Return the expected accuracies and their deviations."""
    spread = np.sqrt(expected.spread**2 + expected.noise**2)
    columns = {}
    for number, name in enumerate(MODELLED):
        middle, off = expected.mean[:, number], spread[:, number]
        columns[name] = _accuracy(middle)
        columns[f"{name}_std"] = (_accuracy(middle + off) - _accuracy(middle - off)) / 2
    return columns


def _accuracy(values: Floats) -> Floats:
    """Return the accuracies of values on the model's scale, with its saturation taken out."""
    return np.interp(expit(values), SATURATED, [0.0, *SATURATED[1:3], 1.0])


def _wins(columns: Mapping[str, NDArray[Any]], n_corrupted: NDArray[np.int64], chance: float) -> NDArray[Any]:
    """Tell whether generalization beats memorization, as for one network with the expected accuracies."""
    recovered, memorized = (
        np.round(columns[name] * n_corrupted).astype(np.int64) for name in ("recovered_accuracy", "memorized_accuracy")
    )
    found = generalization_wins(recovered, memorized, n_corrupted, np.full(len(n_corrupted), chance))
    return found.astype(object)
