"""phasemap's own networks as a program: what a task, a network and its training can be told, and one trial of them.

A default must never change: a trial's id leaves out the values at their default, so a changed default would
silently give new trials the identity of old ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Annotated, Any, Literal

from pydantic import Field

from phasemap.study.identity import Identity
from phasemap.study.names import FACTS, FINALS, QUANTITY_KINDS
from phasemap.study.recorded import Recorded
from phasemap.study.schedules import COSINE, DecaySchedule, RateSchedule, scheduled_value, stages
from phasemap.study.settings import Section, Setting, settings_of
from phasemap.study.values import Count, Real

MODULAR = ("modular_addition", "modular_multiplication")


class TaskSpec(Section):
    """The data set and the kind of label corruption.

    In a loaded study ``path`` is absolute, and a matrix or a table from a file is rows.
    """

    kind: Literal["modular_addition", "modular_multiplication", "images", "arrays", "operation", "sparse_parity"]
    modulus: Annotated[Count, Field(ge=2)] = 97
    corruption_kind: Literal["symmetric", "asymmetric", "pair_flip", "shift", "region", "instance"] = "symmetric"
    matrix: str | tuple[tuple[Real, ...], ...] | None = None
    dataset: Literal["digits", "mnist5k"] = "digits"
    path: str | None = None
    shift_by: Count = 1
    split: Literal["random", "balanced"] = "random"
    table: str | tuple[tuple[Any, ...], ...] | None = None
    n_bits: Count = 40
    k_bits: Count = 3
    n_samples: Count = 2000


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
    output_scale: Annotated[Real, Field(gt=0)] = 1.0


Rate = Annotated[Real, Field(gt=0)]
Decay = Annotated[Real, Field(ge=0)]


class TrainingSpec(Section):
    """Optimizer, loss and horizon; the defaults are the paper's."""

    steps: Count = 2000
    optimizer: Literal["adamw", "adam", "sgd", "muon"] = "adamw"
    momentum: Annotated[Real, Field(ge=0, lt=1)] = 0.9
    betas: tuple[Annotated[Real, Field(ge=0, lt=1)], Annotated[Real, Field(ge=0, lt=1)]] = (0.9, 0.98)
    eps: Annotated[Real, Field(gt=0)] = 1e-8
    learning_rate: Rate = 0.01
    loss: Literal["mse", "cross_entropy", "stablemax", "hinge"] = "mse"
    batch_size: Literal["full"] | Count = "full"
    scale_to_batch: Count | None = None
    precision: Literal["full", "tf32", "bf16"] = "full"
    temperature: Annotated[Real, Field(gt=0)] = 1.0
    gradient: Literal["raw", "grokfast", "orthogonal"] = "raw"
    filter_strength: Annotated[Real, Field(ge=0)] = 2.0
    filter_memory: Annotated[Real, Field(ge=0, lt=1)] = 0.98
    embedding_learning_rate: Rate | None = None
    embedding_weight_decay: Decay | None = None
    readout_learning_rate: Rate | None = None
    readout_weight_decay: Decay | None = None


class FixedSpec(Section):
    """The four settings that studies vary most, where they are not an axis."""

    corruption: Annotated[Real, Field(ge=0, le=1)] = 0.0
    weight_decay: Decay = 0.0
    dropout: Annotated[Real, Field(ge=0, lt=1)] = 0.0
    data_fraction: Annotated[Real, Field(gt=0, lt=1)] = 0.5


class InterventionsSpec(Section):
    """What is changed in mid-training: after step ``..._at`` labels are set right, or further ones wrong, or a setting.

    ``repair`` is a share of the labels that are wrong by then, ``corrupt`` one of all training labels; repair is first.
    """

    repair: Annotated[Real, Field(ge=0, le=1)] = 0.0
    repair_at: Count | None = None
    corrupt: Annotated[Real, Field(ge=0, le=1)] = 0.0
    corrupt_at: Count | None = None
    weight_decay_to: Decay | None = None
    weight_decay_at: Count | None = None
    learning_rate_to: Rate | None = None
    learning_rate_at: Count | None = None


class ScheduleSpec(Section):
    """How a setting changes in training: ``{800: 0}``, from which step on it is what, or ``cosine``, down to zero.

    Up to the first of these steps it is as it is set elsewhere. The settings are called ``..._schedule``.
    """

    weight_decay: DecaySchedule | None = None
    learning_rate: RateSchedule | None = None


SCHEDULED = tuple(ScheduleSpec.model_fields)
"""The settings that may change in training."""

INTERVENTIONS: Mapping[str, str] = {
    **{kind: kind for kind in ("repair", "corrupt")},
    **{name: f"{name}_to" for name in SCHEDULED},
}
"""What may be changed at a step, with the setting that says to what; the step's is called ``..._at``."""

SECTIONS: Mapping[str, type[Section]] = {
    "task": TaskSpec,
    "model": ModelSpec,
    "training": TrainingSpec,
    "schedule": ScheduleSpec,
    "interventions": InterventionsSpec,
    "fixed": FixedSpec,
}

NETWORK_SETTINGS: Mapping[str, Setting] = settings_of(SECTIONS)
"""Every setting by its flat name; the kinds of task and model are called ``task`` and ``model``."""

LATER = (
    *("precision", "table", "n_bits", "k_bits", "n_samples", "output_scale", "temperature", "gradient"),
    *("filter_strength", "filter_memory", "embedding_learning_rate", "embedding_weight_decay"),
    *("readout_learning_rate", "readout_weight_decay", "repair", "repair_at", "corrupt", "corrupt_at"),
    *(f"{name}_{what}" for name in SCHEDULED for what in ("to", "at", "schedule")),
)
"""Settings that came after the first release: at their default, a study's text and hash are what they were without."""

CLOSED_FORM = ("mse", "cross_entropy")
"""The losses whose derivative by the scores the explicit kernels know."""

OWNERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "modulus": ("task", (*MODULAR, "operation")),
    "dataset": ("task", ("images",)),
    "path": ("task", ("arrays",)),
    "table": ("task", ("operation",)),
    **dict.fromkeys(("n_bits", "k_bits", "n_samples"), ("task", ("sparse_parity",))),
    "matrix": ("corruption_kind", ("asymmetric",)),
    "shift_by": ("corruption_kind", ("shift",)),
    "temperature": ("loss", ("cross_entropy", "stablemax")),
    **dict.fromkeys(("filter_strength", "filter_memory"), ("gradient", ("grokfast",))),
}
"""Settings that mean something only beside certain values of another one."""

NETWORK_IDENTITY = Identity(defaults={name: setting.default for name, setting in NETWORK_SETTINGS.items()})
"""Settings at their default are left out, so that a setting added in a later release changes no old id."""

NETWORK_RECORDED = Recorded(
    quantities=QUANTITY_KINDS,
    facts=FACTS,
    finals=FINALS,
    whole=frozenset(FACTS) - {"corruption_effective"},
    undefined_without=dict.fromkeys(("memorized_accuracy", "recovered_accuracy"), "n_corrupted"),
)
"""What is recorded of every network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkTrial:
    """One network to train from start to end: every setting resolved, and a seed."""

    trial_id: str
    seed: int
    # the task
    task: str
    modulus: int
    corruption_kind: str
    matrix: tuple[tuple[float, ...], ...] | None
    dataset: str
    path: str | None
    shift_by: int
    split: str
    table: str | tuple[tuple[int, ...], ...] | None
    n_bits: int
    k_bits: int
    n_samples: int
    # the network
    model: str
    activation: str
    width: int
    depth: int
    norm: str
    init_scale: float
    init: str
    heads: int
    mlp_factor: int
    weight_tying: bool
    output_scale: float
    # the training
    steps: int
    optimizer: str
    momentum: float
    betas: tuple[float, float]
    eps: float
    learning_rate: float
    loss: str
    batch_size: str | int
    scale_to_batch: int | None
    precision: str
    temperature: float
    gradient: str
    filter_strength: float
    filter_memory: float
    embedding_learning_rate: float | None
    embedding_weight_decay: float | None
    readout_learning_rate: float | None
    readout_weight_decay: float | None
    # in mid-training
    weight_decay_schedule: str | None
    learning_rate_schedule: str | None
    repair: float
    repair_at: int | None
    corrupt: float
    corrupt_at: int | None
    weight_decay_to: float | None
    weight_decay_at: int | None
    learning_rate_to: float | None
    learning_rate_at: int | None
    # what studies vary most
    corruption: float
    weight_decay: float
    dropout: float
    data_fraction: float

    def __str__(self) -> str:
        """Name the trial as a person would look for it."""
        return f"{self.trial_id} (seed {self.seed})"

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting's value by its flat name."""
        return {name: getattr(self, name) for name in NETWORK_SETTINGS}

    @property
    def shape(self) -> tuple[Any, ...]:
        """What all trials of a pack must have in common.

        Networks without a closed-form gradient train as one set of tensors, so they need equally many examples too.
        """
        key: tuple[Any, ...] = _STATIC(self)
        return key if self.explicit else (*key, self.data_fraction)

    @property
    def horizon(self) -> int:
        """The number of optimizer steps: ``steps``, times reference / batch size where it is scaled to a batch."""
        return scaled_steps(self.steps, self.batch_size, self.scale_to_batch)

    @property
    def step_size(self) -> float:
        """The optimizer's learning rate: as set, times sqrt(batch size / reference) where it is scaled to a batch.

        Where it changes in training, that of the first step.
        """
        return self.scaled_rate(self.at_step("learning_rate", 1))

    def scaled_rate(self, learning_rate: float) -> float:
        """Return a learning rate as the optimizer gets it."""
        return float(learning_rate * math.sqrt(batch_share(self.batch_size, self.scale_to_batch)))

    @property
    def changes(self) -> tuple[int, ...]:
        """The steps after which labels change."""
        return tuple(sorted({at for _, at in self._label_changes()}))

    @property
    def changing(self) -> bool:
        """Whether anything may change in training."""
        return bool(_CHANGING(self) != _NEVER)

    @property
    def scheduled(self) -> bool:
        """Whether learning rate or weight decay change in training."""
        return any(getattr(self, f"{name}_{what}") is not None for name in SCHEDULED for what in ("schedule", "to"))

    def at_step(self, name: str, step: int) -> float:
        """Return the learning rate or weight decay of a step, counted from 1."""
        value, to = getattr(self, name), getattr(self, f"{name}_to")
        if to is not None and step > getattr(self, f"{name}_at"):
            return float(to)
        schedule = getattr(self, f"{name}_schedule")
        return float(value if schedule is None else scheduled_value(schedule, value, step, self.horizon))

    @property
    def events(self) -> tuple[tuple[int, str, float], ...]:
        """What changes in training: after which step which setting, to what; rising. Of a cosine, step 0 alone.

        A repair is left out where no label is ever wrong.
        """
        if not self.changing:
            return ()
        clean = not self.corruption and not self.corrupt
        found = [
            (at, kind, getattr(self, kind)) for kind, at in self._label_changes() if not (clean and kind == "repair")
        ]
        for name in SCHEDULED:
            text, to = getattr(self, f"{name}_schedule"), getattr(self, f"{name}_to")
            if text == COSINE:
                found.append((0, name, -1.0))
            elif text is not None:
                found += [(at, name, value) for at, value in stages(text)]
            if to is not None:
                found.append((getattr(self, f"{name}_at"), f"{name}_to", to))
        return tuple(sorted(found))

    @property
    def start(self) -> tuple[Any, ...]:
        """What trials have in common that are alike up to the first of their ``events``."""
        found: tuple[Any, ...] = _START(self)
        return found

    @property
    def stages(self) -> frozenset[int]:
        """The steps after which a schedule has a new value, at which curves are recorded too."""
        texts = (getattr(self, f"{name}_schedule") for name in SCHEDULED)
        return frozenset(at for text in texts if text is not None for at, _ in stages(text))

    def _label_changes(self) -> list[tuple[str, int]]:
        steps = [(kind, getattr(self, f"{kind}_at")) for kind in ("repair", "corrupt") if getattr(self, kind)]
        return [(kind, at) for kind, at in steps if at is not None]

    @property
    def scores_factor(self) -> float:
        """What the network's scores are multiplied by in the loss."""
        return self.output_scale / self.temperature

    @property
    def plain_loss(self) -> bool:
        """Whether the kernels know the derivative of the loss by the scores in closed form."""
        return self.loss in CLOSED_FORM and self.scores_factor == 1.0

    @property
    def explicit(self) -> bool:
        """Whether a closed-form gradient covers the network, which on a CPU is faster than autograd.

        It does for the two-layer MLP without a norm, on full batches with AdamW or Muon, and for the Transformer of one
        block; each on MSE or cross entropy.
        """
        if not self.plain_loss:
            return False
        if self.model == "transformer":
            return self.depth == 1
        covered = self.optimizer in ("adamw", "muon")
        return self.depth == 2 and self.norm == "none" and self.batch_size == "full" and covered


def batch_share(batch_size: str | int, scale_to_batch: int | None) -> float:
    """Return a batch's share of the batch that steps and learning rate are scaled to; 1 where they are not scaled."""
    return 1.0 if scale_to_batch is None or isinstance(batch_size, str) else batch_size / scale_to_batch


def scaled_steps(steps: int, batch_size: str | int, scale_to_batch: int | None) -> int:
    """Return the number of optimizer steps, so that as many examples are seen as in ``steps`` of the reference."""
    return max(1, round(steps / batch_share(batch_size, scale_to_batch)))


CHANGES = frozenset(
    {
        "trial_id",
        *(f"{name}{at}" for name in ("repair", "corrupt") for at in ("", "_at")),
        *(f"{name}_{what}" for name in SCHEDULED for what in ("to", "at", "schedule")),
    }
)
"""What ``NetworkTrial.events`` tells, and the id: all else tells how a trial starts."""

_START = attrgetter(*(f.name for f in fields(NetworkTrial) if f.name not in CHANGES))
_CHANGING = attrgetter(*sorted(CHANGES - {"trial_id"}))
_NEVER = tuple(NETWORK_SETTINGS[name].default for name in sorted(CHANGES - {"trial_id"}))

VARIES_IN_PACK = CHANGES | frozenset(
    {
        "seed",
        "corruption",
        "weight_decay",
        "dropout",
        "data_fraction",
        "learning_rate",
        "init_scale",
        "embedding_learning_rate",
        "embedding_weight_decay",
        "readout_learning_rate",
        "readout_weight_decay",
    }
)
"""What may differ between the trials of a pack; everything else is its static shape."""

_STATIC = attrgetter(*(f.name for f in fields(NetworkTrial) if f.name not in VARIES_IN_PACK))
