"""The grammar of claims: text to a Claim whose every name and value is checked; nothing is ever executed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from phasemap.study.axes import Axis
from phasemap.study.claims import (
    COLUMNS,
    LABELS,
    STATISTICS,
    Area,
    Claim,
    Condition,
    Conditions,
    Correlation,
    Expression,
    Frontier,
    Negative,
    Number,
    Operation,
    Share,
    Statistic,
    chosen_values,
    show_literal,
)
from phasemap.study.names import FRONTIERS, FrontierKind
from phasemap.study.problems import did_you_mean
from phasemap.study.values import rounded

if TYPE_CHECKING:
    from lark import Lark, Token, Tree
    from lark.exceptions import UnexpectedInput

MAX_CHARACTERS = 400  # more than a readable claim has, and it bounds how deep one can be nested

GRAMMAR = r"""
claim: sum ORDER sum (ORDER sum)? tail*
tail: "at" comparison (_join comparison)*     -> at
    | "where" comparison (_join comparison)*  -> where
_join: "," | "and"
?sum: product | sum PLUS product -> operation | sum MINUS product -> operation
?product: factor | product STAR factor -> operation | product SLASH factor -> operation
?factor: atom | MINUS atom -> negative
?atom: NUMBER -> number | NAME -> quantity | NAME "(" argument (_join argument)* ")" -> call | "(" sum ")"
?argument: NAME -> plain | comparison
comparison: NAME (ORDER | EQUAL) literal
?literal: NUMBER -> number | MINUS NUMBER -> number | NAME -> word | STRING -> quoted
ORDER: "<=" | ">=" | "<" | ">"
EQUAL: "!=" | "="
PLUS: "+"
MINUS: "-"
STAR: "*"
SLASH: "/"
NAME: /[A-Za-z_][A-Za-z0-9_]*/
NUMBER: /([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?/
STRING: /"[^"\n]*"|'[^'\n]*'/
%ignore /[ \t\n]+/
"""
WORDS = {
    "ORDER": "< <= > >=", "EQUAL": "= !=", "PLUS": "+", "MINUS": "-", "STAR": "*", "SLASH": "/",
    "LPAR": "(", "RPAR": ")", "COMMA": ",", "NAME": "a name", "NUMBER": "a number", "STRING": "a quoted text",
    "$END": "the end", "AT": "at", "WHERE": "where", "AND": "and",
}  # fmt: skip

USAGE = {
    "area": "area(LABEL, conditions)",
    **{name: f"{name}(QUANTITY, conditions)" for name in STATISTICS},
    "share": "share(QUANTITY COMPARE NUMBER-or-QUANTITY, conditions)",
    "frontier": "frontier(generalization or inversion, along=AXIS, conditions)",
    "correlation": "correlation(QUANTITY, QUANTITY, conditions)",
}
MOST_SHOWN = 12


class ClaimError(ValueError):
    """All that is wrong with one claim."""

    def __init__(self, messages: Sequence[str]) -> None:
        self.messages = tuple(messages)
        super().__init__("; ".join(messages))


def parse_claim(text: str, axes: Sequence[Axis]) -> Claim:
    """Read a claim about a study with these axes; ClaimError names all that is wrong with it."""
    from lark.exceptions import UnexpectedInput

    if len(text) > MAX_CHARACTERS:
        raise ClaimError([f"has {len(text)} characters; allowed: at most {MAX_CHARACTERS}"])
    try:
        tree = _parser().parse(text)
    except UnexpectedInput as error:
        raise ClaimError([_unexpected(error, text)]) from None
    reader = _Reader({axis.name: axis for axis in axes})
    claim = reader.claim(tree, text)
    if not reader.messages and not claim.terms:
        reader.messages.append("names nothing that was measured; allowed: at least one term")
    if reader.messages:
        raise ClaimError(list(dict.fromkeys(reader.messages)))
    return claim


@cache
def _parser() -> Lark:
    from lark import Lark

    return Lark(GRAMMAR, start="claim", parser="lalr")


def _unexpected(error: UnexpectedInput, text: str) -> str:
    """Say what was found and what may stand there."""
    from lark.exceptions import UnexpectedCharacters, UnexpectedToken

    names: Iterable[str] = ()
    if isinstance(error, UnexpectedToken):
        names = error.accepts or error.expected
    elif isinstance(error, UnexpectedCharacters):
        names = error.allowed or ()
    place = error.pos_in_stream if error.pos_in_stream is not None else len(text)
    found = str(error.token) if isinstance(error, UnexpectedToken) else text[place : place + 1]
    where = f"{found!a} at character {place + 1}" if found else "the end"
    allowed = ", ".join(word for name, word in WORDS.items() if name in set(names))
    return f"can't be read: found {where}; allowed there: {allowed}"


@dataclass
class _Reader:
    """Turns the tree of one claim into a Claim; what is wrong is gathered in ``messages``."""

    axes: dict[str, Axis]
    messages: list[str] = field(default_factory=list)
    everywhere: Conditions = ()  # the conditions after ``at`` and ``where``

    def wrong(self, token: Token, message: str) -> None:
        self.messages.append(f"{str(token)!r} at character {(token.start_pos or 0) + 1} {message}")

    def claim(self, tree: Tree[Token], text: str) -> Claim:
        parts: list[Any] = list(tree.children)
        for tail in [part for part in parts if getattr(part, "data", None) in ("at", "where")]:
            parts.remove(tail)
            self.everywhere += tuple(self.condition(part, fixes=tail.data == "at") for part in tail.children)
        sides = tuple(self.expression(part) for part in parts[::2])
        return Claim(sides, tuple(map(str, parts[1::2])), text)

    def expression(self, tree: Any) -> Expression:
        first, *rest = tree.children
        if tree.data == "number":
            return Number(self.number(first))
        if tree.data == "negative":
            return Negative(self.expression(rest[0]))
        if tree.data == "operation":
            return Operation(self.expression(first), str(rest[0]), self.expression(rest[1]))
        if tree.data == "quantity":
            return Statistic("mean", self.column(first), self.choosing(first, ()))
        return self.call(first, rest)

    def call(self, name: Token, arguments: list[Any]) -> Expression:
        if name not in USAGE:
            hint = f" (for a quantity: mean({name}, conditions))" if name in COLUMNS else did_you_mean(name, USAGE)
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
            return Area(self.known(names[0], LABELS, "label"), conditions)
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
        kind = self.known(names[0], FRONTIERS, "frontier")
        axis = along.children[2].children[0]
        self.known(axis, self.axes, "axis of the study")
        conditions = self.conditions(name, [argument for argument in rest if argument is not along])
        if str(axis) in self.axes:
            self.one_line(axis, conditions)
        return Frontier(cast(FrontierKind, kind), str(axis), conditions)

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
        found = []
        for argument in arguments:
            if argument.data == "comparison":
                found.append(self.condition(argument))
            else:
                self.wrong(argument.children[0], f"is not a condition; allowed: {USAGE[name]}")
        return self.choosing(name, tuple(found))

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

    def number(self, token: Token) -> float:
        value = float(token)
        if math.isinf(value):
            self.wrong(token, "is too large; allowed: a finite number")
            return 0.0
        return rounded(value)

    def column(self, token: Token) -> str:
        hint = " (area(LABEL) is the share of a label)" if token in LABELS else None
        return self.known(token, COLUMNS, "quantity", hint)

    def known(self, token: Token, names: Iterable[str], what: str, hint: str | None = None) -> str:
        if token not in names:
            article = "an" if what[0] in "aeiou" else "a"
            hint = did_you_mean(token, names) if hint is None else hint
            self.wrong(token, f"is not {article} {what}; allowed: {', '.join(names)}{hint}")
        return str(token)


def _values(axis: Axis) -> str:
    shown = ", ".join(_value(value) for value in axis.values[:MOST_SHOWN])
    return shown + (f", ... ({len(axis.values)} values)" if len(axis.values) > MOST_SHOWN else "")


def _value(value: Any) -> str:
    return show_literal(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else str(value)


def _example(axis: Axis) -> str:
    return f"{axis.name}={_value(axis.values[0])}"
