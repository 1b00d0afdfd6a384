"""Conditions as values: what must hold over one trial's curve, and how it is written (docs/rules.md)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast, get_args

from phasemap.study import expressions
from phasemap.study.expressions import OPERATIONS, Negative, Number, Operation, terms_in
from phasemap.study.values import rounded

Kind = Literal["accuracy", "loss", "number"]
"""Of a quantity: in [0, 1], at least 0, or any number."""
KINDS: tuple[Kind, ...] = get_args(Kind)

REDUCTIONS = ("last", "first", "min", "max", "median", "earlier")
"""The functions that make one number of a quantity's curve."""


@dataclass(frozen=True, slots=True)
class Value:
    """A quantity by its bare name: over the window, or inside a step at each record."""

    quantity: str

    def __str__(self) -> str:
        return self.quantity


@dataclass(frozen=True, slots=True)
class Reduced:
    """The last, first, smallest, largest or median value of a curve, or the largest one before the window."""

    function: str
    quantity: str

    def __str__(self) -> str:
        return f"{self.function}({self.quantity})"


@dataclass(frozen=True, slots=True)
class At:
    """A quantity at the last record up to a step."""

    quantity: str
    step: Expression

    def __str__(self) -> str:
        return f"at({self.quantity}, {self.step})"


@dataclass(frozen=True, slots=True)
class Step:
    """The first step at which a condition holds, or (lasting) from which on it holds to the end."""

    condition: Condition
    lasting: bool = False

    def __str__(self) -> str:
        return f"{'lasting' if self.lasting else 'step'}({self.condition})"


@dataclass(frozen=True, slots=True)
class _Named:
    name: str

    def __str__(self) -> str:
        return self.name


class Fact(_Named):
    """A number that a trial has from the start: a setting, or a fact of its data; in columns also a step time."""


class Parameter(_Named):
    """A threshold by the name that a rule gives it."""


Term = Value | Reduced | At | Step | Fact | Parameter
Expression: TypeAlias = expressions.Expression[Term]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two expressions and how they compare."""

    left: Expression
    comparison: str
    right: Expression

    @property
    def computed(self) -> bool:
        """Whether a side is the result of arithmetic: such sides are equal where they agree to 12 digits."""
        return any(isinstance(side, Operation) or _negates(side) for side in (self.left, self.right))

    def __str__(self) -> str:
        return f"{self.left} {self.comparison} {self.right}"


@dataclass(frozen=True, slots=True)
class Not:
    """What holds where a condition does not."""

    of: Condition

    def __str__(self) -> str:
        return f"not {self.of}" if isinstance(self.of, Comparison | Not) else f"not ({self.of})"


@dataclass(frozen=True, slots=True)
class And:
    """What holds where all its parts do."""

    parts: tuple[Condition, ...]

    def __str__(self) -> str:
        return " and ".join(f"({part})" if isinstance(part, Or) else str(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Or:
    """What holds where one of its parts does."""

    parts: tuple[Condition, ...]

    def __str__(self) -> str:
        return " or ".join(map(str, self.parts))


Condition = Comparison | Not | And | Or


def comparisons_in(condition: Condition) -> Iterator[Comparison]:
    """Yield the comparisons that a condition is made of, but for those inside its terms."""
    if isinstance(condition, Comparison):
        yield condition
    elif isinstance(condition, Not):
        yield from comparisons_in(condition.of)
    else:
        for part in condition.parts:
            yield from comparisons_in(part)


def sides_in(text: Condition | Expression) -> Iterator[Expression]:
    """Yield the expressions that a condition compares; an expression is its own."""
    if isinstance(text, Condition):
        for comparison in comparisons_in(text):
            yield comparison.left
            yield comparison.right
    else:
        yield text


def terms_of(text: Condition | Expression) -> Iterator[Term]:
    """Yield the terms of a condition or an expression, but for those inside its terms."""
    for side in sides_in(text):
        yield from cast("Iterator[Term]", terms_in(side))


def all_terms(text: Condition | Expression) -> Iterator[Term]:
    """Yield the terms of a condition or an expression, and those inside them."""
    for term in terms_of(text):
        yield term
        if isinstance(term, Step):
            yield from all_terms(term.condition)
        elif isinstance(term, At):
            yield from all_terms(term.step)


def quantities_of(text: Condition | Expression) -> set[str]:
    """Return the names of the quantities whose curves decide a condition or an expression."""
    return {term.quantity for term in all_terms(text) if isinstance(term, Value | Reduced | At)}


def constant(expression: Expression, parameters: Mapping[str, float]) -> float | None:
    """Return the value of an expression of numbers and parameters; None where it has another term, or no value."""
    if isinstance(expression, Number):
        return expression.value
    if isinstance(expression, Parameter):
        return parameters[expression.name]
    if isinstance(expression, Negative):
        inner = constant(expression.of, parameters)
        return None if inner is None else -inner
    if isinstance(expression, Operation):
        left, right = constant(expression.left, parameters), constant(expression.right, parameters)
        if left is None or right is None or (expression.operator == "/" and right == 0):
            return None
        value = OPERATIONS[expression.operator](left, right)
        return rounded(value) if math.isfinite(value) else None
    return None


def _negates(side: Expression) -> bool:
    return isinstance(side, Negative) and isinstance(side.of, Operation)
