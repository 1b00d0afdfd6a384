"""What trials cost by their kernels' arithmetic: seconds of one core, and memory; no torch is needed to tell."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from phasemap.study.networks import NetworkTrial
from phasemap.study.own_parts import OwnTrial
from phasemap.study.sizes import TaskSize, trial_size

if TYPE_CHECKING:
    from phasemap.training.own_probe import Probe

OPERATIONS_PER_SECOND = 55e9  # of one core in the matrix products of a training
STEP_SECONDS = {"mlp": 80e-6, "transformer": 0.5e-3}  # of one step beside its matrix products
LAUNCH_SECONDS = {"mlp": 0.7e-3, "transformer": 3.8e-3}  # of one layer or block's step, without an explicit gradient
SHARED_LAUNCHES = 16  # networks of a user whose launches are one, as a pack has more of such small ones
NORM_SECONDS = 18e-9  # of a norm layer's step, a unit of an example
DROPOUT_FACTOR = 1.3
RECORDS = 60
BLOCKS_BYTES = 12 << 20  # what the explicit gradients work in
CHUNK_BYTES = 16 << 20  # hidden units of the networks that the general kernel takes at once
WORKING_COPIES = {"mlp": 5, "transformer": 8, "norm": 24}  # of those units, with their gradients
LOOKING_COPIES = {"extracted": 5, "pruning": 5, "logits": 3}  # of all examples' units, while that is recorded
LOOKS = 16  # of the records, at which neurons are looked at
PRUNED = 3 * 129  # the rows of three pruning curves
STATE_BYTES = 6_000  # of a kept state beside its weights: the curve, and the file's own
ROW_BYTES = 560  # of a row of neurons.parquet, until the pack's are written
CARD_OPERATIONS = {"full": 45e12, "tf32": 105e12, "bf16": 105e12}
"""Operations a second of a GPU's products. This and the two rates below give about the times of two-layer networks on
an NVIDIA H200 (docs/speed.md); of any other card they are an assumption, until it is measured."""
CARD_BYTES = 1.8e12  # a second, to and from a card's memory
CARD_LAUNCH_SECONDS = 11e-6
CARD_LAUNCHES = {"batched": 30, "mlp": 60, "transformer": 250}  # of a step, or of one layer or block's
CARD_PASSES = {"batched": 12, "mlp": 30, "transformer": 40, "norm": 90}  # over the units, in a step
AHEAD = 16  # steps whose minibatches are made at once on a GPU, at least
CARD_LOOKING_BYTES = 4 * 8  # a weight, while a network's neurons are looked at


def estimated_seconds(trial: NetworkTrial) -> float:
    """Estimate one core's seconds for a trial alone: the matrix products of steps and records, and what is beside them.

    A step costs three times the operations of an answer. Networks without an explicit gradient spend a constant time on
    each layer's launches (their largest part with minibatches, and shared in a pack), and norm layers a time a unit.
    """
    size, tried = trial_size(trial), _tried(trial)
    rows, family = _rows(trial, size.n_examples), "mlp" if tried else trial.model
    operations = tried.operations if tried else answer_operations(trial, size)
    units = tried.units if tried else _units(trial)
    launches = 0.0 if trial.explicit else _launch_seconds(trial, tried)
    norm = NORM_SECONDS * units if trial.norm != "none" else 0.0
    step = (3 * operations / OPERATIONS_PER_SECOND + norm) * rows + launches + STEP_SECONDS[family]
    record = (operations / OPERATIONS_PER_SECOND + norm / 3) * size.n_examples + launches / 2
    seconds = step * trial.horizon + record * min(RECORDS, trial.horizon)
    return seconds * (DROPOUT_FACTOR if trial.dropout else 1.0)


def _launch_seconds(trial: NetworkTrial, tried: Probe | None) -> float:
    """Estimate the seconds of a step's launches: those of a user's layers are shared by the networks of a pack."""
    if tried is not None:
        return LAUNCH_SECONDS["mlp"] * tried.layers / (1 if tried.alone else SHARED_LAUNCHES)
    return LAUNCH_SECONDS[trial.model] * trial.depth


def estimated_bytes(trials: Sequence[NetworkTrial]) -> int:
    """Estimate the memory that a pack takes beside its process's: what its trials keep, and what they work in.

    A trial keeps its weights, gradient and moments, and its examples. The explicit gradient works in blocks that stay
    in cache. Other networks work on as many networks' hidden units as the kernel takes at once.
    """
    kept = sum(kept_bytes(trial) for trial in trials)
    return kept + max((_working_bytes(trial, len(trials)) for trial in set(trials)), default=0)


def looking_bytes(trials: Sequence[NetworkTrial], record: Collection[str]) -> int:
    """Estimate the memory that records from inside a pack's networks take: one network's units, and all rows kept."""
    copies = max((LOOKING_COPIES.get(name, 0) for name in record), default=0)
    units = max((4 * trial_size(trial).n_examples * _units(trial) for trial in trials), default=0)
    return copies * units + ROW_BYTES * sum(_inside_rows(trial, record) for trial in trials)


def _inside_rows(trial: NetworkTrial, record: Collection[str]) -> int:
    """Return how many rows of neurons.parquet a trial makes, but for a few per cent."""
    size = trial_size(trial)
    rows = {
        "norms": 3 * RECORDS,
        "extracted": RECORDS,
        "ipr": LOOKS * trial.width,
        "neurons": 2 * trial.width + 4 * size.n_classes,
        "pruning": PRUNED,
        "logits": int(trial.corruption * trial.data_fraction * size.n_examples) + 6 * size.n_classes,
    }
    return sum(rows.get(name, 0) for name in record)


def kept_bytes(trial: NetworkTrial) -> int:
    """Estimate what a trial of a pack keeps from its start to its end."""
    size = trial_size(trial)
    n_train = trial.data_fraction * size.n_examples
    features = 0 if size.tokens else size.n_examples * size.n_inputs
    copies = 5 if trial.explicit else 7  # weights, gradient, moments; the general kernel gathers gradients
    return int(4 * (copies * weight_count(trial, size) + features) + 8 * (6 * size.n_examples + 8 * n_train))


def state_bytes(trial: NetworkTrial) -> int:
    """Estimate what a trial's end state takes: its weights and the optimizer's moments, and a curve."""
    moments = 1 if trial.optimizer == "sgd" else 2
    return 4 * (1 + moments) * weight_count(trial, trial_size(trial)) + STATE_BYTES


def _working_bytes(trial: NetworkTrial, n_trials: int) -> int:
    if trial.explicit:
        return BLOCKS_BYTES
    size = trial_size(trial)
    rows = max(_rows(trial, size.n_examples), size.n_examples / 4)  # all are asked, without a gradient
    units = 4 * rows * _units(trial)
    at_once = min(n_trials, max(1, CHUNK_BYTES // units))
    return int(at_once * WORKING_COPIES["norm" if trial.norm != "none" else _family(trial)] * units)


def _family(trial: NetworkTrial) -> str:
    """Return which of phasemap's networks has the constants for one: of a user's own, the one with more."""
    return "transformer" if _tried(trial) else trial.model


def _tried(trial: NetworkTrial) -> Probe | None:
    """Return what a try tells of a user's network; None for phasemap's, which formulas tell of."""
    if not isinstance(trial, OwnTrial) or trial.parts.get("model") is None:
        return None
    from phasemap.training.own_probe import probe

    return probe(trial)


def _rows(trial: NetworkTrial, n_examples: int) -> float:
    """Return the number of examples of one step."""
    return trial.data_fraction * n_examples if isinstance(trial.batch_size, str) else float(trial.batch_size)


def answer_operations(trial: NetworkTrial, size: TaskSize) -> float:
    """Return the operations of one answer. The first layer counts where it multiplies; tokens only pick its rows.

    The last block of a Transformer answers for one token, those before for both, and the first takes its projections
    from a table of the tokens (phasemap/training/transformer.py).
    """
    if (tried := _tried(trial)) is not None:
        return tried.operations
    if trial.model == "transformer":
        blocks = (1 + 2 * trial.mlp_factor) * (2 * trial.depth - 1) + 6 * (trial.depth - 1)
        return 2.0 * trial.width * (blocks * trial.width + size.n_classes)
    first = 0 if size.tokens else size.n_inputs
    return 2.0 * trial.width * (first + size.n_classes + (trial.depth - 2) * trial.width)


def _units(trial: NetworkTrial) -> int:
    """Return the hidden units of one answer."""
    if (tried := _tried(trial)) is not None:
        return tried.units
    if trial.model == "transformer":
        return (4 + trial.mlp_factor) * trial.width * (2 * trial.depth - 1)
    return (trial.depth - 1) * trial.width


def weight_count(trial: NetworkTrial, size: TaskSize) -> int:
    """Return the number of weights, without those of norm layers."""
    if (tried := _tried(trial)) is not None:
        return tried.n_weights
    if trial.model == "transformer":
        return trial.width * (2 * size.n_classes + trial.depth * (4 + 2 * trial.mlp_factor) * trial.width)
    return trial.width * (size.n_inputs + size.n_classes + (trial.depth - 2) * trial.width)


def batchable(trial: NetworkTrial, *, tokens: bool) -> bool:
    """Whether the kernel for GPUs covers a network: two layers of weights on tokens, no norm layer, a plain loss."""
    return trial.model == "mlp" and trial.depth == 2 and trial.norm == "none" and tokens and trial.plain_loss


def card_bytes(trial: NetworkTrial) -> int:
    """Estimate the memory that a network of a pack takes of a GPU, by the shapes of its kernel's tensors.

    A step of the batched kernel holds units and their activations, scores, and indices; dropout draws 16-bit numbers
    and a byte a unit. A record answers as many examples at once as are trained on, while a step's activations stay. The
    general kernel holds copies of all units for their gradients.
    """
    size = trial_size(trial)
    rows, weights = _rows(trial, size.n_examples), weight_count(trial, size)
    units, scores = rows * _units(trial), rows * size.n_classes
    examples = 8 * 4 * size.n_examples + (0 if size.tokens else 4 * size.n_examples * size.n_inputs)
    if not batchable(trial, tokens=size.tokens):
        answers = size.n_examples * _units(trial)
        copies = WORKING_COPIES["norm" if trial.norm != "none" else trial.model]
        return int(4 * 8 * weights + examples + max(4 * copies * units + 8 * scores, 4 * 3 * answers))
    dropped = 3 * units + 4 * weights if trial.dropout else 0
    rounded = 4 * units if trial.precision == "bf16" else 0
    n_train = trial.data_fraction * size.n_examples
    if trial.batch_size != "full":
        examples += int(8 * 8 * max(AHEAD * rows, n_train))  # indices of steps to come
    step = 4 * 2 * units + 4 * 2 * scores + 8 * 10 * rows + dropped + rounded
    answering = 4 * (units + n_train * (_units(trial) + size.n_classes))
    looking = 4 * units + CARD_LOOKING_BYTES * weights  # spectra in complex128, while the units stay
    return int(4 * 5 * weights + examples + max(step, answering, looking))


def card_seconds(trials: Sequence[NetworkTrial]) -> float:
    """Estimate a GPU's seconds for a pack of one training-set size, by assumed rates (see ``CARD_OPERATIONS``).

    A step takes as long as its launches, or as its products and passes over units, whichever is more.
    """
    launches, work = card_step(trials)
    size, first = trial_size(trials[0]), trials[0]
    share = size.n_examples / (3 * _rows(first, size.n_examples))
    records = min(RECORDS, first.horizon) * (launches + work * share)
    return first.horizon * max(launches, work) + records


def card_step(trials: Sequence[NetworkTrial]) -> tuple[float, float]:
    """Estimate the seconds of a step's launches and of its work on a GPU; both may overlap."""
    first, size = trials[0], trial_size(trials[0])
    rows = _rows(first, size.n_examples)
    batched = batchable(first, tokens=size.tokens)
    launches = CARD_LAUNCHES["batched"] if batched else CARD_LAUNCHES[first.model] * first.depth
    products = 3 * answer_operations(first, size) * rows / CARD_OPERATIONS[first.precision]
    passes = CARD_PASSES["batched" if batched else "norm" if first.norm != "none" else first.model]
    moved = 4 * passes * (1.4 if first.dropout else 1.0) * rows * _units(first) / CARD_BYTES
    return launches * CARD_LAUNCH_SECONDS, len(trials) * (products + moved)
