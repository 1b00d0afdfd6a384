"""A study of networks that takes a network, data, an optimizer or a loss from a user's files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import InstanceOf
from pydantic.json_schema import SkipJsonSchema

from phasemap.study.identity import Identity
from phasemap.study.networks import NETWORK_IDENTITY, NETWORK_RECORDED
from phasemap.study.own_parts import OwnTrial, Parts
from phasemap.study.settings import Recorded, Setting
from phasemap.study.sizes import facts_of
from phasemap.study.spec import KEYS, NetworkStudy

OWN_RECORDED = replace(NETWORK_RECORDED, texts=("source",))


class OwnStudy(NetworkStudy):
    """A study of networks with parts of a user."""

    file_keys = (*KEYS[:2], "version", *KEYS[2:5], "signature", *KEYS[5:])
    parts: SkipJsonSchema[InstanceOf[Parts]]
    own: tuple[tuple[str, Any], ...] = ()  # the settings of the parts that are no axes

    @property
    def possible(self) -> Mapping[str, Setting]:
        """What phasemap's tasks, networks and trainings can be told beside the user's parts, and these."""
        return self.parts.declared

    @property
    def recorded(self) -> Recorded:
        """What is recorded of every network, and the hash of the user's code."""
        return OWN_RECORDED

    @property
    def identity(self) -> Identity:
        """What ids are made of: the version, the names of the parts, their settings, and others but at a default."""
        own = self.parts.owner
        defaults = {name: one.default for name, one in self.declared.items() if name not in own}
        return Identity(constant={"version": self.parts.version}, defaults=defaults)

    def setting(self, name: str) -> Any:
        """Return the value of a setting that is not an axis; of a user's part its name."""
        part, own = self.parts.get(name), dict(self.own)
        if part is not None:
            return part.name
        return own[name] if name in own else super().setting(name)

    def trial(self, settings: Mapping[str, Any], seed: int) -> OwnTrial:
        """Build the trial of fully resolved settings and a seed."""
        owner = self.parts.owner
        apply = {name: value for name, value in settings.items() if name not in owner}
        return OwnTrial(
            trial_id=self.identity.trial_id(settings, seed),
            seed=seed,
            parts=self.parts,
            own=tuple((name, settings[name]) for name in owner),
            values={**NETWORK_IDENTITY.defaults, **apply},
        )

    def expected_facts(self, settings: Mapping[str, Any]) -> Mapping[str, float]:
        """Return what settings tell of the data of a network."""
        if self.parts.get("task") is None:
            return super().expected_facts(settings)
        size = self.parts.size_of(settings)
        return facts_of(settings, n_examples=size.n_examples, n_classes=size.n_classes)
