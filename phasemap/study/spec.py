"""The study as values: one frozen model per section of the study file, with every default.

A default must never change: ``trial_id`` leaves out the values at their default, so a changed default would
silently give new trials the identity of old ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.fields import FieldInfo

from phasemap.study.axes import Axis
from phasemap.study.values import NAME_PATTERN, Count, Natural, Real, adapter


class Section(BaseModel):
    """A part of a study: immutable, and without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TaskSpec(Section):
    """The data set and the kind of label corruption; in a loaded study, ``path`` is absolute and a matrix is rows."""

    kind: Literal["modular_addition", "modular_multiplication", "images", "arrays"]
    modulus: Annotated[Count, Field(ge=2)] = 97
    corruption_kind: Literal["symmetric", "asymmetric", "pair_flip", "shift", "region", "instance"] = "symmetric"
    matrix: str | tuple[tuple[Real, ...], ...] | None = None
    dataset: Literal["digits", "mnist5k"] = "digits"
    path: str | None = None
    shift_by: Count = 1
    split: Literal["random", "balanced"] = "random"


class ModelSpec(Section):
    """The network; the default is the paper's two-layer MLP with square activation."""

    kind: Literal["mlp", "transformer"] = "mlp"
    activation: Literal["square", "relu"] = "square"
    width: Count = 500
    depth: Count = 2
    norm: Literal["none", "batch", "layer"] = "none"
    init_scale: Annotated[Real, Field(gt=0)] = 1.0
    init: Literal["standard", "lazy"] = "standard"
    heads: Count = 4
    mlp_factor: Count = 4
    weight_tying: bool = False


class TrainingSpec(Section):
    """Optimizer, loss and horizon; the defaults are the paper's."""

    steps: Count = 2000
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    momentum: Annotated[Real, Field(ge=0, lt=1)] = 0.9
    betas: tuple[Annotated[Real, Field(ge=0, lt=1)], Annotated[Real, Field(ge=0, lt=1)]] = (0.9, 0.98)
    eps: Annotated[Real, Field(gt=0)] = 1e-8
    learning_rate: Annotated[Real, Field(gt=0)] = 0.01
    loss: Literal["mse", "cross_entropy"] = "mse"
    batch_size: Literal["full"] | Count = "full"
    scale_to_batch: Count | None = None


class FixedSpec(Section):
    """The four settings that studies vary most, where they are not an axis."""

    corruption: Annotated[Real, Field(ge=0, le=1)] = 0.0
    weight_decay: Annotated[Real, Field(ge=0)] = 0.0
    dropout: Annotated[Real, Field(ge=0, lt=1)] = 0.0
    data_fraction: Annotated[Real, Field(gt=0, lt=1)] = 0.5


class PhaseRule(Section):
    """The labelling rule and its thresholds (also the content of a rule file).

    With ``at_step`` trials are labelled as if their training had ended there.
    """

    rule: Literal["memorized_fraction", "doshi2024"] = "memorized_fraction"
    generalized: Annotated[Real, Field(gt=0, le=1)] = 0.9
    memorized: Annotated[Real, Field(gt=0.5, le=1)] = 0.9
    at_step: Count | None = None

    @property
    def horizon_words(self) -> str:
        """Say at which step labels are taken; empty at the end of the training."""
        return "" if self.at_step is None else f"labels at step {self.at_step}"


class SearchSpec(Section):
    """Which of the grid's trials are trained: all, or those that a search picks within a budget.

    The axes' values are the grid on which the map is wanted. ``budget`` is a share of the grid's trials where it is
    written with a decimal point, else a count.
    """

    kind: Literal["grid", "boundary", "random", "sobol"] = "grid"
    budget: Count | Annotated[Real, Field(gt=0, le=1)] | None = None
    tolerance: Annotated[Real, Field(ge=0, lt=1)] = 0.005
    metric: Literal["phases", "generalization", "inversion"] = "phases"
    seeds_per_point: Literal["auto"] | Count = "auto"
    batch_size: Literal["auto"] | Count = "auto"


BOUNDARY_ONLY = ("tolerance", "metric")
"""The keys of a search that only kind boundary knows."""


class ResourceSpec(Section):
    """What a pack may use, and how many run at once."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    cpus_per_pack: Annotated[Real, Field(gt=0)] = 1
    gpus_per_pack: Literal["auto"] | Annotated[Real, Field(ge=0)] = "auto"
    pack_size: Literal["auto"] | Count = "auto"
    max_concurrent: Literal["auto"] | Count = "auto"
    max_core_hours: Literal["none"] | Annotated[Real, Field(gt=0)] = "none"


Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Record = Literal["ipr", "neurons", "pruning", "logits", "norms", "extracted", "weights"]


class Study(Section):
    """One study: everything that decides which trials there are and what each of them is."""

    name: Name
    question: str = ""
    task: TaskSpec
    model: ModelSpec = ModelSpec()
    training: TrainingSpec = TrainingSpec()
    axes: tuple[Axis, ...]
    fixed: FixedSpec = FixedSpec()
    seeds: tuple[Natural, ...] = (0,)
    phases: PhaseRule = PhaseRule()
    record: tuple[Record, ...] = ()
    search: SearchSpec = SearchSpec()
    resources: ResourceSpec = ResourceSpec()
    claims: tuple[str, ...] = ()

    @property
    def axis_names(self) -> tuple[str, ...]:
        """The names of the axes, in the file's order."""
        return tuple(axis.name for axis in self.axes)

    def axis(self, name: str) -> Axis:
        """Return one axis by name; KeyError if the study has none of that name."""
        for axis in self.axes:
            if axis.name == name:
                return axis
        raise KeyError(name)

    def settings(self) -> dict[str, Any]:
        """Return the value of every trial setting that is not an axis, by its flat name."""
        return {
            setting.name: getattr(getattr(self, setting.section), setting.key)
            for setting in SETTINGS.values()
            if setting.name not in self.axis_names
        }

    def points(self) -> Iterator[tuple[Any, ...]]:
        """Yield every combination of axis values, the last axis fastest."""
        return itertools.product(*(axis.values for axis in self.axes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One trial setting: its flat name, where it stands in the file, and what it accepts."""

    name: str
    section: str
    key: str
    field: FieldInfo

    @property
    def default(self) -> Any:
        """The default value, or None where the file must give one."""
        return None if self.field.is_required() else self.field.default

    @property
    def adapter(self) -> TypeAdapter[Any]:
        """A validator for one value of this setting."""
        return adapter(self.field)

    @property
    def numeric(self) -> bool:
        """Whether values of this setting can be put on a numeric scale."""
        return "Literal" not in str(self.field.annotation) and any(
            kind in str(self.field.annotation) for kind in ("int", "float")
        )


SECTIONS: Mapping[str, type[Section]] = {
    "task": TaskSpec,
    "model": ModelSpec,
    "training": TrainingSpec,
    "fixed": FixedSpec,
}


def _settings() -> dict[str, Setting]:
    found = {}
    for section, model in SECTIONS.items():
        for key, field in model.model_fields.items():
            name = section if key == "kind" else key
            found[name] = Setting(name=name, section=section, key=key, field=field)
    return found


SETTINGS: Mapping[str, Setting] = _settings()
"""Every trial setting by its flat name; the kinds of task and model are called ``task`` and ``model``."""
