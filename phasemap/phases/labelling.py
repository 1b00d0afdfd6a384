"""All labels of trials from their curves, as one table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phasemap.phases.curves import Curves
from phasemap.phases.labels import (
    DOSHI2024,
    MEMORIZED_FRACTION,
    columns,
    curve_terms,
    label_reasons,
    label_trials,
    phases,
    settled,
    step_times,
    subphases,
)
from phasemap.study.conditions import Condition, Value
from phasemap.study.names import PEAKS
from phasemap.study.rule import Rule
from phasemap.study.rule_file import rule_of
from phasemap.study.spec import PhaseRule

NAMES = ("phase", "subphase", "rule")
BOTH_RULES = {"subphase_doshi2024": DOSHI2024, "subphase_memorized_fraction": MEMORIZED_FRACTION}
"""What a built-in rule adds: the labels by both of them."""


def name_columns(rule: PhaseRule) -> tuple[str, ...]:
    """Return the columns of texts that labelling by a rule gives, in the order of the table."""
    return (*NAMES, *(BOTH_RULES if rule.own is None else ()), "label_reason")


def number_columns(rule: PhaseRule) -> dict[str, type[float] | type[bool] | type[int]]:
    """Return the other columns that labelling by a rule gives, with what they hold, in the order of the table."""
    parsed = rule_of(rule)
    times: dict[str, type[float] | type[bool] | type[int]] = {name: float for name, _ in parsed.times}
    further = {name: bool if isinstance(column, Condition) else float for name, column in parsed.columns}
    ends: dict[str, type[float] | type[bool] | type[int]] = {"horizon": int, "settled": bool}
    if rule.own is None:
        return dict.fromkeys(PEAKS, float) | times | further | ends
    return ends | times | further


def label_columns(rule: PhaseRule) -> tuple[str, ...]:
    """Return the columns that labelling by a rule gives."""
    return (*name_columns(rule), *number_columns(rule))


def label_curves(curves: Curves, rule: PhaseRule) -> pd.DataFrame:
    """Label n trials at the horizon of their curves: one row a trial, ``label_columns`` and the last quantities."""
    parsed = rule_of(rule)
    terms = curve_terms(curves, parsed)
    labelled = label_trials(parsed, terms, len(curves))
    subphase = labelled.names(parsed)
    times = step_times(curves, parsed)
    known: dict[str, Any] = {
        "phase": phases(subphase, rule),
        "subphase": subphase,
        "rule": rule.rule,
        "label_reason": label_reasons(parsed, terms, labelled),
        **times,
        **columns(curves, parsed, times),
        "horizon": np.full(len(curves), curves.steps[-1]),
        "settled": settled(curves, parsed, labelled.codes),
    }
    if rule.own is None:
        known |= {name: subphases(curves, _thresholds(rule, other)) for name, other in BOTH_RULES.items()}
        known |= {name: curves.values[quantity].max(axis=1) for name, quantity in PEAKS.items()}
    truths = {name for name, kind in number_columns(rule).items() if kind is bool}
    frame = {name: pd.array(known[name], dtype="boolean") if name in truths else known[name] for name in known}
    ordered = {name: frame[name] for name in label_columns(rule)}
    return pd.DataFrame({**ordered, **{name: values[:, -1] for name, values in curves.values.items()}})


def rules_differ(trials: pd.DataFrame) -> tuple[int, int] | None:
    """Return on how many trials the built-in rules differ, and how many both label; None where they don't apply."""
    if not set(BOTH_RULES) <= set(trials):
        return None
    both = trials[list(BOTH_RULES)].dropna()
    return int((both.iloc[:, 0] != both.iloc[:, 1]).sum()), len(both)


def _thresholds(rule: PhaseRule, other: PhaseRule) -> PhaseRule:
    """Return a built-in rule with the study's thresholds where the study labels by it; the paper's has its own."""
    return rule if rule.rule == other.rule == MEMORIZED_FRACTION.rule else other


def needed_of(rule: PhaseRule) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the quantities whose curves labels and frontiers are made of, and the settings and facts."""
    rules = [rule_of(rule)] if rule.own else [rule_of(rule), *map(rule_of, BOTH_RULES.values())]
    quantities = {name for one in rules for name in (*one.needed, *_drawn(one))}
    return tuple(sorted(quantities)), tuple(sorted({name for one in rules for name in one.facts}))


def _drawn(rule: Rule) -> Iterator[str]:
    """Yield the quantities that a rule's frontiers are drawn from."""
    for line in (line for frontier in rule.frontiers for line in frontier.lines):
        yield line.quantity
        if isinstance(line.level, Value):
            yield line.level.quantity


def label_frame(frame: pd.DataFrame, rule: PhaseRule) -> pd.DataFrame:
    """Label trials given in long form: trial_id, step, and the quantities, settings and facts that a rule looks at.

    Returns a table indexed by trial_id with ``label_columns``. Where the table has a status, only trials that ended
    ``ok`` get labels. Raises ValueError when a column is missing.
    """
    missing = [
        name for name in ("trial_id", "step", *(n for names in needed_of(rule) for n in names)) if name not in frame
    ]
    if missing:
        raise ValueError(f"the curves lack the columns {', '.join(missing)}")
    parts = []
    names = list(label_columns(rule))
    for ids, whole in curves_in(frame, rule):
        curves = whole if rule.at_step is None else whole.until(rule.at_step)
        labels = label_curves(curves, rule)[names]
        parts.append(labels.set_index(pd.Index(ids, name="trial_id")))
    return pd.concat(parts) if parts else pd.DataFrame(columns=names)


def curves_in(frame: pd.DataFrame, rule: PhaseRule = MEMORIZED_FRACTION) -> Iterator[tuple[np.ndarray, Curves]]:
    """Yield (trial ids, curves) for every group of ``ok`` trials in long form that were recorded at the same steps.

    They hold what the rule needs.
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
        known: Mapping[str, NDArray[Any]] = {name: first[name].to_numpy(dtype=float) for name in facts}
        yield (
            first["trial_id"].to_numpy(),
            Curves(
                steps=np.asarray(same_steps, dtype=np.int64),
                values={q: rows[q].to_numpy(dtype=float).reshape(shape) for q in quantities},
                facts=known,
                n=len(ids),
            ),
        )
