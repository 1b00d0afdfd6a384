"""What a program can be told, each setting declared once, and what it records of every trial."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic.fields import FieldInfo

from phasemap.study.conditions import Kind
from phasemap.study.values import adapter


class Section(BaseModel):
    """A part of a study: immutable, and without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class BelongsTo:
    """What a setting belongs to: it means something only beside some values of another one, by its flat name."""

    setting: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One trial setting: its flat name, where it stands in the file, what it accepts and what it belongs to."""

    name: str
    section: str
    key: str
    field: FieldInfo
    belongs_to: BelongsTo | None = None  # None where every study of the program has it

    @property
    def path(self) -> str:
        """Where it stands in the file where it is not an axis: ``training.steps``."""
        return f"{self.section}.{self.key}"

    @property
    def default(self) -> Any:
        """The default value, or None where the file must give one."""
        return None if self.field.is_required() else self.field.default

    @property
    def text(self) -> str:
        """What it is, in a few words; empty where nobody said so."""
        return self.field.description or ""

    @property
    def adapter(self) -> TypeAdapter[Any]:
        """A validator for one value of this setting."""
        return adapter(self.field)

    @property
    def number(self) -> bool:
        """Whether every value of this setting is one number."""
        return self.numeric and not any(kind in str(self.field.annotation) for kind in ("tuple", "list"))

    @property
    def numeric(self) -> bool:
        """Whether values of this setting can be put on a numeric scale."""
        return "Literal" not in str(self.field.annotation) and any(
            kind in str(self.field.annotation) for kind in ("int", "float")
        )


def settings_of(sections: Mapping[str, type[Section]]) -> dict[str, Setting]:
    """Return the settings that sections declare, by their flat names: the keys, but a section's name for its kind.

    How a setting changes, in the section ``schedule``, is called by that setting: ``weight_decay_schedule``.
    """
    declared = {}
    for section, model in sections.items():
        for key, info in model.model_fields.items():
            name = section if key == "kind" else f"{key}_schedule" if section == "schedule" else key
            owner = next((one for one in info.metadata if isinstance(one, BelongsTo)), None)
            declared[name] = Setting(name=name, section=section, key=key, field=info, belongs_to=owner)
    return declared


def applying(declared: Mapping[str, Setting], values: Mapping[str, Collection[Any]]) -> dict[str, Setting]:
    """Return the settings that mean something beside the values that those take which others belong to."""
    return {
        name: one
        for name, one in declared.items()
        if (owner := one.belongs_to) is None or not set(owner.values).isdisjoint(values[owner.setting])
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The names of what a program records, in the order of the tables."""

    quantities: Mapping[str, Kind]  # at every recorded step; the kind decides scale, range and the search's model
    facts: tuple[str, ...] = ()  # numbers about the data of a trial
    finals: tuple[str, ...] = ()  # numbers about what was trained, at the end
    texts: tuple[str, ...] = ()  # what else is told of a trial, in words
    whole: frozenset[str] = frozenset()  # facts that are whole numbers
    undefined_without: Mapping[str, str] = field(default_factory=dict)  # quantities by the fact that must not be 0

    @property
    def accuracies(self) -> tuple[str, ...]:
        """The quantities between 0 and 1."""
        return tuple(name for name, kind in self.quantities.items() if kind == "accuracy")
