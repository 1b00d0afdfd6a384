"""Evaluate conditions for all trials at once, with three truth values: what is undefined makes a comparison unknown.

A truth is an int8: 1 where a condition holds, -1 where it does not, 0 where that is unknown. So ``and`` is the minimum,
``or`` the maximum and ``not`` the sign (Kleene's strong logic).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from phasemap.phases.curves import Curves, Floats
from phasemap.study.conditions import (
    And,
    At,
    Comparison,
    Condition,
    Expression,
    Fact,
    Not,
    Parameter,
    Reduced,
    Step,
    Term,
    Value,
    comparisons_in,
    terms_of,
)
from phasemap.study.expressions import COMPARISONS, OPERATIONS, Negative, Number, Operation
from phasemap.study.values import SIGNIFICANT_DIGITS

Truths = NDArray[np.int8]

DIGITS = 10.0**-SIGNIFICANT_DIGITS
WINDOW_RECORDS, LONG_CURVE = 5, 50  # a window's fewest records, and those of a curve that is long enough to have them


class Terms(Protocol):
    """Knows the values of terms for n trials: arrays whose first axis is that of the trials."""

    def value(self, term: Term) -> Floats:
        """Return the value of a term, NaN where it is undefined."""


def number(expression: Expression, terms: Terms) -> Any:
    """Compute an expression: an array, or a float where it has no terms; NaN where undefined or divided by zero."""
    if isinstance(expression, Number):
        return expression.value
    if isinstance(expression, Negative):
        return -number(expression.of, terms)
    if not isinstance(expression, Operation):
        return terms.value(expression)
    left, right = number(expression.left, terms), number(expression.right, terms)
    if expression.operator == "/":
        right = np.where(right == 0, np.nan, right)
    with np.errstate(all="ignore"):
        answer = OPERATIONS[expression.operator](left, right)
        if expression.operator in "+-":  # what cancels to the last digits is zero
            scale = np.maximum(np.abs(left), np.abs(right))
            answer = np.where(np.isfinite(scale) & (np.abs(answer) <= DIGITS * scale), 0.0, answer)
    return answer


def truth(condition: Condition, terms: Terms) -> Truths:
    """Tell where a condition holds, as an array that broadcasts over the trials."""
    if isinstance(condition, Comparison):
        return _compared(condition, number(condition.left, terms), number(condition.right, terms))
    if isinstance(condition, Not):
        return np.negative(truth(condition.of, terms))
    together = np.minimum if isinstance(condition, And) else np.maximum
    return reduce(together, (truth(part, terms) for part in condition.parts))


def _compared(comparison: Comparison, left: Any, right: Any) -> Truths:
    """Compare two sides; those that were computed are equal where they agree to 12 digits."""
    with np.errstate(invalid="ignore"):
        holds = COMPARISONS[comparison.comparison](left, right)
        if comparison.computed:
            scale = np.maximum(np.abs(left), np.abs(right))
            equal = np.isfinite(scale) & (np.abs(left - right) <= DIGITS * scale)
            holds = np.where(equal, comparison.comparison in ("<=", ">=", "="), holds)
    truths = np.multiply(holds, np.int8(2), dtype=np.int8) - np.int8(1)
    return np.asarray(truths * ~(np.isnan(left) | np.isnan(right)), dtype=np.int8)


def window_records(steps: NDArray[np.int64], share: float) -> int:
    """Return how many of the last records (T,) are in a window: those of the last ``share`` of the steps.

    At least 5 of 50 records or more; of fewer, at least the last. With a share of 0, the last alone.
    """
    if share == 0:
        return 1
    inside = int((steps >= (1 - share) * steps[-1]).sum())
    return max(inside, WINDOW_RECORDS) if len(steps) >= LONG_CURVE else inside


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveTerms:
    """Terms of n trials that were recorded at the same T steps: arrays (n, 1)."""

    curves: Curves
    window: float
    parameters: Mapping[str, float]
    times: Mapping[str, Floats] = field(default_factory=dict)  # (n,) by name, NaN where not reached
    known: dict[Term, Floats] = field(default_factory=dict)  # what was computed already

    def value(self, term: Term) -> Floats:
        """Return the value of a term (n, 1)."""
        if term not in self.known:
            self.known[term] = np.asarray(self._compute(term), dtype=float).reshape(-1, 1)
        return self.known[term]

    def _compute(self, term: Term) -> Any:
        if isinstance(term, Parameter):
            return self.parameters[term.name]
        if isinstance(term, Fact):
            return self.times[term.name] if term.name in self.times else self.curves.fact(term.name)
        if isinstance(term, Step):
            return _first_step(term, self)
        values = self.curves.values[term.quantity]
        if isinstance(term, At):
            return _at(self.curves.steps, values, np.broadcast_to(number(term.step, self), (len(values), 1))[:, 0])
        judged = window_records(self.curves.steps, self.window)
        if isinstance(term, Value):
            return _median(values[:, -judged:])
        return _reduced(term, values, judged)


@dataclass(frozen=True, slots=True)
class GivenTerms:
    """Terms whose values (n,) are given, not computed from curves: what a model of a map expects."""

    given: Mapping[Term, NDArray[Any]]
    parameters: Mapping[str, float]

    def value(self, term: Term) -> Floats:
        """Return the value of a term (n, 1)."""
        value = self.parameters[term.name] if isinstance(term, Parameter) else self.given[term]
        return np.asarray(value, dtype=float).reshape(-1, 1)


@dataclass(frozen=True, slots=True)
class _RecordTerms:
    """Terms inside a step: bare quantities at each record (n, T), all others as outside (n, 1)."""

    outer: CurveTerms

    def value(self, term: Term) -> Floats:
        return self.outer.curves.values[term.quantity] if isinstance(term, Value) else self.outer.value(term)


def _median(values: Floats) -> Floats:
    """Return the median (n,) of the records (n, T) that there are: a quantity may be recorded less often."""
    medians = np.asarray(np.median(values, axis=1))
    gaps = np.isnan(medians) & ~np.isnan(values).all(axis=1)
    if gaps.any():
        medians[gaps] = np.nanmedian(values[gaps], axis=1)
    return medians


def _reduced(term: Reduced, values: Floats, judged: int) -> Floats:
    """Reduce curves (n, T), of which the last ``judged`` records are in the window."""
    if term.function == "last":
        return values[:, -1]
    if term.function == "first":
        return values[:, 0]
    if term.function == "median":
        return np.asarray(np.median(values, axis=1))
    if term.function == "earlier":
        return np.asarray(values[:, :-judged].max(axis=1, initial=-np.inf))  # nothing before: below everything
    return np.asarray(values.min(axis=1) if term.function == "min" else values.max(axis=1))


def _at(steps: NDArray[np.int64], values: Floats, step: Floats) -> Floats:
    """Return values (n, T) at the last record up to a step (n,); NaN before the first record and after the last."""
    inside = (step >= steps[0]) & (step <= steps[-1])
    record = np.searchsorted(steps, np.where(inside, step, steps[0]), side="right") - 1
    return np.where(inside, values[np.arange(len(values)), record], np.nan)


def _first_step(term: Step, terms: CurveTerms) -> Floats:
    """Return the step (n,) of a condition: infinite where it is not reached, NaN where that is unknown."""
    records, steps = _RecordTerms(terms), terms.curves.steps
    shape = (len(terms.curves), len(steps))
    truths = np.broadcast_to(truth(term.condition, records), shape)
    at, reached, unknown = (_lasting if term.lasting else _first)(truths)
    after = np.where(reached, at, 0)
    moment = np.where(after == 0, float(steps[0]), steps[after])
    if (crossed := _threshold(term.condition)) is not None and shape[1] > 1:
        left, right = (np.broadcast_to(number(side, records), shape) for side in (crossed.left, crossed.right))
        moment = np.where(after == 0, moment, _crossing(steps, left, right, after))
    return np.where(unknown, np.nan, np.where(reached, moment, np.inf))


def _first(truths: Truths) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return (record, reached, unknown), each (n,): the first record of truths (n, T) at which they hold."""
    open_ = truths >= 0  # the first of them decides, and must not be unknown
    at = open_.argmax(axis=1)
    rows = np.arange(len(truths))
    return at, truths[rows, at] == 1, truths[rows, at] == 0


def _lasting(truths: Truths) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return (record, reached, unknown), each (n,): the first record from which truths (n, T) hold to the end."""
    records = truths.shape[1]
    open_ = truths[:, ::-1] <= 0
    last = np.where(open_.any(axis=1), records - 1 - open_.argmax(axis=1), -1)  # the last that does not hold
    unknown = (last >= 0) & (truths[np.arange(len(truths)), last] == 0)
    return last + 1, (last + 1 < records) & ~unknown, unknown


def _threshold(condition: Condition) -> Comparison | None:
    """Return the one comparison of a condition that differs between records, where there is one and it has an order."""
    varying = [c for c in comparisons_in(condition) if any(isinstance(term, Value) for term in terms_of(c))]
    return varying[0] if len(varying) == 1 and varying[0].comparison not in ("=", "!=") else None


def _crossing(steps: NDArray[np.int64], left: Floats, right: Floats, after: NDArray[np.int64]) -> Floats:
    """Return where two sides (n, T) are equal between the records ``after - 1`` and ``after``, linear in log(step)."""
    rows, before = np.arange(len(left)), np.maximum(after - 1, 0)
    a, b = left[rows, before], right[rows, before]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (b - a) / ((left[rows, after] - a) - (right[rows, after] - b))
    share = np.clip(np.nan_to_num(share, nan=1.0), 0.0, 1.0)
    logs = np.log(steps.astype(float))
    return np.exp(logs[before] + share * (logs[after] - logs[before]))
