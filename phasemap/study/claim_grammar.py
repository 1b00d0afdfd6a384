"""The grammar of claims: text to a Claim whose every name and value is checked; nothing is ever executed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from phasemap.study.axes import Axis
from phasemap.study.claims import (
    STATISTICS,
    Area,
    Claim,
    Condition,
    Conditions,
    Correlation,
    Expression,
    Frontier,
    Share,
    Statistic,
    Term,
    Vocabulary,
    chosen_values,
)
from phasemap.study.errors import ListedError, did_you_mean
from phasemap.study.expressions import Number, Reader, UnreadableError, parse, show_literal

if TYPE_CHECKING:
    from lark import Token, Tree

USAGE = {
    "area": "area(LABEL, conditions)",
    **{name: f"{name}(QUANTITY, conditions)" for name in STATISTICS},
    "share": "share(QUANTITY COMPARE NUMBER-or-QUANTITY, conditions)",
    "frontier": "frontier(NAME, along=AXIS, conditions)",
    "correlation": "correlation(QUANTITY, QUANTITY, conditions)",
}
MOST_SHOWN = 12


class ClaimError(ListedError):
    """All that is wrong with one claim."""


def parse_claim(text: str, axes: Sequence[Axis], words: Vocabulary) -> Claim:
    """Read a claim about a study with these axes and words; ClaimError names all that is wrong with it."""
    try:
        tree = parse(text, "claim")
    except UnreadableError as error:
        raise ClaimError([str(error)]) from None
    reader = _Reader({axis.name: axis for axis in axes}, words)
    claim = reader.claim(tree, text)
    if not reader.messages and not claim.terms:
        reader.messages.append("names nothing that was measured; allowed: at least one term")
    if reader.messages:
        raise ClaimError(list(dict.fromkeys(reader.messages)))
    return claim


class _Reader(Reader[Term]):
    """Turns the tree of one claim into a Claim about a study with these axes."""

    def __init__(self, axes: dict[str, Axis], words: Vocabulary) -> None:
        super().__init__()
        self.axes, self.words = axes, words
        self.everywhere: Conditions = ()  # the conditions after ``at`` and ``where``

    def claim(self, tree: Tree[Token], text: str) -> Claim:
        parts: list[Any] = list(tree.children)
        for tail in [part for part in parts if getattr(part, "data", None) in ("at", "where")]:
            parts.remove(tail)
            self.everywhere += tuple(self.condition(part, fixes=tail.data == "at") for part in tail.children)
        sides = tuple(self.expression(part) for part in parts[::2])
        return Claim(sides, tuple(map(str, parts[1::2])), text)

    def term(self, name: Token, arguments: list[Any]) -> Expression:
        if arguments:
            return self.call(name, arguments)
        return Statistic("mean", self.column(name), self.choosing(name, ()))

    def call(self, name: Token, arguments: list[Any]) -> Expression:
        if name not in USAGE:
            hint = (
                f" (for a quantity: mean({name}, conditions))"
                if name in self.words.columns
                else did_you_mean(name, USAGE)
            )
            self.wrong(name, f"is not a function; allowed: {', '.join(USAGE)}{hint}")
            return Number(0.0)
        if name == "share":
            return self.share(name, arguments)
        if name == "frontier":
            return self.frontier(name, arguments)
        names = self.plain(name, arguments, 2 if name == "correlation" else 1)
        conditions = self.conditions(name, arguments[len(names) :])
        if not names:
            return Number(0.0)
        if name == "area":
            return Area(self.known(names[0], self.words.labels, "label"), conditions)
        if name == "correlation":
            return Correlation(self.column(names[0]), self.column(names[1]), conditions)
        return Statistic(str(name), self.column(names[0]), conditions)

    def share(self, name: Token, arguments: list[Any]) -> Expression:
        event = arguments[0]
        conditions = self.conditions(name, arguments[1:])
        if event.data != "comparison":
            self.wrong(name, f"needs a comparison first; allowed: {USAGE['share']}")
            return Number(0.0)
        left, comparison, right = event.children
        if right.data == "number":
            value: float | str = self.literal(right)
        else:
            value = self.column(right.children[0])
        return Share(self.column(left), str(comparison), value, conditions)

    def frontier(self, name: Token, arguments: list[Any]) -> Expression:
        names = self.plain(name, arguments, 1)
        rest = arguments[len(names) :]
        along = next((a for a in rest if a.data == "comparison" and a.children[0] == "along"), None)
        if not names or along is None or along.children[1] != "=" or along.children[2].data != "word":
            if names:
                self.wrong(name, f"needs the axis that it crosses; allowed: {USAGE['frontier']}")
            return Number(0.0)
        frontier = self.known(names[0], self.words.frontiers, "frontier")
        axis = along.children[2].children[0]
        self.known(axis, self.axes, "axis of the study")
        conditions = self.conditions(name, [argument for argument in rest if argument is not along])
        if str(axis) in self.axes:
            self.one_line(axis, conditions)
        return Frontier(frontier, str(axis), conditions)

    def one_line(self, along: Token, conditions: Conditions) -> None:
        """A frontier is crossed along one axis of numbers, with every other axis at one value."""
        if self.axes[along].categorical or len(chosen_values(self.axes[along], conditions)) < 2:
            self.wrong(along, "can't be crossed; allowed: an axis of which at least two numbers are chosen")
        for other in self.axes.values():
            if other.name != along and len(chosen_values(other, conditions)) > 1:
                self.wrong(along, f"is crossed at one value of {other.name}; allowed: fix it, e.g. {_example(other)}")

    def plain(self, name: Token, arguments: list[Any], count: int) -> list[Token]:
        """Return the names that a function's arguments start with; none where they are not there."""
        first = arguments[:count]
        if len(first) < count or any(argument.data != "plain" for argument in first):
            self.wrong(name, f"needs {'two names' if count == 2 else 'a name'} first; allowed: {USAGE[name]}")
            return []
        return [argument.children[0] for argument in first]

    def conditions(self, name: Token, arguments: list[Any]) -> Conditions:
        chosen = []
        for argument in arguments:
            if argument.data == "comparison":
                chosen.append(self.condition(argument))
            else:
                self.wrong(argument.children[0], f"is not a condition; allowed: {USAGE[name]}")
        return self.choosing(name, tuple(chosen))

    def choosing(self, name: Token, conditions: Conditions) -> Conditions:
        """Add the conditions of the whole claim, and make sure that together they choose some point."""
        conditions = tuple(dict.fromkeys((*conditions, *self.everywhere)))
        for axis in self.axes.values():
            mine = [condition for condition in conditions if condition.axis == axis.name]
            if mine and not chosen_values(axis, conditions) and not self.messages:
                together = " and ".join(map(str, mine))
                self.wrong(name, f"chooses no point of the study with {together}; allowed: {_values(axis)}")
        return conditions

    def condition(self, tree: Any, *, fixes: bool = False) -> Condition:
        name, comparison, value = tree.children
        condition = Condition(str(name), str(comparison), self.literal(value))
        if fixes and comparison != "=":
            self.wrong(comparison, "can't stand after at, which fixes values; allowed: =, or where")
        if self.known(name, self.axes, "axis of the study") in self.axes:
            self.value(value.children[-1], self.axes[name], condition)
        return condition

    def value(self, token: Token, axis: Axis, condition: Condition) -> None:
        """An axis is equal to values of the study only, and is ordered only where all its values are numbers."""
        if condition.comparison in ("=", "!="):
            if not any(replace(condition, comparison="=").chooses(value) for value in axis.values):
                self.wrong(token, f"is not a value of {axis.name}; allowed: {_values(axis)}")
        elif axis.categorical:
            self.wrong(token, f"is compared with {axis.name}, whose values have no order; allowed: = and !=")
        elif isinstance(condition.value, str):
            self.wrong(token, f"is compared with {axis.name}; allowed: a number")

    def literal(self, tree: Any) -> float | str:
        token = tree.children[-1]
        if tree.data == "number":
            return -self.number(token) if len(tree.children) == 2 else self.number(token)
        return str(token) if tree.data == "word" else str(token)[1:-1]

    def column(self, token: Token) -> str:
        hint = " (area(LABEL) is the share of a label)" if token in self.words.labels else None
        return self.known(token, self.words.columns, "quantity", hint)


def _values(axis: Axis) -> str:
    shown = ", ".join(_value(value) for value in axis.values[:MOST_SHOWN])
    return shown + (f", ... ({len(axis.values)} values)" if len(axis.values) > MOST_SHOWN else "")


def _value(value: Any) -> str:
    return show_literal(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else str(value)


def _example(axis: Axis) -> str:
    return f"{axis.name}={_value(axis.values[0])}"
