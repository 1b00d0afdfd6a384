"""What a study of networks takes from a user's files: a network, data, an optimizer, a loss; without their code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

from phasemap.study.networks import LATER, NETWORK_SETTINGS, NetworkTrial
from phasemap.study.program_source import Code, known_of
from phasemap.study.settings import Setting

ROLES: Mapping[str, tuple[str, str]] = {
    "task": ("task", "kind"),
    "model": ("model", "kind"),
    "optimizer": ("training", "optimizer"),
    "loss": ("training", "loss"),
}
"""The settings that may name code of a user, with their section and key."""


def _belonging(owner: str) -> tuple[str, ...]:
    settings = NETWORK_SETTINGS.items()
    return tuple(name for name, one in settings if one.belongs_to and one.belongs_to.setting == owner)


OF_PARTS = tuple(name for name in NETWORK_SETTINGS if name.startswith(("embedding_", "readout_")))
REPLACED: Mapping[str, tuple[str, ...]] = {
    "task": _belonging("task"),
    "model": (*(n for n, s in NETWORK_SETTINGS.items() if s.section == "model" and s.key != "kind"), *OF_PARTS),
    "optimizer": (*_belonging("optimizer"), *OF_PARTS),
    "loss": _belonging("loss"),
}
"""The settings that mean nothing beside a user's own part, so that its parameters may be called so."""

HEARD: Mapping[str, Mapping[str, str]] = {
    "task": {},
    "model": {"dropout": "dropout"},
    "optimizer": {"lr": "learning_rate", "learning_rate": "learning_rate", "weight_decay": "weight_decay"},
    "loss": {},
}
"""Parameters by which a part is given a setting that all networks have; one that it lacks, the study can't set."""

MISSED: Mapping[str, tuple[str, ...]] = {"model": ("dropout",), "optimizer": ("learning_rate", "weight_decay")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Code):
    """One network, data set, optimizer or loss of a user, without its code."""

    role: str  # of ROLES
    hears: tuple[tuple[str, str], ...] = ()  # parameters that are given a setting of all networks

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its settings."""
        return tuple(parameter.name for parameter in self.parameters)

    @property
    def key(self) -> str:
        """Where a study names it: ``model.kind``."""
        return ".".join(ROLES[self.role])

    def content(self) -> dict[str, Any]:
        """Return what is known as plain values, from which ``part_of`` makes it again."""
        return {**self.known(), "hears": dict(self.hears)}


def part_of(role: str, reference: str, content: Mapping[str, Any]) -> Part:
    """Make a part from what ``Part.content`` returned; ValueError, KeyError or TypeError where it is none."""
    return Part(
        role=role,
        reference=reference,
        **known_of(content),
        hears=tuple((str(name), str(setting)) for name, setting in content["hears"].items()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSize:
    """How large own data are for some values of their settings, and the hash of their content."""

    values: tuple[tuple[str, Any], ...]
    n_examples: int
    shape: tuple[int, ...]  # of one example
    n_classes: int
    tokens: bool
    digest: str

    def content(self) -> dict[str, Any]:
        """Return it as plain values."""
        shown = {name: list(value) if isinstance(value, tuple) else value for name, value in self.values}
        return {**asdict(self), "values": shown, "shape": list(self.shape)}


def data_size_of(content: Mapping[str, Any], part: Part) -> DataSize:
    """Make a size from what ``DataSize.content`` returned."""
    values = content["values"]
    return DataSize(
        values=tuple((one.name, one.value_of(values[one.name])) for one in part.parameters),
        shape=tuple(content["shape"]),
        **{name: content[name] for name in ("n_examples", "n_classes", "tokens", "digest")},
    )


@dataclass(frozen=True, kw_only=True)
class Parts:
    """All that a study takes from a user's files; its version stands in the ids of its trials."""

    version: int = 1
    parts: tuple[Part, ...] = ()
    data: tuple[DataSize, ...] = ()  # of own data, for all values of their settings in the study

    def __hash__(self) -> int:
        return hash((self.version, tuple((part.reference, part.source) for part in self.parts)))

    def get(self, role: str) -> Part | None:
        """Return the part of a role, or None where phasemap's own is used."""
        return next((part for part in self.parts if part.role == role), None)

    @property
    def code(self) -> bool:
        """Whether any of what computes a training step is a user's."""
        return any(part.role != "task" for part in self.parts)

    @property
    def source(self) -> str:
        """The hashes of all parts' code, as they stand in each row of the run."""
        return "+".join(dict.fromkeys(part.source for part in self.parts))

    @property
    def declared(self) -> Mapping[str, Setting]:
        """All settings of the study by their flat names: phasemap's that apply, and the parts' parameters."""
        return _declared(self)

    @property
    def owner(self) -> Mapping[str, Part]:
        """The part that each setting of a part belongs to."""
        return {name: part for part in self.parts for name in part.names}

    def size_of(self, values: Mapping[str, Any]) -> DataSize:
        """Return the size of own data for some settings; KeyError where they were never loaded with these."""
        part = self.get("task")
        assert part is not None
        wanted = tuple((name, values[name]) for name in part.names)
        return next(size for size in self.data if size.values == wanted)

    def content(self) -> dict[str, Any]:
        """Return what is known as plain values."""
        return {part.role: part.content() for part in self.parts} | (
            {"data": [size.content() for size in self.data]} if self.get("task") else {}
        )


@lru_cache(maxsize=8)
def _declared(parts: Parts) -> Mapping[str, Setting]:
    """Put phasemap's settings and those of a user's parts together, section by section."""
    apply = built_in_settings(parts.parts)
    settings: dict[str, Setting] = {}
    for section in ("task", "model", "training", "fixed"):
        settings |= {name: setting for name, setting in apply.items() if setting.section == section}
        for part in parts.parts:
            if ROLES[part.role][0] == section:
                settings |= {one.name: replace(one.setting, section=section) for one in part.parameters}
    return settings


def built_in_settings(parts: Iterable[Part]) -> dict[str, Setting]:
    """Return phasemap's settings that mean something beside some parts of a user."""
    left = set()
    for part in parts:
        heard = {setting for _, setting in part.hears}
        left |= {*REPLACED[part.role], *(set(MISSED.get(part.role, ())) - heard)}
        left |= set(part.names) & set(LATER)  # what a run has called so since before there was such a setting
    return {name: setting for name, setting in NETWORK_SETTINGS.items() if name not in left}


@dataclass(frozen=True, kw_only=True)
class OwnTrial(NetworkTrial):
    """A network with parts of a user: phasemap's settings that don't apply are at their default."""

    parts: Parts
    own: tuple[tuple[str, Any], ...]  # the settings of the parts

    __hash__ = NetworkTrial.__hash__

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting's value by its flat name."""
        own = dict(self.own)
        return {name: own[name] if name in own else self.values[name] for name in self.parts.declared}

    @property
    def shape(self) -> tuple[Any, ...]:
        """What all trials of a pack must have in common: also the settings of all parts but an optimizer's."""
        optimizer = self.parts.get("optimizer")
        free = optimizer.names if optimizer else ()
        static = tuple((name, value) for name, value in self.own if name not in free)
        dropout = self.dropout if self.parts.get("model") else 0.0
        shared: tuple[Any, ...] = super().shape
        return (*shared, static, dropout)

    @property
    def start(self) -> tuple[Any, ...]:
        """What trials have in common that are alike up to the first of their ``events``: also the parts' settings."""
        return (*super().start, self.own)

    @property
    def explicit(self) -> bool:
        """Whether a closed-form gradient covers the network: never where a user's code computes a part of it."""
        return not self.parts.code and super().explicit

    def values_of(self, part: Part) -> dict[str, Any]:
        """Return what a part's code is called with, by the names of its parameters."""
        own = dict(self.own)
        heard = {"learning_rate": self.step_size, "weight_decay": self.weight_decay, "dropout": self.dropout}
        return {name: own[name] for name in part.names} | {name: heard[setting] for name, setting in part.hears}
