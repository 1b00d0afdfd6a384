"""The grammar of conditions: text to values whose every name is checked; nothing is ever executed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from phasemap.study.conditions import (
    REDUCTIONS,
    And,
    At,
    Comparison,
    Condition,
    Expression,
    Fact,
    Kind,
    Not,
    Or,
    Parameter,
    Reduced,
    Step,
    Term,
    Value,
)
from phasemap.study.errors import ListedError, did_you_mean
from phasemap.study.expressions import MAX_CHARACTERS, Number, Reader, Start, UnreadableError, parse

if TYPE_CHECKING:
    from lark import Token

MAX_NESTING = 16  # parentheses, functions and nots inside one another

USAGE = {
    **{name: f"{name}(QUANTITY)" for name in REDUCTIONS},
    "at": "at(QUANTITY, STEP)",
    "step": "step(CONDITION)",
    "lasting": "lasting(CONDITION)",
}
BOOLEANS = ("either", "both", "negation", "compared")


class ConditionError(ListedError):
    """All that is wrong with one condition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The names that a condition may use."""

    quantities: Mapping[str, Kind]
    parameters: Collection[str] = ()
    facts: Collection[str] = ()
    times: Collection[str] = ()  # in columns only

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.parameters, *self.quantities, *self.times, *self.facts)


def parse_condition(text: str, scope: Scope) -> Condition:
    """Read a condition; ConditionError names all that is wrong with it."""
    condition = _written(_read(text, scope, "condition"), text, scope, "condition")
    assert isinstance(condition, Condition)
    return condition


def parse_value(text: str, scope: Scope) -> Condition | Expression:
    """Read a condition or a number; ConditionError names all that is wrong with it."""
    return _written(_read(text, scope, "value"), text, scope, "value")


def _written(value: Condition | Expression, text: str, scope: Scope, start: Start) -> Condition | Expression:
    """Make sure that a value is read again as it will be written into a run's folder."""
    written = str(value)
    if len(written) > MAX_CHARACTERS or written.count("(") + written.count("not ") > MAX_NESTING:
        try:
            _read(written, scope, start)
        except ConditionError as error:
            raise ConditionError([f"written out with spaces {message}" for message in error.messages]) from None
    return value


def _read(text: str, scope: Scope, start: Start) -> Condition | Expression:
    try:
        tree = parse(text, start)
    except UnreadableError as error:
        raise ConditionError([str(error)]) from None
    reader = _Reader(scope)
    value = reader.value(tree)
    if reader.messages:
        raise ConditionError(list(dict.fromkeys(reader.messages)))
    return value


class _Reader(Reader[Term]):
    """Turns the tree of one condition into values."""

    def __init__(self, scope: Scope) -> None:
        super().__init__()
        self.scope = scope
        self.depth = 0
        self.within: str | None = None  # the function step, lasting or at whose inside is being read
        self.finding: str | None = None  # the outer one of them that finds a step

    def value(self, tree: Any) -> Condition | Expression:
        inner = tree
        while inner.data == "group":
            inner = inner.children[0]
        return self.condition(tree) if inner.data in BOOLEANS else self.expression(tree)

    def condition(self, tree: Any) -> Condition:
        if tree.data in ("group", "negation"):
            with_not = tree.data == "negation"
            inner = self.deeper(lambda: self.condition(tree.children[0]))
            return Not(inner) if with_not else inner
        if tree.data == "compared":
            return self.compared(tree.children)
        parts = [self.condition(child) for child in tree.children]
        kind = Or if tree.data == "either" else And
        return kind(tuple(inner for part in parts for inner in (part.parts if isinstance(part, kind) else (part,))))

    def compared(self, children: list[Any]) -> Condition:
        sides = [self.expression(side) for side in children[::2]]
        signs = map(str, children[1::2])
        links = [Comparison(a, sign, b) for (a, b), sign in zip(pairwise(sides), signs, strict=True)]
        return links[0] if len(links) == 1 else And(tuple(links))

    def expression(self, tree: Any) -> Expression:
        if tree.data == "group":
            return self.deeper(lambda: self.expression(tree.children[0]))
        return super().expression(tree)

    def deeper(self, read: Any) -> Any:
        """Read what is nested; a text that is nested too deep is refused as a whole."""
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise ConditionError([f"is nested more than {MAX_NESTING} deep; allowed: at most {MAX_NESTING}"])
        value = read()
        self.depth -= 1
        return value

    def term(self, name: Token, arguments: list[Any]) -> Expression:
        if arguments:
            return self.deeper(lambda: self.call(name, arguments))
        return self.name(name)

    def name(self, name: Token) -> Expression:
        scope = self.scope
        if name in scope.parameters:
            return Parameter(str(name))
        if name in scope.quantities:
            if self.within == "at":
                self.wrong(name, "is not a step; allowed: a number, a parameter, a fact, step(CONDITION)")
            return Value(str(name))
        if name in scope.times or name in scope.facts:
            return Fact(str(name))
        hint = f" ({name} is a function: {USAGE[name]})" if name in USAGE else did_you_mean(name, scope.names)
        self.wrong(name, f"is not a quantity, parameter, setting or fact; allowed: {', '.join(scope.names)}{hint}")
        return Number(0.0)

    def call(self, name: Token, arguments: list[Any]) -> Expression:
        if name not in USAGE:
            self.wrong(name, f"is not a function; allowed: {', '.join(USAGE)}{did_you_mean(name, USAGE)}")
            return Number(0.0)
        if name in ("step", "lasting"):
            return self.step(name, arguments)
        quantity = self.quantity(name, arguments, 2 if name == "at" else 1)
        if quantity is None:
            return Number(0.0)
        return At(quantity, self.inside(name, arguments[1])) if name == "at" else Reduced(str(name), quantity)

    def quantity(self, name: Token, arguments: list[Any], count: int) -> str | None:
        """Return the quantity that a function's arguments start with."""
        if len(arguments) != count or arguments[0].data != "quantity":
            self.wrong(name, f"needs a quantity{' and a step' if count == 2 else ''}; allowed: {USAGE[name]}")
            return None
        return self.known(arguments[0].children[0], self.scope.quantities, "quantity")

    def step(self, name: Token, arguments: list[Any]) -> Expression:
        if len(arguments) != 1 or arguments[0].data not in (*BOOLEANS, "group"):
            self.wrong(name, f"needs one condition; allowed: {USAGE[name]}")
            return Number(0.0)
        condition = self.inside(name, arguments[0])
        if not isinstance(condition, Condition):
            self.wrong(name, f"needs one condition; allowed: {USAGE[name]}")
            return Number(0.0)
        return Step(condition, lasting=name == "lasting")

    def inside(self, name: Token, tree: Any) -> Any:
        """Read the inside of a function that finds a step, which stands in no other such function, or takes one."""
        outer, finding = self.within, self.finding
        if name != "at":
            if finding is not None:
                self.wrong(name, f"stands inside {finding}; allowed: step and lasting one deep")
            self.finding = str(name)
        self.within = str(name)
        value = self.value(tree)
        self.within, self.finding = outer, finding
        if name == "at" and isinstance(value, Condition):
            self.wrong(name, f"needs a step after its quantity; allowed: {USAGE['at']}")
            return Number(0.0)
        return value
