"""A labelling rule as a value: labels, groups, step times, columns and frontiers, by conditions over a curve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from phasemap.study.conditions import (
    Comparison,
    Condition,
    Expression,
    Fact,
    Kind,
    Step,
    Value,
    all_terms,
    constant,
    quantities_of,
)

WINDOW = 0.1  # the share of the steps over which a bare quantity is a median, where a rule says nothing
OTHERWISE = "otherwise"


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One label and when it is given; without a condition to every trial that no label before it was given to."""

    name: str
    when: Condition | None
    letter: str | None = None
    colour: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """A line of the map: where a quantity is equal to a number or to another quantity."""

    name: str
    quantity: str
    level: Expression  # a bare quantity, or numbers and parameters
    where: Comparison | None = None  # of a quantity with such a level: where the line is drawn; by default everywhere

    @property
    def against(self) -> str | None:
        """The other quantity, where the level is one."""
        return self.level.quantity if isinstance(self.level, Value) else None

    @property
    def bound(self) -> Frontier | None:
        """The line that parts where this one is drawn from where it is not."""
        if self.where is None:
            return None
        assert isinstance(self.where.left, Value)
        return Frontier(name=self.name, quantity=self.where.left.quantity, level=self.where.right)

    @property
    def lines(self) -> tuple[Frontier, ...]:
        """This line and the one that bounds it."""
        return (self,) if self.bound is None else (self, self.bound)

    def __str__(self) -> str:
        return f"{self.quantity} = {self.level}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A labelling rule with its thresholds; labels are tried in their order."""

    name: str
    labels: tuple[Label, ...]
    quantities: tuple[tuple[str, Kind], ...] = ()  # that the rule declares beside the built-in ones
    parameters: tuple[tuple[str, float], ...] = ()
    groups: tuple[tuple[str, tuple[str, ...]], ...] = ()
    times: tuple[tuple[str, Step], ...] = ()
    columns: tuple[tuple[str, Condition | Expression], ...] = ()
    window: float = WINDOW
    frontiers: tuple[Frontier, ...] = ()

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels, in the order in which ties between seeds are decided within a phase."""
        return tuple(label.name for label in self.labels)

    @property
    def phase_of(self) -> dict[str, str]:
        """The phase of each label: its group, else the label itself."""
        group_of = {label: group for group, members in self.groups for label in members}
        return {name: group_of.get(name, name) for name in self.label_names}

    @property
    def phases(self) -> tuple[str, ...]:
        """The phases, in the order in which ties between seeds are decided."""
        return tuple(dict.fromkeys(self.phase_of.values()))

    @property
    def texts(self) -> tuple[Condition | Expression, ...]:
        """Every condition and expression that is computed of a trial."""
        whens = tuple(label.when for label in self.labels if label.when is not None)
        return (*whens, *(time for _, time in self.times), *(column for _, column in self.columns))

    @property
    def needed(self) -> frozenset[str]:
        """The quantities whose curves decide anything that the rule says of a trial."""
        return frozenset(name for text in self.texts for name in quantities_of(text))

    @property
    def facts(self) -> frozenset[str]:
        """The settings and facts that the rule looks at."""
        times = {name for name, _ in self.times}
        names = {term.name for text in self.texts for term in all_terms(text) if isinstance(term, Fact)}
        return frozenset(names - times)

    def level(self, name: str) -> float | None:
        """The number at which the frontier of a name lies; None of one against another quantity, or of none."""
        numbers = dict(self.parameters)
        return next((constant(one.level, numbers) for one in self.frontiers if one.name == name), None)

    def with_parameters(self, values: Mapping[str, float]) -> Rule:
        """Return the rule with other thresholds, of those that it has."""
        return replace(self, parameters=tuple((name, values.get(name, old)) for name, old in self.parameters))


def rule_content(rule: Rule) -> dict[str, Any]:
    """Return a rule as the plain values of its file; reading them gives an equal rule."""
    content: dict[str, Any] = {
        "quantities": dict(rule.quantities),
        "parameters": dict(rule.parameters),
        "labels": {label.name: _label_content(label) for label in rule.labels},
        "groups": {name: list(members) for name, members in rule.groups},
        "times": {name: str(time) for name, time in rule.times},
        "columns": {name: str(column) for name, column in rule.columns},
        "window": rule.window,
        "frontiers": {frontier.name: _frontier_content(frontier) for frontier in rule.frontiers},
    }
    return {key: value for key, value in content.items() if value not in ({},)}


def _frontier_content(frontier: Frontier) -> Any:
    return str(frontier) if frontier.where is None else {"line": str(frontier), "where": str(frontier.where)}


def _label_content(label: Label) -> Any:
    when = OTHERWISE if label.when is None else str(label.when)
    marks = {key: value for key, value in (("letter", label.letter), ("colour", label.colour)) if value is not None}
    return {"when": when, **marks} if marks else when
