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
    "lost_generalization",
    "phases",
    "settled",
    "subphase_codes",
    "subphases",
    "window_records",
    "window_start",
]

Labels = NDArray[np.str_]
Codes = NDArray[np.int64]

ALLOWANCE = 0.05  # for chance and fluctuation in doshi2024's bound 1.05 - corruption
FEWEST_CORRUPTED = 20  # below, the memorized fraction is too coarse to tell the inversions apart
WINDOW_SHARE = 0.1  # of the steps
WINDOW_RECORDS, LONG_CURVE = 5, 50  # a window's fewest records, and those of a curve that is long enough to have them
SETTLED_SHARE = 1 / 3

DOSHI2024 = PhaseRule(rule="doshi2024")
MEMORIZED_FRACTION = PhaseRule(rule="memorized_fraction")


def subphases(curves: Curves, rule: PhaseRule, *, windowed: bool = True) -> Labels:
    """Label n trials at the last step of their curves: (n,) subphases.

    ``memorized_fraction`` judges the window, or the last record alone; ``doshi2024`` always the latter.
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


def window_start(last_step: float) -> float:
    """Return the step at which the window of a training that ends at ``last_step`` begins."""
    return (1 - WINDOW_SHARE) * last_step


def window_records(steps: NDArray[np.int64]) -> int:
    """Return how many of the last records (T,) are in the window: those of the last tenth of the steps.

    At least 5 of 50 records or more; of fewer, at least the last.
    """
    inside = int((steps >= window_start(steps[-1])).sum())
    return max(inside, WINDOW_RECORDS) if len(steps) >= LONG_CURVE else inside


def lost_generalization(curves: Curves, rule: PhaseRule, *, windowed: bool = True) -> NDArray[np.bool_]:
    """Tell for each trial (n,) whether it had generalized before the window that is judged, and no longer does.

    That is: its test accuracy had reached the threshold at a record before the window, and is below it at the last.
    """
    above = curves.values["test_accuracy"] >= rule.generalized
    before = above[:, : -_judged(curves, rule, windowed=windowed)]
    return np.asarray(before.any(axis=1) & ~above[:, -1])


def _judged(curves: Curves, rule: PhaseRule, *, windowed: bool) -> int:
    """Return how many of the last records a rule judges: the window, or the last one alone."""
    return window_records(curves.steps) if windowed and rule.rule == "memorized_fraction" else 1


def _memorized_fraction(curves: Curves, rule: PhaseRule, *, windowed: bool) -> Codes:
    records = _judged(curves, rule, windowed=windowed)
    names = ("memorized_accuracy", "test_accuracy", "train_accuracy")
    memorized, test, train = (np.median(curves.values[name][:, -records:], axis=1) for name in names)
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
    return np.where(test >= rule.generalized, grokked, _not_generalizing(curves, train, rule, windowed=windowed))


def _doshi2024(curves: Curves, rule: PhaseRule) -> Codes:
    test, train = curves.values["test_accuracy"][:, -1], curves.values["train_accuracy"][:, -1]
    bound = np.round(1 + ALLOWANCE - curves.corruption, 12)
    grokked = np.select(
        [train >= rule.memorized, train >= bound],
        _codes("coexistence", "partial_inversion"),
        *_codes("full_inversion"),
    )
    return np.where(test >= rule.generalized, grokked, _not_generalizing(curves, train, rule, windowed=False))


def _not_generalizing(curves: Curves, train: Floats, rule: PhaseRule, *, windowed: bool) -> Codes:
    """Memorization where the training set is fitted; else forgetting if the network lost what it had, else confusion.

    A network that rises or is back at the last record has lost nothing, though the window's median is still low.
    """
    forgot = lost_generalization(curves, rule, windowed=windowed)
    return np.select([train >= rule.memorized, forgot], _codes("memorization", "forgetting"), *_codes("confusion"))


def _codes(*names: str) -> list[int]:
    return [SUBPHASES.index(name) for name in names]
