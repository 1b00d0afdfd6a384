"""Labels of trials by a study's rule: the built-in ones are files of the language beside this module."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phasemap.phases import labels
from phasemap.phases.curves import Curves, Floats
from phasemap.phases.evaluation import WINDOW_RECORDS
from phasemap.study.names import GROKKING, PHASES, SUBPHASES
from phasemap.study.rule import WINDOW
from phasemap.study.rule_file import rule_of
from phasemap.study.spec import PhaseRule

__all__ = [
    "DOSHI2024",
    "GROKKING",
    "MEMORIZED_FRACTION",
    "PHASES",
    "SUBPHASES",
    "WINDOW_RECORDS",
    "phases",
    "settled",
    "step_times",
    "subphases",
    "window_start",
]

Labels = NDArray[np.object_]

DOSHI2024 = PhaseRule(rule="doshi2024")
MEMORIZED_FRACTION = PhaseRule(rule="memorized_fraction")


def subphases(curves: Curves, rule: PhaseRule, *, windowed: bool = True) -> Labels:
    """Label n trials at the last step of their curves: (n,) subphases, None where a label can't be told.

    By the rule's window, or by the last record alone.
    """
    found = rule_of(rule, windowed=windowed)
    return labels.label_curves_by(curves, found).names(found)


def phases(subphase: NDArray[np.generic], rule: PhaseRule) -> Labels:
    """Return the phase (n,) of each subphase: its group, else the same name; None where there is none."""
    phase_of = rule.phase_of
    return np.asarray([phase_of.get(name) for name in subphase.tolist()], dtype=object)


def settled(curves: Curves, rule: PhaseRule) -> Labels:
    """Tell for each trial (n,) whether its subphase held over the last third of the logarithmic steps."""
    found = rule_of(rule)
    return labels.settled(curves, found, labels.label_curves_by(curves, found).codes)


def step_times(curves: Curves, rule: PhaseRule) -> dict[str, Floats]:
    """Return the rule's step times (n,) by name, NaN where not reached by the horizon (censored) or undefined."""
    return labels.step_times(curves, rule_of(rule))


def window_start(last_step: float) -> float:
    """Return the step at which the window of a training that ends at ``last_step`` begins."""
    return (1 - WINDOW) * last_step
