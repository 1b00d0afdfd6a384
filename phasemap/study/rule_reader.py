"""Turn the plain content of a rule file into a rule: every mistake is reported with its path."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from phasemap.study.condition_grammar import USAGE, ConditionError, Scope, parse_condition, parse_value
from phasemap.study.conditions import KINDS, Comparison, Condition, Expression, Kind, Parameter, Step, Value, terms_of
from phasemap.study.errors import KeyPath, did_you_mean
from phasemap.study.expressions import KEYWORDS
from phasemap.study.names import (
    FACTS,
    LETTERS,
    QUANTITY_KINDS,
    RESERVED_COLUMNS,
    STEP_TIMES,
    UNLABELLED,
)
from phasemap.study.networks import NETWORK_SETTINGS
from phasemap.study.reachable import unreachable
from phasemap.study.rule import OTHERWISE, WINDOW, Frontier, Label, Rule
from phasemap.study.rule_groups import RESERVED_LABELS, TAKEN, group_mistakes
from phasemap.study.settings import Setting
from phasemap.study.values import describe, is_number, rounded

KEYS = ("quantities", "parameters", "labels", "groups", "times", "columns", "window", "frontiers")
MAX_LABELS, MAX_CONDITIONS = 24, 32
NAME = r"[^\W\d]\w{0,63}"
SIDES = (">=", ">", "<=", "<")
COLOUR = r"#[0-9a-fA-F]{6}"


@dataclass
class RuleReader:
    """Turns the plain content of a rule file into a Rule; mistakes go to ``report``."""

    report: Callable[[KeyPath, str], None]
    recorded: Mapping[str, Kind]
    thresholds: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, Setting] = field(default_factory=lambda: NETWORK_SETTINGS)
    facts: tuple[str, ...] = FACTS
    built_in: Mapping[str, Kind] = field(default_factory=lambda: QUANTITY_KINDS)  # known, also where not recorded
    path: KeyPath = ()
    mistakes: int = 0
    scope: Scope = field(init=False)

    def wrong(self, path: KeyPath, message: str) -> None:
        """Report a mistake at a path inside the rule."""
        self.mistakes += 1
        self.report((*self.path, *path), message)

    def read(self, path: KeyPath, content: Any, name: str) -> Rule | None:
        """Return the rule that stands at a path, or None where anything in it is wrong."""
        self.path = path
        if not isinstance(content, dict):
            self.wrong((), f"is {describe(content)}; allowed: a mapping of {', '.join(KEYS)}")
            return None
        self.known_keys((), content, KEYS)
        quantities = self.quantities(content.get("quantities"))
        parameters = self.parameters(content.get("parameters"))
        parameters = tuple((key, self.thresholds.get(key, value)) for key, value in parameters)
        self.scope = Scope(
            quantities={**self.built_in, **self.recorded, **dict(quantities)},
            parameters=tuple(dict(parameters)),
            facts=(*self.numbers, *self.facts),
        )
        labels = self.labels(content.get("labels"))
        rule = Rule(
            name=name,
            quantities=quantities,
            parameters=parameters,
            labels=labels,
            groups=self.groups(content.get("groups"), [label.name for label in labels]),
            times=self.times(content.get("times")),
            columns=self.columns(content.get("columns"), content.get("times")),
            window=self.window(content.get("window", WINDOW)),
            frontiers=self.frontiers(content.get("frontiers")),
        )
        self.together(rule, content)
        return None if self.mistakes else rule

    def known_keys(self, path: KeyPath, content: Mapping[Any, Any], known: tuple[str, ...]) -> None:
        """Report the keys that a mapping may not have."""
        for key in content:
            if key not in known:
                hint = did_you_mean(str(key), known)
                self.wrong((*path, key), f"is an unknown key; allowed: {', '.join(known)}{hint}")

    @property
    def numbers(self) -> tuple[str, ...]:
        """The settings that a condition may name."""
        return tuple(name for name, setting in self.settings.items() if setting.number)

    def together(self, rule: Rule, content: Mapping[str, Any]) -> None:
        """Check what no part can see alone."""
        count = sum(len(content[key]) for key in ("labels", "times", "columns") if isinstance(content.get(key), dict))
        if count > MAX_CONDITIONS:
            self.wrong((), f"has {count} conditions; allowed: at most {MAX_CONDITIONS}")
        self.letters(rule)
        for name in sorted(rule.needed - set(self.recorded)):
            if name in self.scope.quantities:
                path = ("quantities", name) if name in dict(rule.quantities) else ("labels",)
                self.wrong(path, f"{name} was not recorded; recorded: {', '.join(self.recorded)}")
        if not self.mistakes:
            for name, reason in unreachable(rule, self.scope.quantities):
                self.wrong(("labels", name), reason)
        for frontier in rule.frontiers:
            self.line(frontier, rule)

    def line(self, frontier: Frontier, rule: Rule) -> None:
        """A frontier lies where its quantities were recorded, and at a number that its quantity can have."""
        bounds = [(line.quantity, line.against) for line in frontier.lines]
        for name in dict.fromkeys(name for pair in bounds for name in pair):
            if name is not None and name not in self.recorded:
                self.wrong(
                    ("frontiers", frontier.name), f"{name} was not recorded; recorded: {', '.join(self.recorded)}"
                )
        level, kind = rule.level(frontier.name), self.scope.quantities[frontier.quantity]
        if level is not None and ((kind == "accuracy" and not 0 <= level <= 1) or (kind == "loss" and level < 0)):
            allowed = "a number from 0 to 1" if kind == "accuracy" else "a number that is not negative"
            self.wrong(("frontiers", frontier.name), f"= {level:g} is not a valid {kind}; allowed: {allowed}")

    def mapping(self, key: str, content: Any, what: str) -> Iterator[tuple[str, Any]]:
        """Yield the entries of a section whose names are plain."""
        if content is None:
            return
        if not isinstance(content, dict):
            self.wrong((key,), f"is {describe(content)}; allowed: {what}")
            return
        for name, value in content.items():
            if re.fullmatch(NAME, str(name)):
                yield str(name), value
            else:
                self.wrong((key, name), "is not a name; allowed: letters, digits and _, no digit first, at most 64")

    def quantities(self, content: Any) -> tuple[tuple[str, Kind], ...]:
        """Read the kinds of quantities that are not built in; a built-in one may be told again."""
        quantities: list[tuple[str, Kind]] = []
        known = {**self.recorded, **QUANTITY_KINDS}
        for name, kind in self.mapping("quantities", content, "a mapping of names to accuracy, loss or number"):
            if kind not in KINDS:
                self.wrong(("quantities", name), f"= {describe(kind)} is not a kind; allowed: {', '.join(KINDS)}")
            elif known.get(name, kind) != kind:
                self.wrong(("quantities", name), f"= {kind} contradicts its kind; allowed: {known[name]}")
            elif name in (*self.settings, *FACTS, *USAGE, *KEYWORDS):
                self.wrong(("quantities", name), "is the name of something else; allowed: another name")
            else:
                quantities.append((name, cast(Kind, kind)))
        return tuple(quantities)

    def parameters(self, content: Any) -> tuple[tuple[str, float], ...]:
        """Read the thresholds."""
        parameters = []
        taken = (*QUANTITY_KINDS, *self.recorded, *self.settings, *FACTS, *USAGE, *KEYWORDS, *KEYS, "rule")
        for name, value in self.mapping("parameters", content, "a mapping of names to numbers"):
            if name in taken:
                self.wrong(("parameters", name), "is the name of something else; allowed: another name")
            elif (number := self.number(("parameters", name), value)) is not None:
                parameters.append((name, number))
        return tuple(parameters)

    def number(self, path: KeyPath, value: Any) -> float | None:
        """Read a finite number."""
        if not is_number(value) or not math.isfinite(value):
            self.wrong(path, f"= {describe(value)} is not allowed; allowed: a number")
            return None
        return rounded(float(value))

    def labels(self, content: Any) -> tuple[Label, ...]:
        """Read the labels in their order."""
        if not isinstance(content, dict) or not content:
            what = "is missing" if content is None else f"is {describe(content)}"
            self.wrong(("labels",), f"{what}; allowed: a mapping of labels to conditions, at least one")
            return ()
        if len(content) > MAX_LABELS:
            self.wrong(("labels",), f"has {len(content)} labels; allowed: at most {MAX_LABELS}")
        return tuple(self.label(name, value) for name, value in self.mapping("labels", content, "labels"))

    def label(self, name: str, content: Any) -> Label:
        """Read one label: its condition, or a mapping of when, letter and colour."""
        path = ("labels", name)
        if name in RESERVED_LABELS:
            self.wrong(path, TAKEN)
        if not isinstance(content, dict):
            return Label(name=name, when=self.when(path, content))
        self.known_keys(path, content, ("when", "letter", "colour"))
        if "when" not in content:
            self.wrong(path, "has no condition; allowed: when: CONDITION, beside letter and colour")
        return Label(
            name=name,
            when=self.when((*path, "when"), content["when"]) if "when" in content else None,
            letter=self.letter((*path, "letter"), content.get("letter")),
            colour=self.colour((*path, "colour"), content.get("colour")),
        )

    def when(self, path: KeyPath, content: Any) -> Condition | None:
        """Read the condition of a label; None for ``otherwise``."""
        if isinstance(content, str) and content.strip() == OTHERWISE:
            return None
        return self.condition(path, content)

    def condition(self, path: KeyPath, content: Any) -> Condition | None:
        """Read a condition; None where it is wrong."""
        condition: Condition | None = self.value(path, content, self.scope, parse_condition)
        return condition

    def value(self, path: KeyPath, content: Any, scope: Scope, parse: Callable[[str, Scope], Any] = parse_value) -> Any:
        """Read a condition or a number; None where it is wrong."""
        if not isinstance(content, str):
            self.wrong(path, f"= {describe(content)} is not a condition; allowed: text, e.g. test_accuracy >= 0.9")
            return None
        try:
            return parse(content, scope)
        except ConditionError as error:
            for message in error.messages:
                self.wrong(path, message)
            return None

    def letter(self, path: KeyPath, content: Any) -> str | None:
        """Read the letter of a label."""
        if content is None:
            return None
        text = str(content)
        if isinstance(content, dict | list | bool) or len(text) != 1 or not text.isprintable() or text.isspace():
            self.wrong(path, f"= {describe(content)} is not allowed; allowed: one character")
            return None
        taken = next((name for name, letter in UNLABELLED.items() if letter == text), None)
        if taken:
            self.wrong(path, f"= {describe(text)} is the letter of {taken} trials; allowed: any but D, ! and ?")
        return text

    def colour(self, path: KeyPath, content: Any) -> str | None:
        """Read the colour of a label."""
        if content is not None and not (isinstance(content, str) and re.fullmatch(COLOUR, content)):
            self.wrong(path, f'= {describe(content)} is not a colour; allowed: "#rrggbb" in quotes')
            return None
        return content

    def letters(self, rule: Rule) -> None:
        """Labels must not share a letter; those of built-in labels are fixed."""
        owner: dict[str, str] = {}
        for group, members in rule.groups:
            if group in LETTERS and group not in members:
                owner[LETTERS[group]] = group
        for label in rule.labels:
            letter = label.letter or LETTERS.get(label.name)
            if letter is None:
                continue
            if letter in owner:
                path = ("labels", label.name, "letter") if label.letter else ("labels", label.name)
                self.wrong(path, f"= {describe(letter)} is the letter of {owner[letter]} too; allowed: another letter")
            owner.setdefault(letter, label.name)

    def groups(self, content: Any, labels: list[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Read the groups: names of several labels each."""
        entries = dict(self.mapping("groups", content, "a mapping of groups to lists of labels"))
        for name, message in group_mistakes(entries, labels):
            self.wrong(("groups", *name), message)
        lists = {group: members for group, members in entries.items() if isinstance(members, list)}
        return tuple((group, tuple(m for m in members if isinstance(m, str))) for group, members in lists.items())

    def times(self, content: Any) -> tuple[tuple[str, Step], ...]:
        """Read the step times: a condition that is reached for the first time, or step(...) or lasting(...)."""
        times = []
        for name, text in self.mapping("times", content, "a mapping of names to conditions"):
            self.column_name(("times", name), name)
            if name == "delayed":
                self.wrong(("times", name), "is a column of every table; allowed: another name, or under columns")
            value = self.value(("times", name), text, self.scope)
            if value is None:
                continue
            if isinstance(value, Condition):
                if any(isinstance(term, Step) for term in terms_of(value)):
                    self.wrong(("times", name), "finds a step inside a step; allowed: step and lasting one deep")
                value = Step(value)
            if not isinstance(value, Step):
                self.wrong(("times", name), f"= '{value}' is not a step; allowed: CONDITION, or lasting(CONDITION)")
                continue
            times.append((name, value))
        return tuple(times)

    def columns(self, content: Any, times: Any) -> tuple[tuple[str, Condition | Expression], ...]:
        """Read the further columns: conditions or numbers, which may name the step times."""
        scope = replace(self.scope, times=tuple(map(str, times)) if isinstance(times, dict) else ())
        columns = []
        for name, text in self.mapping("columns", content, "a mapping of names to conditions or numbers"):
            self.column_name(("columns", name), name)
            if name in (*scope.times, *STEP_TIMES):
                self.wrong(("columns", name), "is a step time; allowed: another name, or under times")
            if (value := self.value(("columns", name), text, scope)) is not None:
                if name == "delayed" and not isinstance(value, Condition):
                    self.wrong(("columns", name), f"= '{value}' is a number; allowed: a condition")
                columns.append((name, value))
        return tuple(columns)

    def column_name(self, path: KeyPath, name: str) -> None:
        """A column of a rule must not hide one that every table of trials has, or another name of conditions."""
        if name in (*self.settings, *RESERVED_COLUMNS, *self.scope.names, *USAGE, *KEYWORDS):
            self.wrong(path, "is the name of something else; allowed: another name")

    def window(self, content: Any) -> float:
        """Read the window, a share of the steps."""
        value = self.number(("window",), content)
        if value is not None and not 0 <= value < 1:
            self.wrong(("window",), f"= {value:g} is not allowed; allowed: a number in [0, 1)")
        return WINDOW if value is None else value

    def frontiers(self, content: Any) -> tuple[Frontier, ...]:
        """Read the lines of the map: a quantity, =, and a number or another quantity; or with where they are drawn."""
        frontiers = []
        for name, entry in self.mapping("frontiers", content, "a mapping of names to QUANTITY = NUMBER-or-QUANTITY"):
            path: KeyPath = ("frontiers", name)
            whole = isinstance(entry, dict)
            self.known_keys(path, entry if whole else {}, ("line", "where"))
            line = self.side(path, entry.get("line") if whole else entry, ("=",))
            where = self.side((*path, "where"), entry["where"], SIDES) if whole and "where" in entry else None
            if line is not None:
                quantity = cast(Value, line.left).quantity
                frontiers.append(Frontier(name=name, quantity=quantity, level=line.right, where=where))
        return tuple(frontiers)

    def side(self, path: KeyPath, text: Any, comparisons: tuple[str, ...]) -> Comparison | None:
        """Read a comparison of a quantity with a number or another quantity; None where it is wrong."""
        allowed = f"allowed: QUANTITY {' or '.join(comparisons)} NUMBER-or-QUANTITY"
        condition = self.condition(path, text)
        if condition is None:
            return None
        if not isinstance(condition, Comparison) or condition.comparison not in comparisons:
            what = "is not a line" if "=" in comparisons else "is not a side of a line"
            self.wrong(path, f"= '{condition}' {what}; {allowed}")
        elif not isinstance(condition.left, Value):
            self.wrong(path, f"= '{condition}' does not start with a quantity; {allowed}")
        elif not _is_level(condition.right, condition.left):
            self.wrong(path, f"= '{condition}' has no level for {condition.left}; {allowed}")
        else:
            return condition
        return None


def _is_level(level: Expression, quantity: Value) -> bool:
    """Tell whether an expression is another quantity, or made of numbers and parameters."""
    if isinstance(level, Value):
        return level != quantity
    return all(isinstance(term, Parameter) for term in terms_of(level))
