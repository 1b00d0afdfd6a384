"""What is recorded of every trial of a program beside its settings: quantities over steps, facts and final numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from phasemap.study.conditions import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The names of what a program records, in the order of the tables."""

    quantities: Mapping[str, Kind]  # at every recorded step; the kind decides scale, range and the search's model
    facts: tuple[str, ...] = ()  # numbers about the data of a trial
    finals: tuple[str, ...] = ()  # numbers about what was trained, at the end
    texts: tuple[str, ...] = ()  # what else is told of a trial, in words
    whole: frozenset[str] = field(default=frozenset())  # facts that are whole numbers
    undefined_without: Mapping[str, str] = field(default_factory=dict)  # quantities by the fact that must not be 0

    @property
    def accuracies(self) -> tuple[str, ...]:
        """The quantities between 0 and 1."""
        return tuple(name for name, kind in self.quantities.items() if kind == "accuracy")
