"""Label trials by a rule, and find its step times and further columns; the built-in rules are files beside this one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemap.phases.curves import Curves, Floats
from phasemap.phases.evaluation import CurveTerms, Terms, number, truth
from phasemap.study.conditions import Condition, Parameter, terms_of
from phasemap.study.rule import WINDOW, Rule
from phasemap.study.rule_file import rule_of
from phasemap.study.spec import PhaseRule

Codes = NDArray[np.int64]
Names = NDArray[np.object_]

SETTLED_SHARE = 1 / 3
DOSHI2024 = PhaseRule(rule="doshi2024")
MEMORIZED_FRACTION = PhaseRule(rule="memorized_fraction")


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """The labels of n trials: numbers (n,) of a rule's labels, -1 where there is none."""

    codes: Codes
    undecided: Codes  # the number of the label whose condition is unknown, else -1

    def names(self, rule: Rule) -> Names:
        """Return the labels (n,); None where there is none."""
        return np.asarray([*rule.label_names, None], dtype=object)[self.codes]


def curve_terms(curves: Curves, rule: Rule, times: Mapping[str, Floats] | None = None) -> CurveTerms:
    """Return the terms of a rule over curves; in columns the step times have values too."""
    return CurveTerms(curves=curves, window=rule.window, parameters=dict(rule.parameters), times=times or {})


def label_trials(rule: Rule, terms: Terms, n: int) -> Labelled:
    """Give n trials the first label whose condition holds; one that is unknown ends the search without a label."""
    codes, undecided = np.full((2, n), -1, dtype=np.int64)
    open_ = np.ones(n, dtype=bool)
    for code, label in enumerate(rule.labels):
        truths = np.ones(n) if label.when is None else np.broadcast_to(truth(label.when, terms), (n, 1))[:, 0]
        codes[open_ & (truths == 1)] = code
        undecided[open_ & (truths == 0)] = code
        open_ &= truths == -1
    return Labelled(codes=codes, undecided=undecided)


def label_curves_by(curves: Curves, rule: Rule) -> Labelled:
    """Label n trials at the horizon of their curves."""
    return label_trials(rule, curve_terms(curves, rule), len(curves))


def subphases(curves: Curves, rule: PhaseRule, *, windowed: bool = True) -> Names:
    """Label n trials at the last step of their curves: (n,) subphases, None where a label can't be told.

    By the rule's window, or by the last record alone.
    """
    parsed = rule_of(rule, windowed=windowed)
    return label_curves_by(curves, parsed).names(parsed)


def phases(subphase: NDArray[np.generic], rule: PhaseRule) -> Names:
    """Return the phase (n,) of each subphase: its group, else the same name; None where there is none."""
    phase_of = rule.phase_of
    return np.asarray([phase_of.get(name) for name in subphase.tolist()], dtype=object)


def window_start(last_step: float) -> float:
    """Return the step at which the window of a training that ends at ``last_step`` begins."""
    return (1 - WINDOW) * last_step


def label_reasons(rule: Rule, terms: Terms, labelled: Labelled) -> Names:
    """Say (n,) why a trial has no label; None where it has one."""
    reasons = np.full(len(labelled.codes), None, dtype=object)
    if not rule.labels:
        return reasons
    for code in np.unique(labelled.undecided[labelled.undecided >= 0]):
        label = rule.labels[code]
        assert label.when is not None
        rows = np.flatnonzero(labelled.undecided == code)
        names = _undefined(label.when, terms, len(labelled.codes))[rows]
        reasons[rows] = [f"{label.name} can't be told: {text or 'a value'} is undefined" for text in names]
    reasons[(labelled.codes < 0) & (labelled.undecided < 0)] = "no condition holds"
    return reasons


def _undefined(condition: Condition, terms: Terms, n: int) -> Names:
    """Name (n,) the terms of a condition that have no value."""
    names = np.full(n, "", dtype=object)
    for term in dict.fromkeys(term for term in terms_of(condition) if not isinstance(term, Parameter)):
        lacking = np.isnan(np.broadcast_to(terms.value(term), (n, 1))[:, 0])
        names[lacking] = [f"{text}, {term}" if text else str(term) for text in names[lacking]]
    return names


def step_times(curves: Curves, rule: Rule) -> dict[str, Floats]:
    """Return the step times (n,) of a rule by name; NaN where not reached by the horizon (censored) or undefined."""
    terms = curve_terms(curves, rule)
    steps_by_name = {name: terms.value(time)[:, 0] for name, time in rule.times}
    return {name: np.where(np.isinf(steps), np.nan, steps) for name, steps in steps_by_name.items()}


def columns(curves: Curves, rule: Rule, times: Mapping[str, Floats]) -> dict[str, Any]:
    """Return the further columns (n,) of a rule by name: numbers, or objects True, False and None of conditions."""
    terms, n = curve_terms(curves, rule, times), len(curves)
    further: dict[str, Any] = {}
    for name, column in rule.columns:
        if isinstance(column, Condition):
            truths = np.broadcast_to(truth(column, terms), (n, 1))[:, 0]
            further[name] = np.asarray([False, None, True], dtype=object)[truths + 1]
        else:
            further[name] = np.broadcast_to(np.asarray(number(column, terms), dtype=float).reshape(-1, 1), (n, 1))[:, 0]
    return further


def settled(curves: Curves, rule: Rule, last: Codes) -> Names:
    """Tell (n,) whether a label held over the last third of the logarithmic steps; None without a label."""
    start = float(curves.steps[-1]) ** (1 - SETTLED_SHARE)
    held = np.ones(len(curves), dtype=bool)
    for step in curves.steps[:-1][curves.steps[:-1] >= start]:
        held &= label_curves_by(curves.until(int(step)), rule).codes == last
    answer = held.astype(object)
    answer[last < 0] = None
    return answer
