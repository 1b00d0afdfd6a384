"""Packs: trials of one static shape that a process trains together, sized by an estimate of their cost."""

from __future__ import annotations

import hashlib
import math
import statistics
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from phasemap.study.sizes import trial_size
from phasemap.study.trials import Trial, shape_key

TARGET_SECONDS = 8.0  # of work a pack: long against Ray's 0.07 s per trial, short enough to keep all cores busy
OPERATIONS_PER_SECOND = 55e9  # of one core in the matrix products of a training
STEP_SECONDS = 80e-6  # of one step beside its matrix products
DROPOUT_FACTOR = 1.3
GENERAL_FACTOR = 3.0  # of networks without an explicit gradient
RECORDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """Trials that are trained together; the id is a hash of their ids, in order."""

    pack_id: str
    trials: tuple[Trial, ...]


def make_pack(trials: Sequence[Trial]) -> Pack:
    """Build a pack of the given trials."""
    digest = hashlib.sha256(",".join(trial.trial_id for trial in trials).encode()).hexdigest()
    return Pack(pack_id=digest[:16], trials=tuple(trials))


def split(pack: Pack) -> list[Pack]:
    """Split a pack into two halves; a pack of one trial stays as it is."""
    if len(pack.trials) == 1:
        return [pack]
    half = (len(pack.trials) + 1) // 2
    return [make_pack(pack.trials[:half]), make_pack(pack.trials[half:])]


def estimated_seconds(trial: Trial) -> float:
    """Estimate one core's seconds for a trial: 6 operations a step, example and weight, and the records.

    The first layer counts where it is a matrix product; tokens only pick its rows.
    """
    size = trial_size(trial)
    first = 0 if size.tokens else size.n_inputs
    product = 2.0 * trial.width * (first + size.n_classes + (trial.depth - 2) * trial.width)
    operations = product * size.n_examples * (3 * trial.steps * trial.data_fraction + min(RECORDS, trial.steps))
    seconds = operations / OPERATIONS_PER_SECOND + trial.steps * STEP_SECONDS
    explicit = size.tokens and trial.depth == 2 and trial.optimizer == "adamw"
    return seconds * (DROPOUT_FACTOR if trial.dropout else 1.0) * (1.0 if explicit else GENERAL_FACTOR)


def cost_key(trial: Trial) -> Hashable:
    """Name the kind of trials that cost as much as this one, but for the number of their examples."""
    return (shape_key(trial), trial.dropout > 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How many times longer trials take on a machine than estimated, for those kinds that were measured.

    It is for telling people times. Packs are cut by the plain estimate, which is the same on all machines: a run that
    is continued elsewhere, or under another load, meets its unfinished packs again.
    """

    factors: Mapping[Hashable, float] = field(default_factory=dict)

    def seconds(self, trial: Trial) -> float:
        """Estimate one core's seconds for a trial; kinds that were not measured are as far off as those that were."""
        usual = statistics.median(self.factors.values()) if self.factors else 1.0
        return estimated_seconds(trial) * self.factors.get(cost_key(trial), usual)


def estimated_bytes(trial: Trial) -> int:
    """Estimate the memory of one trial: weights with gradient and moments, the hidden gradient, and its examples."""
    size = trial_size(trial)
    rows = trial.data_fraction * size.n_examples
    weights = trial.width * (size.n_inputs + size.n_classes + (trial.depth - 2) * trial.width)
    units = rows * trial.width * (1 if size.tokens and trial.depth == 2 else 4 * (trial.depth - 1))
    features = 0 if size.tokens else size.n_examples * size.n_inputs
    return int(4 * (5 * weights + units + features) + 8 * (6 * rows + 8 * size.n_examples))


def plan_packs(trials: Iterable[Trial], *, done: Collection[str] = (), pack_size: int | None = None) -> list[Pack]:
    """Cut trials into packs, and leave out those that are done; in their order, but the longest of the rest first.

    The cuts don't depend on what is done, so that a run that is continued meets its unfinished packs again, with
    their checkpoints. ``pack_size`` is an upper limit, kept exactly.
    """
    groups: dict[object, list[Trial]] = {}
    position: dict[str, int] = {}
    for number, trial in enumerate(trials):
        groups.setdefault(shape_key(trial), []).append(trial)
        position[trial.trial_id] = number
    packs = []
    for group in groups.values():
        seconds = sum(map(estimated_seconds, group)) / len(group)
        size = pack_size or max(1, round(TARGET_SECONDS / seconds))
        for cut in _equal_parts(group, math.ceil(len(group) / size)):
            missing = [trial for trial in cut if trial.trial_id not in done]
            if missing:
                packs.append((position[cut[0].trial_id], make_pack(missing)))
    return _shortest_last([pack for _, pack in sorted(packs, key=lambda found: found[0])])


def _shortest_last(packs: Sequence[Pack]) -> list[Pack]:
    """Put the later half of the work in order of length, the longest first.

    The former half stays as it came (coarse to fine, so that a partial run shows the whole map); the latter ends with
    short packs, so that no core waits long for the last one.
    """
    seconds = [sum(map(estimated_seconds, pack.trials)) for pack in packs]
    done, half = 0.0, len(packs)
    for number, cost in enumerate(seconds):
        done += cost
        if done >= sum(seconds) / 2:
            half = number + 1
            break
    later = sorted(range(half, len(packs)), key=lambda number: -seconds[number])
    return [*packs[:half], *(packs[number] for number in later)]


def _equal_parts(items: Sequence[Trial], parts: int) -> list[Sequence[Trial]]:
    bounds = [round(i * len(items) / parts) for i in range(parts + 1)]
    return [items[a:b] for a, b in pairwise(bounds)]
