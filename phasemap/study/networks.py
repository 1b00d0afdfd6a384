"""phasemap's own networks as a program: what a task, a network and its training can be told, and one trial of them.

A default must never change: a trial's id leaves out the values at their default, so a changed default would
silently give new trials the identity of old ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Annotated, Any, Literal

from pydantic import Field

from phasemap.study.identity import Identity, Trial
from phasemap.study.names import FACTS, FINALS, QUANTITY_KINDS
from phasemap.study.schedules import COSINE, DecaySchedule, RateSchedule, scheduled_value, stages
from phasemap.study.settings import BelongsTo, Recorded, Section, Setting, settings_of
from phasemap.study.values import Count, Real

MODULAR = ("modular_addition", "modular_multiplication")


Positive = Annotated[Real, Field(gt=0)]
NotNegative = Annotated[Real, Field(ge=0)]
Share = Annotated[Real, Field(ge=0, le=1)]
BelowOne = Annotated[Real, Field(ge=0, lt=1)]

OF_MODULI = BelongsTo("task", (*MODULAR, "operation"))
OF_OPERATIONS = BelongsTo("task", ("operation",))
OF_IMAGES = BelongsTo("task", ("images",))
OF_ARRAYS = BelongsTo("task", ("arrays",))
OF_PARITY = BelongsTo("task", ("sparse_parity",))
OF_MATRICES = BelongsTo("corruption_kind", ("asymmetric",))
OF_SHIFTS = BelongsTo("corruption_kind", ("shift",))
OF_TRANSFORMERS = BelongsTo("model", ("transformer",))
OF_MOMENTUM = BelongsTo("optimizer", ("sgd", "muon"))
OF_ADAM = BelongsTo("optimizer", ("adamw", "adam", "muon"))
OF_TEMPERATURES = BelongsTo("loss", ("cross_entropy", "stablemax"))
OF_GROKFAST = BelongsTo("gradient", ("grokfast",))


class TaskSpec(Section):
    """The data set and the kind of label corruption.

    In a loaded study ``path`` is absolute, and a matrix or a table from a file is rows.
    """

    kind: Annotated[
        Literal["modular_addition", "modular_multiplication", "images", "arrays", "operation", "sparse_parity"],
        Field(description="the data set to learn"),
    ]
    modulus: Annotated[
        Count, Field(ge=2, description="number p of tokens and classes; the data are all p^2 pairs"), OF_MODULI
    ] = 97
    corruption_kind: Annotated[
        Literal["symmetric", "asymmetric", "pair_flip", "shift", "region", "instance"],
        Field(description="which examples get wrong labels, and which ones"),
    ] = "symmetric"
    matrix: Annotated[
        str | tuple[tuple[Real, ...], ...] | None,
        Field(description="row y: the probabilities of the labels that replace y"),
        OF_MATRICES,
    ] = None
    dataset: Annotated[Literal["digits", "mnist5k"], Field(description="the images"), OF_IMAGES] = "digits"
    path: Annotated[str | None, Field(description="an .npz file with X and y"), OF_ARRAYS] = None
    shift_by: Annotated[
        Count, Field(description="added to the true label, modulo the number of classes"), OF_SHIFTS
    ] = 1
    split: Annotated[
        Literal["random", "balanced"], Field(description="how examples are split into training and test sets")
    ] = "random"
    table: Annotated[
        str | tuple[tuple[Any, ...], ...] | None,
        Field(description="the operation: its name or its rows"),
        OF_OPERATIONS,
    ] = None
    n_bits: Annotated[Count, Field(description="length of an input"), OF_PARITY] = 40
    k_bits: Annotated[Count, Field(description="bits whose parity is the label"), OF_PARITY] = 3
    n_samples: Annotated[Count, Field(description="number of examples to draw"), OF_PARITY] = 2000


class ModelSpec(Section):
    """The network; the default is the paper's two-layer MLP with square activation."""

    kind: Annotated[Literal["mlp", "transformer"], Field(description="the network")] = "mlp"
    activation: Annotated[Literal["square", "relu"], Field(description="activation of the hidden units")] = "square"
    width: Annotated[Count, Field(description="hidden units; of a Transformer the dimension of its embedding")] = 500
    depth: Annotated[Count, Field(description="layers of weights; of a Transformer its blocks")] = 2
    norm: Annotated[
        Literal["none", "batch", "layer"], Field(description="normalization after the activation of an MLP")
    ] = "none"
    init_scale: Annotated[Positive, Field(description="factor on the standard deviation of the initial weights")] = 1.0
    init: Annotated[
        Literal["standard", "lazy"], Field(description="scheme of the initial weights; lazy: for deep MLPs")
    ] = "standard"
    heads: Annotated[Count, Field(description="attention heads"), OF_TRANSFORMERS] = 4
    mlp_factor: Annotated[
        Count, Field(description="hidden units of a block, divided by its width"), OF_TRANSFORMERS
    ] = 4
    weight_tying: Annotated[bool, Field(description="whether the embedding is also the readout"), OF_TRANSFORMERS] = (
        False
    )
    output_scale: Annotated[Positive, Field(description="factor on the scores in the loss")] = 1.0


class TrainingSpec(Section):
    """Optimizer, loss and horizon; the defaults are the paper's."""

    steps: Annotated[Count, Field(description="optimizer steps")] = 2000
    optimizer: Annotated[Literal["adamw", "adam", "sgd", "muon"], Field(description="the update rule")] = "adamw"
    momentum: Annotated[BelowOne, Field(description="momentum coefficient"), OF_MOMENTUM] = 0.9
    betas: Annotated[tuple[BelowOne, BelowOne], Field(description="decay rates of the two moments"), OF_ADAM] = (
        0.9,
        0.98,
    )
    eps: Annotated[Positive, Field(description="added to the denominator"), OF_ADAM] = 1e-8
    learning_rate: Annotated[Positive, Field(description="step size of the optimizer")] = 0.01
    loss: Annotated[Literal["mse", "cross_entropy", "stablemax", "hinge"], Field(description="what is minimized")] = (
        "mse"
    )
    batch_size: Annotated[Literal["full"] | Count, Field(description="training examples per step")] = "full"
    scale_to_batch: Annotated[
        Count | None, Field(description="batch size for which steps and learning rate are given")
    ] = None
    precision: Annotated[
        Literal["full", "tf32", "bf16"], Field(description="precision of matrix products on a GPU")
    ] = "full"
    temperature: Annotated[Positive, Field(description="divisor of the scores in the loss"), OF_TEMPERATURES] = 1.0
    gradient: Annotated[
        Literal["raw", "grokfast", "orthogonal"], Field(description="which gradient the optimizer gets")
    ] = "raw"
    filter_strength: Annotated[NotNegative, Field(description="weight of the slow gradient"), OF_GROKFAST] = 2.0
    filter_memory: Annotated[BelowOne, Field(description="decay rate of the slow gradient's average"), OF_GROKFAST] = (
        0.98
    )
    embedding_learning_rate: Annotated[
        Positive | None, Field(description="learning rate of the first weights, if different")
    ] = None
    embedding_weight_decay: Annotated[
        NotNegative | None, Field(description="weight decay of the first weights, if different")
    ] = None
    readout_learning_rate: Annotated[
        Positive | None, Field(description="learning rate of the last weights, if different")
    ] = None
    readout_weight_decay: Annotated[
        NotNegative | None, Field(description="weight decay of the last weights, if different")
    ] = None


class FixedSpec(Section):
    """The four settings that studies vary most, where they are not an axis."""

    corruption: Annotated[Share, Field(description="share of the training labels that are made wrong")] = 0.0
    weight_decay: Annotated[NotNegative, Field(description="decoupled, except in SGD and Adam")] = 0.0
    dropout: Annotated[BelowOne, Field(description="share of the hidden units that each step drops")] = 0.0
    data_fraction: Annotated[Real, Field(gt=0, lt=1, description="share of the examples to train on")] = 0.5


class InterventionsSpec(Section):
    """Changes during training, each after its step ``..._at``: labels are repaired or corrupted, or a setting changes.

    ``repair`` is a share of the labels that are wrong by then, ``corrupt`` one of all training labels; repair is first.
    """

    repair: Annotated[Share, Field(description="share of the wrong labels to correct")] = 0.0
    repair_at: Annotated[Count | None, Field(description="the step after which they are corrected")] = None
    corrupt: Annotated[Share, Field(description="share of all training labels to make wrong")] = 0.0
    corrupt_at: Annotated[Count | None, Field(description="the step after which they become wrong")] = None
    weight_decay_to: Annotated[NotNegative | None, Field(description="the new weight decay")] = None
    weight_decay_at: Annotated[Count | None, Field(description="the step after which it holds")] = None
    learning_rate_to: Annotated[Positive | None, Field(description="the new learning rate")] = None
    learning_rate_at: Annotated[Count | None, Field(description="the step after which it holds")] = None


class ScheduleSpec(Section):
    """How a setting changes in training: values by the steps after which they hold (``{800: 0}``), or ``cosine``.

    Up to the first of these steps it has its usual value. The settings are called ``..._schedule``.
    """

    weight_decay: Annotated[
        DecaySchedule | None, Field(description="its values, by the steps after which they hold")
    ] = None
    learning_rate: Annotated[
        RateSchedule | None, Field(description="its values, by the steps after which they hold; or cosine")
    ] = None


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


@dataclass(frozen=True, kw_only=True)
class NetworkTrial(Trial):
    """One network to train from start to end; every setting of networks is an attribute of it too."""

    __hash__ = Trial.__hash__

    def __getattr__(self, name: str) -> Any:
        """Return the value of a setting."""
        if name.startswith("__") or name not in NETWORK_SETTINGS:
            raise AttributeError(f"a trial of a network has no {name}")
        return self.values[name]

    @property
    def shape(self) -> tuple[Any, ...]:
        """What all trials of a pack must have in common.

        Networks without a closed-form gradient train as one set of tensors, so they need equally many examples too.
        """
        key: tuple[Any, ...] = _STATIC(self.values)
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
        return bool(_CHANGING(self.values) != _NEVER)

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
        events = [
            (at, kind, getattr(self, kind)) for kind, at in self._label_changes() if not (clean and kind == "repair")
        ]
        for name in SCHEDULED:
            text, to = getattr(self, f"{name}_schedule"), getattr(self, f"{name}_to")
            if text == COSINE:
                events.append((0, name, -1.0))
            elif text is not None:
                events += [(at, name, value) for at, value in stages(text)]
            if to is not None:
                events.append((getattr(self, f"{name}_at"), f"{name}_to", to))
        return tuple(sorted(events))

    @property
    def start(self) -> tuple[Any, ...]:
        """What trials have in common that are alike up to the first of their ``events``."""
        return (self.seed, *_START(self.values))

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
        *(f"{name}{at}" for name in ("repair", "corrupt") for at in ("", "_at")),
        *(f"{name}_{what}" for name in SCHEDULED for what in ("to", "at", "schedule")),
    }
)
"""The settings that ``NetworkTrial.events`` tells: all others, and the seed, tell how a trial starts."""

_START = itemgetter(*(name for name in NETWORK_SETTINGS if name not in CHANGES))
_CHANGING = itemgetter(*sorted(CHANGES))
_NEVER = tuple(NETWORK_SETTINGS[name].default for name in sorted(CHANGES))

VARIES_IN_PACK = CHANGES | frozenset(
    {
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
"""What may differ between the trials of a pack, beside the seed; everything else is its static shape."""

_STATIC = itemgetter(*(name for name in NETWORK_SETTINGS if name not in VARIES_IN_PACK))
