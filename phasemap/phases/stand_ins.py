"""What stands for the terms of the built-in rules in a table of trials, which holds last values and peaks only.

A search makes its map from that table alone: also of runs that were stored before there were other rules. So a built-in
rule's terms are approximated: a quantity over the window by its last value, and the peak before the window by the peak.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phasemap.study.conditions import Reduced, Term, Value
from phasemap.study.names import GROKKING
from phasemap.study.spec import PhaseRule

LAST, PEAK = "test_accuracy", "peak_test_accuracy"

LABEL_STAND_INS: Mapping[str, tuple[Term, ...]] = {
    LAST: (Value(LAST), Reduced("last", LAST)),
    "train_accuracy": (Value("train_accuracy"),),
    "memorized_accuracy": (Value("memorized_accuracy"),),
    PEAK: (Reduced("earlier", LAST),),
}
"""The columns that decide the built-in labels, and the terms that each stands for."""

SHOWN = (*LABEL_STAND_INS, "recovered_accuracy")
"""The columns that are inferred where a built-in rule labels."""


def stand_in(term: Term) -> str:
    """Return the column that stands for a term of a built-in rule; KeyError where none does."""
    if isinstance(term, Value):
        return term.quantity
    return next(name for name, terms in LABEL_STAND_INS.items() if term in terms)


def stand_in_values(trials: pd.DataFrame, rule: PhaseRule) -> pd.DataFrame:
    """Return a table of trials whose peaks are those before the window that a built-in rule judges.

    A network in confusion has none there that reaches the threshold, so a peak that does lies in the window, and its
    last test accuracy stands in.
    """
    if PEAK not in trials:
        return trials
    late = (trials["subphase"] == "confusion") & (trials[PEAK] >= rule.generalized)
    return trials.assign(**{PEAK: trials[PEAK].mask(late, trials[LAST])})


def labelled_above(frontier: str, trials: pd.DataFrame) -> NDArray[np.bool_] | None:
    """Tell by their labels which trials (n,) lie above a built-in frontier; None where labels don't say so."""
    return np.isin(trials["subphase"], GROKKING) if frontier == "generalization" else None
