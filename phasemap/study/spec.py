"""The study as values: one frozen model per section of the study file, with every default."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, InstanceOf, model_validator
from pydantic.json_schema import SkipJsonSchema

from phasemap.study.axes import Axis
from phasemap.study.identity import Identity, Trial
from phasemap.study.names import BUILT_IN_RULES, FRONTIERS, GROKKING, NO_RULE, PHASES, SUBPHASES
from phasemap.study.networks import (
    NETWORK_IDENTITY,
    NETWORK_RECORDED,
    NETWORK_SETTINGS,
    FixedSpec,
    InterventionsSpec,
    ModelSpec,
    NetworkTrial,
    ScheduleSpec,
    TaskSpec,
    TrainingSpec,
)
from phasemap.study.rule import Rule
from phasemap.study.settings import Recorded, Section, Setting, applying
from phasemap.study.sizes import network_facts
from phasemap.study.values import NAME_PATTERN, Count, Natural, Real

Name = Annotated[str, Field(pattern=NAME_PATTERN)]

WHOLE_MAP = "phases"
Metric = Annotated[str, Field(pattern=NAME_PATTERN)]
"""What a search maps: WHOLE_MAP, or one frontier of the rule by its name."""


class PhaseRule(Section):
    """The labelling rule: a built-in one with its thresholds, or labels of one's own (also the content of a rule file).

    For labels of one's own, ``rule`` is their name, and ``generalized`` the level of their frontier of that name if it
    is the built-in one. With ``at_step``, trials are labelled as if their training had ended at that step.
    """

    rule: Name = "memorized_fraction"
    generalized: Annotated[Real, Field(gt=0, le=1)] = 0.9
    memorized: Annotated[Real, Field(gt=0.5, le=1)] = 0.9
    at_step: Count | None = None
    own: SkipJsonSchema[InstanceOf[Rule] | None] = Field(default=None, exclude=True)

    @model_validator(mode="after")
    def _is_known(self) -> PhaseRule:
        if self.own is None and self.rule not in BUILT_IN_RULES:
            raise ValueError(f"{self.rule} is not a rule; allowed: {', '.join(BUILT_IN_RULES)}")
        return self

    @classmethod
    def none(cls) -> PhaseRule:
        """Return the rule that gives no labels."""
        return cls(rule=NO_RULE, own=Rule(name=NO_RULE, labels=()))

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order in which ties between seeds are decided within a phase."""
        return SUBPHASES if self.own is None else self.own.label_names

    @property
    def phases(self) -> tuple[str, ...]:
        """The phases, in the order in which ties between seeds are decided."""
        return PHASES if self.own is None else self.own.phases

    @property
    def phase_of(self) -> dict[str, str]:
        """The phase of each label."""
        if self.own is not None:
            return self.own.phase_of
        return {name: "grokking" if name in GROKKING else name for name in SUBPHASES}

    @property
    def frontiers(self) -> tuple[str, ...]:
        """The names of the frontiers that diagrams draw."""
        return FRONTIERS if self.own is None else tuple(frontier.name for frontier in self.own.frontiers)

    @property
    def horizon_words(self) -> str:
        """Say at which step labels are taken; empty at the end of the training."""
        return "" if self.at_step is None else f"labels at step {self.at_step}"


class SearchSpec(Section):
    """Which of the grid's trials are trained: all, or those that a search picks within a budget.

    The axes' values are the grid on which the map is wanted. ``budget`` is a share of the grid's trials where it is
    written with a decimal point, else a count. ``metric`` is phases, or the name of a frontier of the rule.
    ``coverage`` is the share of the trials that go where an island may lie.
    """

    kind: Literal["grid", "boundary", "random", "sobol"] = "grid"
    budget: Count | Annotated[Real, Field(gt=0, le=1)] | None = None
    tolerance: Annotated[Real, Field(ge=0, lt=1)] = 0.005
    metric: Metric = WHOLE_MAP
    coverage: Annotated[Real, Field(ge=0, lt=1)] = 0.0
    seeds_per_point: Literal["auto"] | Count = "auto"
    batch_size: Literal["auto"] | Count = "auto"


BOUNDARY_ONLY = ("tolerance", "metric", "coverage")
"""The keys of a search that only kind boundary knows."""


class ResourceSpec(Section):
    """What a pack may use, and how many run at once."""

    device: Literal["auto", "cpu", "cuda", "any"] = "auto"
    cpus_per_pack: Annotated[Real, Field(gt=0)] = 1
    gpus_per_pack: Literal["auto"] | Annotated[Real, Field(ge=0)] = "auto"
    pack_size: Literal["auto"] | Count = "auto"
    max_concurrent: Literal["auto"] | Count = "auto"
    max_core_hours: Literal["none"] | Annotated[Real, Field(gt=0)] = "none"
    max_gpu_hours: Literal["none"] | Annotated[Real, Field(gt=0)] = "none"


KEYS: tuple[str, ...] = (
    "name", "question", "task", "model", "training", "schedule", "interventions", "axes", "fixed", "seeds", "phases",
    "record", "search", "resources", "claims",
)  # fmt: skip
"""The keys of a study file, in the order in which they are written."""

Record = Literal["ipr", "neurons", "pruning", "logits", "norms", "extracted", "weights", "state"]


class Study(Section, ABC):
    """One study: everything that decides which trials there are and what each of them is.

    Subclasses say which program trains them and which settings it has: see ``NetworkStudy``.
    """

    name: Name
    question: str = ""
    axes: tuple[Axis, ...]
    seeds: tuple[Natural, ...] = (0,)
    phases: PhaseRule = PhaseRule()
    record: tuple[Record, ...] = ()
    search: SearchSpec = SearchSpec()
    resources: ResourceSpec = ResourceSpec()
    claims: tuple[str, ...] = ()

    file_keys: ClassVar[tuple[str, ...]]
    """The keys of such a study's file, in the order in which they are written."""

    @property
    @abstractmethod
    def declared(self) -> Mapping[str, Setting]:
        """What the study's program can be told: its settings by their flat names."""

    @property
    @abstractmethod
    def recorded(self) -> Recorded:
        """What the study's program records of every trial."""

    @property
    @abstractmethod
    def identity(self) -> Identity:
        """What the ids of the study's trials are made of."""

    @abstractmethod
    def setting(self, name: str) -> Any:
        """Return the value of a setting that is not an axis."""

    @abstractmethod
    def trial(self, settings: Mapping[str, Any], seed: int) -> Trial:
        """Build the trial of fully resolved settings (every name in ``declared``) and a seed."""

    def expected_facts(self, settings: Mapping[str, Any]) -> Mapping[str, float]:
        """Return what fully resolved settings tell of a trial's facts before it is trained."""
        return {}

    @property
    def axis_names(self) -> tuple[str, ...]:
        """The names of the axes, in the file's order."""
        return tuple(axis.name for axis in self.axes)

    def axis(self, name: str) -> Axis:
        """Return one axis by name; KeyError if the study has none of that name."""
        return {axis.name: axis for axis in self.axes}[name]

    def settings(self) -> dict[str, Any]:
        """Return the value of every setting that is not an axis, by its flat name."""
        return {name: self.setting(name) for name in self.declared if name not in self.axis_names}

    @property
    def scattered(self) -> bool:
        """Whether the points are not every combination of the axes' values, but lie where they were measured."""
        return False

    @property
    def inferred_grid(self) -> Mapping[str, str]:
        """The grid on which a map of scattered points is inferred, by axis as 33 or 33:log; empty where none is."""
        return {}

    def cut(self, axes: tuple[Axis, ...], seeds: tuple[int, ...] | None = None) -> Self:
        """Return the study over other values and fewer seeds; its trials have the ids that they have in this one."""
        return self.model_copy(update={"axes": axes, "seeds": self.seeds if seeds is None else seeds})

    @property
    def n_points(self) -> int:
        """Count the points."""
        return math.prod(len(axis.values) for axis in self.axes)

    def points(self) -> Iterator[tuple[Any, ...]]:
        """Yield every combination of axis values, the last axis fastest."""
        return itertools.product(*(axis.values for axis in self.axes))


class NetworkStudy(Study):
    """A study of phasemap's own networks."""

    file_keys = KEYS
    task: TaskSpec
    model: ModelSpec = ModelSpec()
    training: TrainingSpec = TrainingSpec()
    schedule: ScheduleSpec = ScheduleSpec()
    interventions: InterventionsSpec = InterventionsSpec()
    fixed: FixedSpec = FixedSpec()
    unused: SkipJsonSchema[tuple[str, ...]] = ()  # settings of others: of earlier releases' files, and of what was cut

    @property
    def possible(self) -> Mapping[str, Setting]:
        """What all tasks, networks and trainings can be told, by flat names."""
        return NETWORK_SETTINGS

    @property
    def declared(self) -> Mapping[str, Setting]:
        """What the study's own tasks, networks and trainings can be told."""
        possible = self.possible
        owners = dict.fromkeys(one.belongs_to.setting for one in possible.values() if one.belongs_to)
        known = applying(possible, {name: self.values_of(name) for name in owners})
        return {name: one for name, one in possible.items() if name in known or name in self.unused}

    def cut(self, axes: tuple[Axis, ...], seeds: tuple[int, ...] | None = None) -> Self:
        """Cut the study; settings of values that are left out stay, since they are part of every trial's id."""
        return super().cut(axes, seeds).model_copy(update={"unused": tuple(self.declared)})

    def values_of(self, name: str) -> tuple[Any, ...]:
        """Return the values that a setting takes in the study."""
        return self.axis(name).values if name in self.axis_names else (self.setting(name),)

    def names(self, setting: Setting) -> bool:
        """Whether the study's file says anything of a setting."""
        return setting.name in self.axis_names or setting.key in getattr(self, setting.section).model_fields_set

    @property
    def recorded(self) -> Recorded:
        """What is recorded of every network."""
        return NETWORK_RECORDED

    @property
    def identity(self) -> Identity:
        """What the ids of the study's trials are made of: all values but those at a default."""
        return NETWORK_IDENTITY

    def setting(self, name: str) -> Any:
        """Return the value of a setting that is not an axis."""
        setting = NETWORK_SETTINGS[name]
        return getattr(getattr(self, setting.section), setting.key)

    def trial(self, settings: Mapping[str, Any], seed: int) -> NetworkTrial:
        """Build the trial of fully resolved settings and a seed."""
        whole = {**NETWORK_IDENTITY.defaults, **settings}
        return NetworkTrial(trial_id=self.identity.trial_id(settings, seed), seed=seed, values=whole)

    def expected_facts(self, settings: Mapping[str, Any]) -> Mapping[str, float]:
        """Return what settings tell of the data of a network."""
        return network_facts({**NETWORK_IDENTITY.defaults, **settings})
