"""Which labels of a rule no trial can get: found by trying every case that its conditions can tell apart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemap.study.conditions import (
    And,
    Comparison,
    Condition,
    Fact,
    Kind,
    Not,
    Parameter,
    Reduced,
    Step,
    Term,
    comparisons_in,
    constant,
)
from phasemap.study.expressions import COMPARISONS
from phasemap.study.rule import Label, Rule
from phasemap.study.values import rounded

MAX_CASES = 100_000  # of all labels together; beyond, a label is compared with each one before it
MAX_CASES_OF_TWO = 2_000
MAX_VARIABLES = 30  # numpy's arrays have at most 32 axes

RANGES: Mapping[Kind, tuple[float, float]] = {
    "accuracy": (0.0, 1.0),
    "loss": (0.0, math.inf),
    "number": (-math.inf, math.inf),
}
SHARES = ("corruption", "corruption_effective", "data_fraction", "dropout")

Booleans = NDArray[np.bool_]
Variable = Term | tuple[str, str]
"""What cases differ in: a term that is compared with numbers, or two expressions that are compared with each other."""


def unreachable(rule: Rule, kinds: Mapping[str, Kind]) -> Iterator[tuple[str, str]]:
    """Yield (label, why) for each label that no trial can get, in words with what is allowed.

    Terms are taken as independent, so that every label that is named is certain; others may be unreachable too.
    """
    cases = _Cases(dict(rule.parameters), kinds)
    together = cases.reached(rule.labels, MAX_CASES)
    for number, label in enumerate(rule.labels):
        before = rule.labels[:number]
        if together is not None and together[number]:
            continue
        if reason := _reason(label, before, cases, certain=together is not None):
            yield label.name, f"can never be given: {reason}"


def _reason(label: Label, before: Sequence[Label], cases: _Cases, *, certain: bool) -> str | None:
    """Say why a label is never reached, by one label before it where that is enough; None where it may be reached."""
    alone = cases.reached((label,), MAX_CASES_OF_TWO)
    if alone is not None and not alone[0]:
        return "its condition never holds; allowed: a condition that some trial can satisfy"
    for other in before:
        if other.when is None:
            return f"it stands after {other.name}: otherwise; allowed: otherwise as the last"
        if other.when == label.when:
            return f"{other.name} comes first with the same condition; allowed: another condition"
        pair = cases.reached((other, label), MAX_CASES_OF_TWO)
        if pair is not None and not pair[1]:
            return f"{other.name} comes first and holds wherever it does; allowed: the narrower condition first"
    return "the labels before it leave no trial; allowed: another order, or leave it out" if certain else None


@dataclass(frozen=True)
class _Cases:
    """All cases that the conditions of some labels can tell apart: a grid with an axis for each variable."""

    parameters: Mapping[str, float]
    kinds: Mapping[str, Kind]

    def reached(self, labels: Sequence[Label], most: int) -> list[bool] | None:
        """Tell which labels any case reaches; None where there are too many cases."""
        whens = [label.when for label in labels]
        grid = self.grid([when for when in whens if when is not None])
        shape = tuple(len(points) for points in grid.values())
        if len(shape) > MAX_VARIABLES or math.prod(shape) > most:
            return None
        axes = {
            variable: np.asarray(points).reshape([-1 if i == number else 1 for i in range(len(shape))])
            for number, (variable, points) in enumerate(grid.items())
        }
        left: Booleans = np.ones(shape, dtype=bool)
        answers = []
        for when in whens:
            holds = left if when is None else left & self.truth(when, axes)
            answers.append(bool(holds.any()))
            left = left & ~holds
        return answers

    def grid(self, conditions: Sequence[Condition]) -> dict[Variable, list[float]]:
        """Return each variable with a value for every case that its comparisons tell apart."""
        levels: dict[Variable, set[float]] = {}
        for comparison in (c for condition in conditions for c in comparisons_in(condition)):
            variable, _, level = self.standard(comparison)
            if variable is not None:
                levels.setdefault(variable, set()).add(level)
        return {variable: _points(sorted(own), *self.range_of(variable)) for variable, own in levels.items()}

    def standard(self, comparison: Comparison) -> tuple[Variable | None, str, float]:
        """Return (variable, sign, level) of a comparison; without a variable, whether 0 compares so with the level."""
        left, right = (constant(side, self.parameters) for side in (comparison.left, comparison.right))
        sign = comparison.comparison
        if left is not None and right is not None:
            return None, sign, rounded(right - left)
        if right is not None and isinstance(comparison.left, Term):
            return comparison.left, sign, right
        if left is not None and isinstance(comparison.right, Term):
            return comparison.right, sign.translate(MIRRORED), left
        names = str(comparison.left), str(comparison.right)
        return (names, sign, 0.0) if names[0] <= names[1] else (names[::-1], sign.translate(MIRRORED), 0.0)

    def range_of(self, variable: Variable) -> tuple[float, float]:
        """Return the smallest and the largest value that a variable can have."""
        if isinstance(variable, Step):
            return 0.0, math.inf
        if isinstance(variable, Fact):
            return 0.0, 1.0 if variable.name in SHARES else math.inf
        if isinstance(variable, tuple | Parameter):
            return -math.inf, math.inf
        low, high = RANGES[self.kinds[variable.quantity]]
        nothing_before = isinstance(variable, Reduced) and variable.function == "earlier"
        return -math.inf if nothing_before else low, high

    def truth(self, condition: Condition, axes: Mapping[Variable, Any]) -> Booleans:
        """Tell in which cases a condition holds, as an array that broadcasts over all of them."""
        if isinstance(condition, Not):
            return np.asarray(~self.truth(condition.of, axes))
        if isinstance(condition, Comparison):
            variable, sign, level = self.standard(condition)
            return np.asarray(COMPARISONS[sign](0.0 if variable is None else axes[variable], level))
        join = np.logical_and if isinstance(condition, And) else np.logical_or
        return reduce(join, (self.truth(part, axes) for part in condition.parts))


MIRRORED = str.maketrans("<>", "><")


def _points(levels: Sequence[float], low: float, high: float) -> list[float]:
    """Return each level inside a range, and a value in each gap between them, where there is one."""
    inside = [level for level in levels if low <= level <= high]
    if not inside:
        return [low if math.isfinite(low) else high]
    points = [low if math.isfinite(low) else inside[0] - 1] if inside[0] > low else []
    for one, other in pairwise(inside):
        points += [one, (one + other) / 2]
    points.append(inside[-1])
    if inside[-1] < high:
        points.append(high if math.isfinite(high) else inside[-1] + 1)
    return points
