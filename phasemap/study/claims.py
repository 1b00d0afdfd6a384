"""Claims as values: inequalities over what a run measured, and how they are written (docs/claims.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

from phasemap.study import conditions, expressions
from phasemap.study.axes import Axis
from phasemap.study.expressions import COMPARISONS, show_literal, terms_in
from phasemap.study.names import GENERALIZES, PEAKS
from phasemap.study.rule_file import rule_of
from phasemap.study.spec import Study
from phasemap.study.values import is_number, rounded


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """What claims about a study may name."""

    labels: tuple[str, ...]  # and phases
    columns: tuple[str, ...]  # of numbers, in the table of trials
    frontiers: tuple[str, ...]


def vocabulary(study: Study) -> Vocabulary:
    """Return what claims about a study may name."""
    rule, recorded, own = rule_of(study.phases), study.recorded, study.phases.own
    facts = sorted(recorded.facts, key=recorded.whole.__contains__)
    labels = dict.fromkeys((*study.phases.labels, *study.phases.phases))
    return Vocabulary(
        labels=(*labels, *(() if own else (GENERALIZES,))),
        columns=(
            *recorded.quantities,
            *(() if own else PEAKS),
            *recorded.finals,
            *facts,
            *("horizon", "train_seconds"),
            *(name for name, _ in rule.times),
            *(name for name, column in rule.columns if not isinstance(column, conditions.Condition)),
            *(name for name, setting in study.declared.items() if setting.number),
        ),
        frontiers=tuple(study.phases.frontiers),
    )


STATISTICS = ("mean", "min", "max", "median")


@dataclass(frozen=True, slots=True)
class Condition:
    """What an axis must satisfy, e.g. ``corruption <= 0.3``; the value is a number or a text."""

    axis: str
    comparison: str
    value: float | str

    def chooses(self, value: Any) -> bool:
        """Tell whether a value of the axis satisfies the condition; numbers are compared after their rounding."""
        if isinstance(self.value, str):
            return (_spelled(value) == self.value) == (self.comparison == "=")
        if not is_number(value):
            return self.comparison == "!="
        return bool(COMPARISONS[self.comparison](rounded(value), self.value))

    def __str__(self) -> str:
        return f"{self.axis}{self.comparison}{show_literal(self.value)}"


Conditions = tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Area:
    """The share of the chosen trials with a label: a phase, a subphase, or ``generalizes``."""

    label: str
    conditions: Conditions = ()

    columns = ()

    def __str__(self) -> str:
        return _call("area", self.label, self.conditions)


@dataclass(frozen=True, slots=True)
class Statistic:
    """The mean, min, max or median of a column over the chosen trials."""

    name: str
    column: str
    conditions: Conditions = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that must be defined."""
        return (self.column,)

    def __str__(self) -> str:
        return _call(self.name, self.column, self.conditions)


@dataclass(frozen=True, slots=True)
class Share:
    """The share of the chosen trials for which a column compares with a number or with another column."""

    left: str
    comparison: str
    right: float | str
    conditions: Conditions = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that must be defined."""
        return (self.left, self.right) if isinstance(self.right, str) else (self.left,)

    def __str__(self) -> str:
        return _call("share", f"{self.left} {self.comparison} {show_literal(self.right)}", self.conditions)


@dataclass(frozen=True, slots=True)
class Correlation:
    """Spearman's rank correlation of two columns over the chosen trials."""

    first: str
    second: str
    conditions: Conditions = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that must be defined."""
        return (self.first, self.second)

    def __str__(self) -> str:
        return _call("correlation", f"{self.first}, {self.second}", self.conditions)


@dataclass(frozen=True, slots=True)
class Frontier:
    """The value of an axis at which a frontier crosses it, with all other axes fixed."""

    name: str
    along: str
    conditions: Conditions = ()

    columns = ()

    def __str__(self) -> str:
        return _call("frontier", f"{self.name}, along={self.along}", self.conditions)


Term = Area | Statistic | Share | Correlation | Frontier
Expression: TypeAlias = expressions.Expression[Term]


@dataclass(frozen=True, slots=True)
class Claim:
    """Two or three expressions and the comparisons between them; conditions stand in the terms that they choose for."""

    sides: tuple[Expression, ...]
    comparisons: tuple[str, ...]
    text: str = field(default="", compare=False)  # as it was written

    def __str__(self) -> str:
        later = zip(self.comparisons, self.sides[1:], strict=True)
        return str(self.sides[0]) + "".join(f" {comparison} {side}" for comparison, side in later)

    @property
    def terms(self) -> tuple[Term, ...]:
        """Every term of every side."""
        return tuple(term for side in self.sides for term in cast("Iterator[Term]", terms_in(side)))


def chosen_values(axis: Axis, conditions: Conditions) -> tuple[Any, ...]:
    """Return the values of an axis that satisfy all conditions on it."""
    mine = [condition for condition in conditions if condition.axis == axis.name]
    return tuple(value for value in axis.values if all(condition.chooses(value) for condition in mine))


def _spelled(value: Any) -> str | None:
    """Return how a claim names a value that is not a number; None where it can't."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "none"
    return value if isinstance(value, str) else None


def _call(name: str, arguments: str, conditions: Sequence[Condition]) -> str:
    return f"{name}({', '.join([arguments, *map(str, conditions)])})"
