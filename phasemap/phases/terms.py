"""The terms of a rule that reduce a curve to a number: what a search models, as columns of a table of trials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phasemap.phases.curves import Curves, Floats
from phasemap.phases.labels import curve_terms
from phasemap.study.conditions import (
    Condition,
    Expression,
    Fact,
    Kind,
    Parameter,
    Reduced,
    Step,
    Term,
    Value,
    comparisons_in,
    constant,
    quantities_of,
    terms_of,
)
from phasemap.study.names import GROKKING
from phasemap.study.rule import Frontier, Rule
from phasemap.study.rule_file import rule_of
from phasemap.study.spec import PhaseRule, Study

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


TermKind = Kind | Literal["step"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A column of the table of trials, and the terms whose value it is."""

    column: str
    kind: TermKind
    terms: tuple[Term, ...]
    thresholds: tuple[float, ...] = ()  # the numbers that a rule compares these terms with


def label_terms(rule: Rule) -> tuple[Term, ...]:
    """Return the terms that reduce a curve and decide the labels, in the order in which the rule names them."""
    whens = (label.when for label in rule.labels if label.when is not None)
    return tuple(dict.fromkeys(term for when in whens for term in _reducing(when)))


def frontier_terms(frontier: Frontier) -> tuple[Term, ...]:
    """Return the terms that decide on which side of a frontier a trial lies."""
    return tuple(dict.fromkeys((Value(frontier.quantity), *_reducing(frontier.level))))


def rule_facts(rule: Rule) -> tuple[str, ...]:
    """Return the settings and facts that the labels look at beside the terms that reduce a curve."""
    whens = (label.when for label in rule.labels if label.when is not None)
    return tuple(dict.fromkeys(term.name for when in whens for term in terms_of(when) if isinstance(term, Fact)))


def term_column(term: Term) -> str:
    """Name the column of a term's values: by its text, but a bare quantity's column is that of its last value."""
    return f"window({term})" if isinstance(term, Value) else str(term)


def kept_terms(study: Study) -> tuple[Term, ...]:
    """Return the terms whose values a study's table of trials has beside the labels: of own labels, for a search."""
    return own_terms(study.phases) if study.search.kind != "grid" else ()


def own_terms(phases: PhaseRule) -> tuple[Term, ...]:
    """Return the terms of own labels and frontiers; none of a built-in rule, which other columns stand for."""
    if phases.own is None:
        return ()
    of_frontiers = (term for frontier in phases.own.frontiers for term in frontier_terms(frontier))
    return tuple(dict.fromkeys((*label_terms(phases.own), *of_frontiers)))


def term_quantities(rule: PhaseRule) -> frozenset[str]:
    """Return the quantities whose curves the terms of own labels reduce."""
    return frozenset(name for term in own_terms(rule) for name in quantities_of(term))


def term_columns(curves: Curves, rule: PhaseRule) -> dict[str, Floats]:
    """Return the values (n,) of the terms of own labels over curves, by the names of their columns."""
    if rule.own is None:
        return {}
    terms = curve_terms(curves, rule.own)
    return {term_column(term): terms.value(term)[:, 0] for term in own_terms(rule)}


def label_readings(study: Study) -> tuple[Reading, ...]:
    """Return the columns of the table of trials that decide a study's labels."""
    if study.phases.own is None:
        return tuple(Reading(column=name, kind="accuracy", terms=terms) for name, terms in LABEL_STAND_INS.items())
    return _readings(study, label_terms(study.phases.own))


def frontier_readings(study: Study, frontier: Frontier) -> tuple[Reading, ...]:
    """Return the columns of the table of trials that decide on which side of a frontier a trial lies."""
    if study.phases.own is not None:
        return _readings(study, frontier_terms(frontier))
    kinds = study.recorded.quantities
    pairs = ((stand_in(term), term) for term in frontier_terms(frontier))
    return tuple(Reading(column=name, kind=kinds.get(name, "accuracy"), terms=(term,)) for name, term in pairs)


def shown_quantities(study: Study) -> dict[str, Kind]:
    """Return the quantities that the labels and frontiers of a study look at, with their kinds, in the rule's order."""
    rule = rule_of(study.phases)
    of_frontiers = (term for frontier in rule.frontiers for term in frontier_terms(frontier))
    names = (getattr(term, "quantity", None) for term in (*label_terms(rule), *of_frontiers))
    kinds = quantity_kinds(study)
    return {name: kinds.get(name, "number") for name in dict.fromkeys(names) if name is not None}


def quantity_kinds(study: Study) -> Mapping[str, Kind]:
    """Return the kind of each quantity that a study's trials record."""
    declared = () if study.phases.own is None else study.phases.own.quantities
    return {**study.recorded.quantities, **dict(declared)}


def _readings(study: Study, terms: tuple[Term, ...]) -> tuple[Reading, ...]:
    rule, kinds = rule_of(study.phases), quantity_kinds(study)
    return tuple(
        Reading(
            column=term_column(term),
            kind="step" if isinstance(term, Step) else kinds.get(getattr(term, "quantity", ""), "number"),
            terms=(term,),
            thresholds=tuple(sorted(set(_thresholds(rule, term)))),
        )
        for term in terms
    )


def _reducing(text: Condition | Expression) -> Iterator[Term]:
    for term in terms_of(text):
        if not isinstance(term, Fact | Parameter):
            yield term


def _thresholds(rule: Rule, term: Term) -> Iterator[float]:
    """Yield the numbers that labels and frontiers compare a term with."""
    parameters = dict(rule.parameters)
    whens = (label.when for label in rule.labels if label.when is not None)
    pairs = [(c.left, c.right) for when in whens for c in comparisons_in(when)]
    pairs += [(Value(frontier.quantity), frontier.level) for frontier in rule.frontiers]
    for left, right in pairs:
        for side, other in ((left, right), (right, left)):
            if side == term and (value := constant(other, parameters)) is not None:
                yield value
