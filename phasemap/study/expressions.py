"""What claims and conditions share: the grammar, its arithmetic as values, and how mistakes of writing are named."""

from __future__ import annotations

import math
import operator
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar

from phasemap.study.errors import did_you_mean
from phasemap.study.values import SIGNIFICANT_DIGITS, rounded

if TYPE_CHECKING:
    from lark import Lark, Token, Tree
    from lark.exceptions import UnexpectedInput

MAX_CHARACTERS = 400  # more than a readable text has, and it bounds how deep one can be nested

COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "!=": operator.ne,
}
OPERATIONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
KEYWORDS = ("at", "where", "and", "or", "not")
PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2}
NEGATIVE, ATOM = 3, 4  # bind more than any operator

GRAMMAR = r"""
claim: sum{term} ORDER sum{term} (ORDER sum{term})? tail*
tail: "at" choice (_join choice)*     -> at
    | "where" choice (_join choice)*  -> where
_join: "," | "and"
?term: NAME "(" argument (_join argument)* ")" -> call
?argument: NAME -> plain | choice
choice: NAME (ORDER | EQUAL) literal -> comparison
?literal: NUMBER -> number | MINUS NUMBER -> number | NAME -> word | STRING -> quoted

?condition: both | condition "or" both -> either
?both: negation | both "and" negation
?negation: compared | "not" negation -> negation | "(" condition ")" -> group
compared: sum{reduced} ORDER sum{reduced} (ORDER sum{reduced})? | sum{reduced} EQUAL sum{reduced}
?reduced: NAME "(" value ("," value)* ")" -> call
?value: condition | sum{reduced}

?sum{x}: product{x} | sum{x} PLUS product{x} -> operation | sum{x} MINUS product{x} -> operation
?product{x}: factor{x} | product{x} STAR factor{x} -> operation | product{x} SLASH factor{x} -> operation
?factor{x}: atom{x} | MINUS atom{x} -> negative
?atom{x}: NUMBER -> number | NAME -> quantity | x | "(" sum{x} ")" -> group
ORDER: "<=" | ">=" | "<" | ">"
EQUAL: "!=" | "="
PLUS: "+"
MINUS: "-"
STAR: "*"
SLASH: "/"
NAME: /[^\W\d]\w*/
NUMBER: /([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?/
STRING: /"[^"\n]*"|'[^'\n]*'/
%ignore /[ \t\n]+/
"""
WORDS = {
    "ORDER": "< <= > >=", "EQUAL": "= !=", "PLUS": "+", "MINUS": "-", "STAR": "*", "SLASH": "/",
    "LPAR": "(", "RPAR": ")", "COMMA": ",", "NAME": "a name", "NUMBER": "a number", "STRING": "a quoted text",
    "$END": "the end", "AT": "at", "WHERE": "where", "NOT": "not", "AND": "and", "OR": "or",
}  # fmt: skip

Start = Literal["claim", "condition", "value"]
T = TypeVar("T")


class UnreadableError(ValueError):
    """A text that the grammar does not have."""


def parse(text: str, start: Start) -> Tree[Token]:
    """Parse a claim, a condition, or a value: a condition or a number; UnreadableError says what is wrong and where."""
    from lark.exceptions import UnexpectedInput

    if len(text) > MAX_CHARACTERS:
        raise UnreadableError(f"has {len(text)} characters; allowed: at most {MAX_CHARACTERS}")
    try:
        return _parser(claims=start == "claim").parse(text, start=start)
    except UnexpectedInput as error:
        raise UnreadableError(_unexpected(error, text)) from None


@cache
def _parser(*, claims: bool) -> Lark:
    """Build a parser of claims, or of conditions and values; each takes a tenth of a second."""
    from lark import Lark

    return Lark(GRAMMAR, start=["claim"] if claims else ["condition", "value"], parser="lalr")


def _unexpected(error: UnexpectedInput, text: str) -> str:
    """Say what was found and what may stand there."""
    from lark.exceptions import UnexpectedCharacters, UnexpectedToken

    names: Iterable[str] = ()
    if isinstance(error, UnexpectedToken):
        names = error.accepts or error.expected
    elif isinstance(error, UnexpectedCharacters):
        names = error.allowed or ()
    position = error.pos_in_stream if error.pos_in_stream is not None else len(text)
    found = str(error.token) if isinstance(error, UnexpectedToken) else text[position : position + 1]
    what = f"{found!a} at character {position + 1}" if found else "the end"
    allowed = ", ".join(word for name, word in WORDS.items() if name in set(names))
    return f"can't be read: found {what}; allowed there: {allowed}"


@dataclass(frozen=True, slots=True)
class Number:
    """A number that is not negative."""

    value: float

    def __str__(self) -> str:
        return show_literal(self.value)


@dataclass(frozen=True, slots=True)
class Negative(Generic[T]):
    """Minus an expression."""

    of: Expression[T]

    def __str__(self) -> str:
        return f"-{_within(self.of, ATOM)}"


@dataclass(frozen=True, slots=True)
class Operation(Generic[T]):
    """Two expressions joined by + - * or /."""

    left: Expression[T]
    operator: str
    right: Expression[T]

    def __str__(self) -> str:
        level = PRECEDENCE[self.operator]
        return f"{_within(self.left, level)} {self.operator} {_within(self.right, level + 1)}"


Expression: TypeAlias = Number | Negative[T] | Operation[T] | T


def terms_in(expression: Expression[T]) -> Iterator[T]:
    """Yield what an expression is made of beside numbers, from left to right."""
    if isinstance(expression, Operation):
        yield from terms_in(expression.left)
        yield from terms_in(expression.right)
    elif isinstance(expression, Negative):
        yield from terms_in(expression.of)
    elif not isinstance(expression, Number):
        yield expression


class Reader(ABC, Generic[T]):
    """Turns the trees of one text into values; what is wrong is gathered in ``messages``."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def wrong(self, token: Token, message: str) -> None:
        """Keep a mistake with its position in the text."""
        self.messages.append(f"{str(token)!r} at character {(token.start_pos or 0) + 1} {message}")

    def expression(self, tree: Any) -> Expression[T]:
        """Read arithmetic over terms."""
        first, *rest = tree.children
        if tree.data == "number":
            return Number(self.number(first))
        if tree.data == "negative":
            return Negative(self.expression(rest[0]))
        if tree.data == "operation":
            return Operation(self.expression(first), str(rest[0]), self.expression(rest[1]))
        if tree.data == "group":
            return self.expression(first)
        return self.term(first, rest)

    @abstractmethod
    def term(self, name: Token, arguments: list[Any]) -> Expression[T]:
        """Read a name, or a function with its arguments."""

    def number(self, token: Token) -> float:
        """Read a number, rounded as all numbers of a study are."""
        value = float(token)
        if math.isinf(value):
            self.wrong(token, "is too large; allowed: a finite number")
            return 0.0
        return rounded(value)

    def known(self, token: Token, names: Iterable[str], what: str, hint: str | None = None) -> str:
        """Return a name that must be one of some names."""
        if token not in names:
            article = "an" if what[0] in "aeiou" else "a"
            hint = did_you_mean(token, names) if hint is None else hint
            self.wrong(token, f"is not {article} {what}; allowed: {', '.join(names)}{hint}")
        return str(token)


def show_literal(value: float | str) -> str:
    """Write a number or a text as the language has it; texts that are no plain name are quoted."""
    if not isinstance(value, str):
        return f"{value:.{SIGNIFICANT_DIGITS}g}"
    if re.fullmatch(r"[^\W\d]\w*", value) and value not in KEYWORDS:
        return value
    return f'"{value}"' if '"' not in value else f"'{value}'"


def _within(expression: Any, least: int) -> str:
    """Write an operand, in parentheses where it binds less than it must."""
    if isinstance(expression, Operation):
        binds = PRECEDENCE[expression.operator]
    else:
        binds = NEGATIVE if isinstance(expression, Negative) else ATOM
    return str(expression) if binds >= least else f"({expression})"
