"""Points: the trials of each combination of axis values merged over their seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from phasemap.diagram.diagram import STEP
from phasemap.diagram.frontier import MapFrontier, frontier_sides, generalization_wins, map_frontiers
from phasemap.phases.built_in import GENERALIZATION, N_CLASSES, N_CORRUPTED, WINS_COLUMN, phase_named
from phasemap.results.schema import setting_values
from phasemap.study.names import GENERALIZES, PEAKS
from phasemap.study.spec import PhaseRule, Study
from phasemap.study.trials import grid_ids

NORMAL_975 = 1.959963984540054  # the 97.5 % quantile of the normal distribution, as SciPy has it


def mean_columns(study: Study) -> tuple[str, ...]:
    """Return the columns of trials that are averaged over a point's seeds, in the order of the table of points."""
    recorded = study.recorded
    shares = tuple(name for name in recorded.facts if name not in recorded.whole)
    return (*recorded.quantities, *(PEAKS if study.phases.own is None else ()), *shares, *recorded.finals)


def point_table(study: Study, trials: pd.DataFrame, steps: Sequence[int] = ()) -> pd.DataFrame:
    """Return one row a point of the study's grid, also where nothing has been trained yet (null phase).

    With rising ``steps``, of which the column ``step`` of the trials has one, a row for each point and step.
    Means and deviations are over the seeds that ended ``ok``; a phase that two seeds share by the same count is
    decided in the order of the rule's phases (memorization, forgetting, confusion, grokking).
    """
    points = list(study.points())
    axes = enumerate(study.axis_names)
    values = {n: setting_values(study.declared[n], [point[i] for point in points]) for i, n in axes}
    frame = pd.DataFrame(values, dtype=object).infer_objects()
    places = pd.Index(grid_ids(study)).get_indexer(pd.Index(trials["trial_id"]))
    point = places // len(study.seeds)
    if steps:
        frame = frame.loc[frame.index.repeat(len(steps))].reset_index(drop=True)
        point = point * len(steps) + np.searchsorted(steps, trials[STEP])
    trials = trials.assign(point=point)[places >= 0]
    ok = trials[trials["status"] == "ok"]
    n_points = len(frame)

    labels = point_labels(study, ok, n_points)
    columns: dict[str, Any] = {name: found for name, found in labels.items() if name != WINS_COLUMN}
    for status in ("failed", "diverged", *(["stopped"] if "source_state" in trials else [])):
        of_status = trials["point"].to_numpy()[(trials["status"] == status).to_numpy()]
        columns[f"n_{status}"] = np.bincount(of_status, minlength=n_points)
    averaged = list(mean_columns(study))
    grouped = ok.groupby("point")[averaged]
    means, deviations = (table.reindex(range(n_points)) for table in (grouped.mean(), grouped.std()))
    for name in averaged:
        columns |= {name: means[name].to_numpy(dtype=float), f"{name}_std": deviations[name].to_numpy(dtype=float)}
    frame = pd.DataFrame({**frame, **columns})  # in one go: a column after the other takes half of the time
    frame = frame.assign(**_sides(study, frame, labels), inferred=False, confidence=np.nan)
    return frame.assign(**{STEP: np.tile(steps, len(points))}) if steps else frame


def _sides(study: Study, frame: pd.DataFrame, labels: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that say on which side of each frontier the points are."""
    sides: dict[str, Any] = {}
    for frontier in map_frontiers(study):
        if frontier.name == GENERALIZATION and frontier.against is None:
            sides[GENERALIZES] = _generalizes(study, frame, frontier)
        elif frontier.tested:
            sides[WINS_COLUMN] = labels[WINS_COLUMN]
        else:
            sides[f"frontier_{frontier.name}"] = frontier_sides(frontier, frame)
    return sides


def _generalizes(study: Study, frame: pd.DataFrame, frontier: MapFrontier) -> Any:
    """Tell which points generalize: by their phase, or of own labels by the frontier that is called so."""
    if study.phases.own is None:
        answer = pd.array(frame["phase"] == phase_named(GENERALIZES), dtype="boolean")
    else:
        values = frame[frontier.quantity]
        answer = pd.array(np.where(values.isna(), pd.NA, values >= frontier.level), dtype="boolean")
    answer[frame["n_seeds"] == 0] = pd.NA
    return answer


def point_labels(study: Study, ok: pd.DataFrame, n_points: int) -> dict[str, np.ndarray]:
    """Merge the labels of trials that ended ``ok`` into columns (n_points,): what a majority of the seeds says.

    ``ok`` has the number of each trial's point, phase, subphase, what the networks answered to corrupted examples, and
    how many of these there are.
    """
    rule = study.phases
    phase = _counts(ok, "phase", rule.phases, n_points)
    subphase = _counts(ok, "subphase", rule.labels, n_points)
    n_seeds = np.bincount(ok["point"].to_numpy(dtype=np.int64), minlength=n_points)
    n_labelled = phase.sum(axis=1)
    majority = _most_frequent(rule.phases, phase)
    agreeing = phase.max(axis=1, initial=0)
    low, high = _wilson(agreeing, n_labelled)
    return {
        "phase": _where_seen(n_labelled, majority),
        "subphase": _where_seen(n_labelled, _majority_within(rule, subphase, majority)),
        "agreement": np.where(n_labelled > 1, agreeing / np.maximum(n_labelled, 1), np.nan),
        "agreement_low": low,
        "agreement_high": high,
        "n_seeds": n_seeds,
        WINS_COLUMN: _where_seen(n_seeds, _wins(study, ok, n_points)),
    }


def _wilson(agreeing: np.ndarray, n_seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return Wilson's 95 % interval of the agreement (n_points,) each; NaN with one seed: no spread is known.

    Newcombe 1998, method 3, operation by operation as in ``scipy.stats.binomtest``, which takes a second to import.
    """
    n = np.where(n_seeds > 1, n_seeds, np.nan)
    share, z = agreeing / n, NORMAL_975
    width = 2 * (n + z**2)
    centre = (2 * n * share + z**2) / width
    reach = z / width * np.sqrt(4 * n * share * (1 - share) + z**2)
    low, high = np.where(agreeing == 0, 0.0, centre - reach), np.where(agreeing == n, 1.0, centre + reach)
    return np.where(n_seeds > 1, low, np.nan), high


def _where_seen(n_seeds: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return values (n_points,) with None where no seed has a label yet."""
    answer = values.astype(object)
    answer[n_seeds == 0] = None
    return answer


def _counts(ok: pd.DataFrame, column: str, names: Sequence[str], n_points: int) -> np.ndarray:
    """Count (n_points, len(names)) seeds by label."""
    table = np.zeros((n_points, len(names)), dtype=np.int64)
    codes = pd.Categorical(ok[column], categories=list(names)).codes
    there = codes >= 0  # a trial whose label can't be told counts for none
    np.add.at(table, (ok["point"].to_numpy(dtype=np.int64)[there], codes[there]), 1)
    return table


def _majority_within(rule: PhaseRule, counts: np.ndarray, phase: np.ndarray) -> np.ndarray:
    """Return the most frequent subphase among those of each point's phase."""
    names = rule.labels
    phase_of = np.asarray([rule.phase_of[name] for name in rule.labels], dtype=object)
    return _most_frequent(names, np.where(phase_of[None, :] == phase[:, None], counts, -1))


def _most_frequent(names: Sequence[str], counts: np.ndarray) -> np.ndarray:
    """Return the name (n_points,) with the highest count (n_points, names), the first of equal ones; None of none."""
    if not len(names):
        return np.full(len(counts), None, dtype=object)
    return np.asarray(names, dtype=object)[counts.argmax(axis=1)]


def _wins(study: Study, ok: pd.DataFrame, n_points: int) -> np.ndarray:
    """Pool the corrupted examples of a point's seeds and test which answer is more frequent; None if not tested."""
    tested = [frontier for frontier in map_frontiers(study) if frontier.tested]
    if not tested:
        return np.full(n_points, None, dtype=object)
    corrupted = ok[N_CORRUPTED].to_numpy(dtype=np.int64)
    point = ok["point"].to_numpy(dtype=np.int64)

    def pooled(counts: np.ndarray) -> np.ndarray:
        return np.bincount(point, weights=counts, minlength=n_points).round().astype(np.int64)

    recovered, memorized = (np.round(ok[name].fillna(0.0).to_numpy() * corrupted) for name in tested[0].quantities)
    chance = np.ones(n_points)
    chance[point] = 1.0 / ok[N_CLASSES].to_numpy(dtype=float)
    return generalization_wins(pooled(recovered), pooled(memorized), pooled(corrupted), chance)
