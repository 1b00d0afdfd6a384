"""What values the two sides of a claim can have at all: the steps in which shares move, and their least and most."""

from __future__ import annotations

import itertools
import math

from phasemap.diagram.claim_terms import ExpectedTrials, value_of
from phasemap.phases.built_in import column_kinds, phase_named
from phasemap.study.claims import Area, Correlation, Expression, Frontier, Share, Statistic
from phasemap.study.expressions import OPERATIONS, Negative, Number, Operation
from phasemap.study.spec import PhaseRule, Study

ANY = (-math.inf, math.inf)


def step_of(grid: ExpectedTrials, expression: Expression, seed: int) -> float:
    """Return the coarsest step in which an expression moves at one seed, to first order; 0 where it has no steps.

    An area or a share over n trials is one of 0, 1/n, ..., 1.
    """
    if isinstance(expression, Area | Share):
        return 1.0 / max(len(grid.measured(expression, seed)), 1)
    if isinstance(expression, Negative):
        return step_of(grid, expression.of, seed)
    if not isinstance(expression, Operation):
        return 0.0
    sides = expression.left, expression.right
    left, right = (step_of(grid, side, seed) for side in sides)
    if expression.operator in "+-" or not (left or right):
        return max(left, right)
    a, b = (abs(value_of(grid, side, seed)) for side in sides)
    return max(left * b, a * right) if expression.operator == "*" else max(left / b, a * right / b**2)


def range_of(study: Study, expression: Expression) -> tuple[float, float]:
    """Return the least and the most that an expression can be, as far as its terms tell."""
    if isinstance(expression, Number):
        return expression.value, expression.value
    if isinstance(expression, Area | Share):
        return 0.0, 1.0
    if isinstance(expression, Statistic):
        return (0.0, 1.0) if column_kinds(study).get(expression.column) == "accuracy" else ANY
    if isinstance(expression, Correlation):
        return -1.0, 1.0
    if isinstance(expression, Frontier):
        values = study.axis(expression.along).values
        return float(min(values)), float(max(values))
    if isinstance(expression, Negative):
        low, high = range_of(study, expression.of)
        return -high, -low
    return _combined(study, expression)


def _combined(study: Study, expression: Operation) -> tuple[float, float]:
    """Return the range of two expressions joined: that of the ends of theirs, but for a division by what may be 0.

    Labels that exclude each other have at most all of the trials together.
    """
    if _exclusive(study.phases, _summed(expression)):
        return 0.0, 1.0
    left, right = range_of(study, expression.left), range_of(study, expression.right)
    if expression.operator == "/" and right[0] <= 0 <= right[1]:
        return ANY
    ends = [OPERATIONS[expression.operator](*both) for both in itertools.product(left, right)]
    return ANY if any(map(math.isnan, ends)) else (min(ends), max(ends))


def _summed(expression: Expression) -> list[Expression]:
    """Return the terms of a sum."""
    if isinstance(expression, Operation) and expression.operator == "+":
        return [*_summed(expression.left), *_summed(expression.right)]
    return [expression]


def _labels(rule: PhaseRule, name: str) -> tuple[str, ...]:
    """Return the labels that an area counts: those of a phase, or the one that is named."""
    phase = phase_named(name)
    return tuple(label for label in rule.labels if rule.phase_of[label] == phase) or (name,)


def _exclusive(rule: PhaseRule, terms: list[Expression]) -> bool:
    """Tell whether terms are areas of labels of which a trial has at most one, over the same trials."""
    areas = [term for term in terms if isinstance(term, Area)]
    labels = [label for area in areas for label in _labels(rule, area.label)]
    alike = len({area.conditions for area in areas}) == 1
    return len(areas) == len(terms) and alike and len(set(labels)) == len(labels)
