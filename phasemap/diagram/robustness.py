"""Does a point's label survive other thresholds, another window, half the horizon, and each seed's absence?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from phasemap.diagram.points import point_table
from phasemap.phases.curves import Curves
from phasemap.phases.labelling import curves_in, needed_of
from phasemap.phases.labels import Names, phases, subphases
from phasemap.study.rule_file import rule_of
from phasemap.study.spec import PhaseRule, Study

THRESHOLDS = (0.85, 0.95)
LEVELS = ("phase", "subphase")


def robustness(study: Study, trials: pd.DataFrame, points: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """Return one row a point: the axes, its labels, and the share of variants that keep the phase and the subphase.

    Variants: generalized and memorized at 0.85 and 0.95 (of built-in rules), the last record in place of the window
    (not for rules that have none), half of the horizon, and each seed left out (with two seeds or more). NaN where
    there is no label.
    """
    variants = [point_table(study, variant) for variant in _variants(study, trials, curves)]
    frame = points[list(study.axis_names)].copy()
    unlabelled = points["phase"].isna().to_numpy()
    for level in LEVELS:
        frame[level] = points[level]
        kept = np.mean([(v[level] == points[level]).to_numpy() for v in variants], axis=0)
        frame[f"{level}_share"] = np.where(unlabelled, np.nan, kept)
    frame["n_variants"] = len(variants)
    frame["n_seeds"] = points["n_seeds"]
    return frame


def _variants(study: Study, trials: pd.DataFrame, curves: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield the trials with the labels of each variant."""
    rule = study.phases
    facts = [name for name in needed_of(rule)[1] if name not in curves]
    groups = list(curves_in(curves.merge(trials[["trial_id", *facts]], on="trial_id") if facts else curves, rule))
    names = ("generalized", "memorized") if rule.own is None else ()
    other_rules = [rule.model_copy(update={name: t}) for name in names for t in THRESHOLDS]
    for other in other_rules:
        yield _relabelled(trials, rule, [(ids, subphases(group, other)) for ids, group in groups])
    if rule_of(rule).window > 0:
        yield _relabelled(trials, rule, [(ids, subphases(group, rule, windowed=False)) for ids, group in groups])
    yield _relabelled(trials, rule, [(ids, _at_half(group, rule)) for ids, group in groups])
    if len(study.seeds) > 1:
        for seed in study.seeds:
            yield trials[trials["seed"] != seed]


def _at_half(curves: Curves, rule: PhaseRule) -> Names:
    """Label at half of the horizon, or at the first record where that is later."""
    return subphases(curves.until(max(int(curves.steps[-1]) // 2, int(curves.steps[0]))), rule)


def _relabelled(trials: pd.DataFrame, rule: PhaseRule, labels: list[tuple[np.ndarray, Names]]) -> pd.DataFrame:
    label_of = {trial: label for ids, names in labels for trial, label in zip(ids, names, strict=True)}
    subphase = trials["trial_id"].map(label_of)
    phase = pd.Series(phases(subphase.to_numpy(dtype=object), rule), index=trials.index).where(subphase.notna())
    return trials.assign(subphase=subphase, phase=phase)
