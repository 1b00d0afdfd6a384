"""All labels of trials from their curves, as one table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phasemap.phases.curves import ACCURACIES, QUANTITIES, Curves
from phasemap.phases.labels import columns, curve_terms, label_reasons, label_trials, settled, step_times
from phasemap.phases.rules import DOSHI2024, MEMORIZED_FRACTION, phases, subphases
from phasemap.study.conditions import Condition
from phasemap.study.names import STEP_TIMES
from phasemap.study.rule_file import rule_of
from phasemap.study.spec import PhaseRule

LABEL_COLUMNS = (
    "phase",
    "subphase",
    "rule",
    "subphase_doshi2024",
    "subphase_memorized_fraction",
    "label_reason",
    "peak_test_accuracy",
    *STEP_TIMES,
    "delayed",
    "horizon",
    "settled",
)


def label_curves(curves: Curves, rule: PhaseRule) -> pd.DataFrame:
    """Label n trials at the horizon of their curves: one row a trial, LABEL_COLUMNS and the last quantities.

    Of own labels the rule's step times and columns follow; where it has none of the built-in names, these are those
    of ``memorized_fraction``.
    """
    found = rule_of(rule)
    terms = curve_terms(curves, found)
    labelled = label_trials(found, terms, len(curves))
    subphase = labelled.names(found)
    standard = found if rule.own is None else rule_of(MEMORIZED_FRACTION)
    times = step_times(curves, found)
    further = columns(curves, found, times)
    standard_times = step_times(curves, standard)
    known = standard_times | columns(curves, standard, standard_times) | times | further
    return pd.DataFrame(
        {
            "phase": phases(subphase, rule),
            "subphase": subphase,
            "rule": rule.rule,
            "subphase_doshi2024": subphases(curves, DOSHI2024),
            "subphase_memorized_fraction": subphases(
                curves, rule if rule.rule == "memorized_fraction" else MEMORIZED_FRACTION
            ),
            "label_reason": label_reasons(found, terms, labelled),
            "peak_test_accuracy": curves.values["test_accuracy"].max(axis=1),
            **{name: known[name] for name in STEP_TIMES},
            "delayed": pd.array(known["delayed"], dtype="boolean"),
            "horizon": np.full(len(curves), curves.steps[-1]),
            "settled": pd.array(settled(curves, found, labelled.codes), dtype="boolean"),
            **{name: _column(known[name]) for name in own_columns(rule)},
            **{name: curves.values[name][:, -1] for name in QUANTITIES if name in curves.values},
        }
    )


def own_columns(rule: PhaseRule) -> dict[str, type[float] | type[bool]]:
    """Return the columns that own labels add to those of every table, with what they hold: float or bool."""
    if rule.own is None:
        return {}
    found: dict[str, type[float] | type[bool]] = {name: float for name, _ in rule.own.times}
    found |= {name: bool if isinstance(column, Condition) else float for name, column in rule.own.columns}
    return {name: kind for name, kind in found.items() if name not in LABEL_COLUMNS}


def needed_of(rule: PhaseRule) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the quantities whose curves labels are made of, the accuracies first, and the facts beside n_corrupted."""
    if rule.own is None:
        return ACCURACIES, ()
    facts = sorted(rule.own.facts - {"corruption", "n_corrupted"})
    return tuple(dict.fromkeys((*ACCURACIES, *sorted(rule.own.needed)))), tuple(facts)


def _column(values: NDArray[Any]) -> Any:
    return pd.array(values, dtype="boolean") if values.dtype == object else values


def label_frame(frame: pd.DataFrame, rule: PhaseRule) -> pd.DataFrame:
    """Label trials given in long form: trial_id, step, the accuracies, and corruption and n_corrupted per trial.

    Own labels may need further quantities, settings and facts, by their names. Returns a table indexed by trial_id with
    LABEL_COLUMNS and own columns. Where the table has a status, only trials that ended ``ok``
    get labels. Raises ValueError when a column is missing.
    """
    found = rule_of(rule)
    needed = ("trial_id", "step", "corruption", "n_corrupted", *ACCURACIES, *sorted(found.needed | found.facts))
    missing = [name for name in dict.fromkeys(needed) if name not in frame]
    if missing:
        raise ValueError(f"the curves lack the columns {', '.join(missing)}")
    parts = []
    names = [*LABEL_COLUMNS, *own_columns(rule)]
    for ids, whole in curves_in(frame, rule):
        curves = whole if rule.at_step is None else whole.until(rule.at_step)
        labels = label_curves(curves, rule)[names]
        parts.append(labels.set_index(pd.Index(ids, name="trial_id")))
    return pd.concat(parts) if parts else pd.DataFrame(columns=names)


def curves_in(frame: pd.DataFrame, rule: PhaseRule = MEMORIZED_FRACTION) -> Iterator[tuple[np.ndarray, Curves]]:
    """Yield (trial ids, curves) for every group of ``ok`` trials in long form that were recorded at the same steps.

    They hold the accuracies and what the rule needs.
    """
    if "status" in frame:
        frame = frame[frame["status"] == "ok"]
    quantities, facts = needed_of(rule)
    ordered = frame.sort_values(["trial_id", "step"])
    steps = ordered.groupby("trial_id", sort=False)["step"].agg(tuple)
    for same_steps, ids in steps.groupby(steps, sort=False).groups.items():
        rows = ordered[ordered["trial_id"].isin(ids)]
        shape = (len(ids), len(same_steps))
        first = rows.iloc[:: shape[1]]
        yield (
            first["trial_id"].to_numpy(),
            Curves(
                steps=np.asarray(same_steps, dtype=np.int64),
                values={q: rows[q].to_numpy(dtype=float).reshape(shape) for q in quantities},
                corruption=first["corruption"].to_numpy(dtype=float),
                n_corrupted=first["n_corrupted"].to_numpy(dtype=np.int64),
                facts={name: first[name].to_numpy(dtype=float) for name in facts},
            ),
        )
