"""A study of a program: its settings are the parameters of a user's function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import Field, InstanceOf
from pydantic.json_schema import SkipJsonSchema

from phasemap.study.conditions import Kind
from phasemap.study.errors import UserError
from phasemap.study.identity import Identity, Trial
from phasemap.study.names import ACCURACIES
from phasemap.study.parameters import Parameter
from phasemap.study.programs import Program
from phasemap.study.settings import Recorded, Setting
from phasemap.study.spec import PhaseRule, ResourceSpec, Study
from phasemap.study.values import Count, Real

PROGRAM_KEYS: tuple[str, ...] = (
    "name", "question", "program", "version", "quantities", "signature", "axes", "fixed", "seeds", "phases", "record",
    "search", "resources", "claims",
)  # fmt: skip
"""The keys of such a study's file, in the order in which they are written."""
RULE_NEEDS = (*ACCURACIES, "n_corrupted")
"""What the built-in rules look at."""


class ProgramResources(ResourceSpec):
    """What a pack may use, and how long one of its trials may take."""

    max_trial_minutes: Literal["none"] | Annotated[Real, Field(gt=0)] = "none"


@dataclass(frozen=True, kw_only=True)
class ProgramTrial(Trial):
    """One call of a program."""

    __hash__ = Trial.__hash__


class ProgramStudy(Study):
    """A study of a user's own training function."""

    file_keys = PROGRAM_KEYS
    signature: SkipJsonSchema[InstanceOf[Program]]
    version: Count = 1
    fixed: tuple[tuple[str, Any], ...] = ()
    resources: ProgramResources = ProgramResources()

    @property
    def program(self) -> str:
        """The program as the study names it."""
        return self.signature.reference

    @property
    def declared(self) -> Mapping[str, Setting]:
        """The settings of the study's program by their names; an objective's are those that the study gives."""
        return _settings(self.parameters)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The program's parameters."""
        return self.signature.parameters

    @property
    def recorded(self) -> Recorded:
        """What the study's program records of every trial."""
        return self.signature.recorded

    @property
    def identity(self) -> Identity:
        """What ids are made of: name, version, all settings but later ones at their default, and the seed."""
        return Identity(
            constant={"program": self.signature.name, "version": self.version},
            defaults={one.name: one.default for one in self.parameters if one.since is not None},
        )

    def setting(self, name: str) -> Any:
        """Return the value of a setting that is not an axis."""
        return dict(self.fixed).get(name, self.declared[name].default)

    def trial(self, settings: Mapping[str, Any], seed: int) -> ProgramTrial:
        """Build the trial of fully resolved settings and a seed."""
        values = {name: settings[name] for name in self.declared}
        return ProgramTrial(trial_id=self.identity.trial_id(settings, seed), seed=seed, values=values)


def usual_phases(recorded: Recorded) -> PhaseRule:
    """Return what a study labels by that says nothing: the built-in rule where its needs are recorded, else nothing."""
    return PhaseRule.none() if unknown_to_rules(recorded) else PhaseRule()


def unknown_to_rules(recorded: Recorded) -> list[str]:
    """Return what the built-in rules look at and a program does not record."""
    return [name for name in RULE_NEEDS if name not in {*recorded.quantities, *recorded.facts}]


def check_known(rule: str, recorded: Recorded) -> None:
    """UserError where a built-in rule looks at what is not recorded."""
    if missing := unknown_to_rules(recorded):
        raise UserError(f"rule {rule} looks at {', '.join(missing)}, which were not recorded; allowed: a rule file")


def with_told(study: ProgramStudy, quantities: Mapping[str, Kind]) -> ProgramStudy:
    """Return a study with the quantities that its first trial told, and the labels that they allow."""
    signature = replace(study.signature, quantities=tuple(quantities.items()))
    return study.model_copy(update={"signature": signature, "phases": usual_phases(signature.recorded)})


@lru_cache(maxsize=8)
def _settings(parameters: tuple[Parameter, ...]) -> Mapping[str, Setting]:
    return {parameter.name: parameter.setting for parameter in parameters}
