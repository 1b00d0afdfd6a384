"""The labelling rules: curves to subphases and phases (Doshi et al. 2024, Table 2, and the memorized fraction)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phasemap.phases.curves import Curves, Floats
from phasemap.study.names import GROKKING, PHASES, SUBPHASES
from phasemap.study.spec import PhaseRule

__all__ = [
    "DOSHI2024",
    "GROKKING",
    "MEMORIZED_FRACTION",
    "PHASES",
    "SUBPHASES",
    "WINDOW_RECORDS",
    "WINDOW_SHARE",
    "phases",
    "settled",
    "subphase_codes",
    "subphases",
    "window",
]

Labels = NDArray[np.str_]
Codes = NDArray[np.int64]

ALLOWANCE = 0.05  # for chance and fluctuation in doshi2024's bound 1.05 - corruption
FEWEST_CORRUPTED = 20  # below, the memorized fraction is too coarse to tell the inversions apart
WINDOW_SHARE, WINDOW_RECORDS = 0.1, 5
SETTLED_SHARE = 1 / 3

DOSHI2024 = PhaseRule(rule="doshi2024")
MEMORIZED_FRACTION = PhaseRule(rule="memorized_fraction")


def subphases(curves: Curves, rule: PhaseRule, *, windowed: bool = True) -> Labels:
    """Label n trials at the last step of their curves: (n,) subphases.

    ``memorized_fraction`` looks at a window of records, or at the last record alone.
    """
    return np.asarray(SUBPHASES)[subphase_codes(curves, rule, windowed=windowed)]


def subphase_codes(curves: Curves, rule: PhaseRule, *, windowed: bool = True) -> Codes:
    """Return the places (n,) in SUBPHASES of what ``subphases`` names."""
    if rule.rule == "doshi2024":
        return _doshi2024(curves, rule)
    return _memorized_fraction(curves, rule, windowed=windowed)


def phases(subphase: Labels) -> Labels:
    """Return the phase of each subphase: grokking for all that generalize, else the same name."""
    return np.where(np.isin(subphase, GROKKING), "grokking", subphase)


def settled(curves: Curves, rule: PhaseRule) -> NDArray[np.bool_]:
    """Tell for each trial (n,) whether its subphase held over the last third of the logarithmic steps."""
    last = subphases(curves, rule)
    start = float(curves.steps[-1]) ** (1 - SETTLED_SHARE)
    held = np.ones(len(curves), dtype=bool)
    for step in curves.steps[curves.steps >= start]:
        held &= subphases(curves.until(int(step)), rule) == last
    return held


def window(curves: Curves, name: str) -> Floats:
    """Return a quantity (n,) as the median over the records of the last tenth of the steps, at least 5 of them."""
    steps = curves.steps
    inside = int((steps >= (1 - WINDOW_SHARE) * steps[-1]).sum())
    return np.asarray(np.median(curves.values[name][:, -max(inside, WINDOW_RECORDS) :], axis=1))


def _memorized_fraction(curves: Curves, rule: PhaseRule, *, windowed: bool) -> Codes:
    names = ("memorized_accuracy", "test_accuracy", "train_accuracy")
    memorized, test, train = (window(curves, name) if windowed else curves.values[name][:, -1] for name in names)
    grokked = np.select(
        [
            curves.n_corrupted == 0,
            curves.n_corrupted < FEWEST_CORRUPTED,
            memorized >= rule.memorized,
            memorized <= round(1 - rule.memorized, 12),
        ],
        _codes("clean_fit", "undetermined", "coexistence", "full_inversion"),
        *_codes("partial_inversion"),
    )
    return np.where(test >= rule.generalized, grokked, _not_generalizing(curves, train, rule))


def _doshi2024(curves: Curves, rule: PhaseRule) -> Codes:
    test, train = curves.values["test_accuracy"][:, -1], curves.values["train_accuracy"][:, -1]
    bound = np.round(1 + ALLOWANCE - curves.corruption, 12)
    grokked = np.select(
        [train >= rule.memorized, train >= bound],
        _codes("coexistence", "partial_inversion"),
        *_codes("full_inversion"),
    )
    return np.where(test >= rule.generalized, grokked, _not_generalizing(curves, train, rule))


def _not_generalizing(curves: Curves, train: Floats, rule: PhaseRule) -> Codes:
    """Memorization where the training set is fitted; else forgetting if the network had generalized."""
    had_generalized = curves.values["test_accuracy"].max(axis=1) >= rule.generalized
    conditions = [train >= rule.memorized, had_generalized]
    return np.select(conditions, _codes("memorization", "forgetting"), *_codes("confusion"))


def _codes(*names: str) -> list[int]:
    return [SUBPHASES.index(name) for name in names]
