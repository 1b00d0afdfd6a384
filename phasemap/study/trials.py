"""Trials: one point of a study with one seed, and its identity on every machine and in every study."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from operator import attrgetter
from typing import Any

from phasemap.study.problems import UserError
from phasemap.study.spec import SETTINGS, Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
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
    # what studies vary most
    corruption: float
    weight_decay: float
    dropout: float
    data_fraction: float

    def __str__(self) -> str:
        """Name the trial as a person would look for it."""
        return f"{self.trial_id} (seed {self.seed})"

    @property
    def horizon(self) -> int:
        """The number of optimizer steps: ``steps``, times reference / batch size where it is scaled to a batch."""
        return scaled_steps(self.steps, self.batch_size, self.scale_to_batch)

    @property
    def step_size(self) -> float:
        """The optimizer's learning rate: as set, times sqrt(batch size / reference) where it is scaled to a batch."""
        return float(self.learning_rate * math.sqrt(batch_share(self.batch_size, self.scale_to_batch)))

    @property
    def explicit(self) -> bool:
        """Whether a closed-form gradient covers the network, which on a CPU is faster than autograd.

        It does for the two-layer MLP without a norm, on full batches with AdamW, and for the Transformer of one block.
        """
        if self.model == "transformer":
            return self.depth == 1
        return self.depth == 2 and self.norm == "none" and self.batch_size == "full" and self.optimizer == "adamw"


def batch_share(batch_size: str | int, scale_to_batch: int | None) -> float:
    """Return a batch's share of the batch that steps and learning rate are scaled to; 1 where they are not scaled."""
    return 1.0 if scale_to_batch is None or isinstance(batch_size, str) else batch_size / scale_to_batch


def scaled_steps(steps: int, batch_size: str | int, scale_to_batch: int | None) -> int:
    """Return the number of optimizer steps, so that as many examples are seen as in ``steps`` of the reference."""
    return max(1, round(steps / batch_share(batch_size, scale_to_batch)))


SHORTEST_PREFIX = 6
"""Digits of a trial's id that are enough to ask for it."""

VARIES_IN_PACK = frozenset(
    {
        "trial_id",
        "seed",
        "corruption",
        "weight_decay",
        "dropout",
        "data_fraction",
        "learning_rate",
        "init_scale",
    }
)
"""What may differ between the trials of a pack; everything else is its static shape."""

_STATIC = attrgetter(*(f.name for f in fields(Trial) if f.name not in VARIES_IN_PACK))


def shape_key(trial: Trial) -> tuple[Any, ...]:
    """Return what all trials of a pack must have in common.

    Networks without a closed-form gradient train as one set of tensors, so they need equally many examples too.
    """
    key: tuple[Any, ...] = _STATIC(trial)
    return key if trial.explicit else (*key, trial.data_fraction)


DEFAULTS: Mapping[str, Any] = {name: setting.default for name, setting in SETTINGS.items()}


def trial_id(settings: Mapping[str, Any], seed: int) -> str:
    """Hash a resolved trial into 16 hexadecimal digits.

    Settings at their default are left out, so that a setting added in a later release changes no old id.
    """
    content = {name: value for name, value in settings.items() if value != DEFAULTS[name]}
    return _digest(json.dumps({"seed": seed, **content}, sort_keys=True, separators=(",", ":")))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def make_trial(settings: dict[str, Any], seed: int) -> Trial:
    """Build the trial of fully resolved settings (every name in ``SETTINGS``) and a seed."""
    return Trial(trial_id=trial_id(settings, seed), seed=seed, **settings)


@lru_cache(maxsize=1)
def grid_ids(study: Study) -> tuple[str, ...]:
    """Return the ids of ``expand(study)`` without building its trials, for grids of very many.

    What ``trial_id`` hashes is put together from one piece of text for every value of every axis.
    """
    fixed = study.settings()
    alternatives = {name: [_piece(name, value)] for name, value in fixed.items()}
    alternatives |= {axis.name: [_piece(axis.name, value) for value in axis.values] for axis in study.axes}
    alternatives["seed"] = [f'"seed":{seed},' for seed in study.seeds]
    order = [*study.axis_names, "seed"]
    template = "".join(
        f"{{{order.index(name)}}}" if name in order else _escaped(alternatives[name][0])
        for name in sorted(alternatives)
    )
    combinations = itertools.product(*(alternatives[name] for name in order))
    return tuple(_digest("{" + template.format(*chosen)[:-1] + "}") for chosen in combinations)


def _piece(name: str, value: Any) -> str:
    """Return a setting's part of the text that ``trial_id`` hashes, with a comma; nothing for a default."""
    if value == DEFAULTS[name]:
        return ""
    return json.dumps({name: value}, separators=(",", ":"))[1:-1] + ","


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def expand(study: Study, points: Iterable[tuple[Any, ...]] | None = None) -> Iterator[Trial]:
    """Yield the trials of the given points (default: all of the grid), all seeds of a point together."""
    fixed, names = study.settings(), study.axis_names
    for point in study.points() if points is None else points:
        settings = {**fixed, **dict(zip(names, point, strict=True))}
        for seed in study.seeds:
            yield make_trial(settings, seed)


def find_trial(study: Study, trial_id: str) -> Trial:
    """Return a study's trial by its id, or by the first 6 or more digits of it; UserError unless there is one."""
    short, ids = len(trial_id) < SHORTEST_PREFIX, grid_ids(study)
    found = [] if short else [number for number, one in enumerate(ids) if one.startswith(trial_id)]
    if len(found) == 1:
        return _numbered(study, found[0])
    if found:
        several = ", ".join(ids[number] for number in found[:5])
        raise UserError(f"{trial_id} is the start of {len(found)} trials ({several}); allowed: more digits of one id")
    what = f"too short for the id of a trial of {study.name}" if short else f"not a trial of {study.name}"
    raise UserError(
        f"{trial_id} is {what}; allowed: an id in its trials.parquet, or at least its first {SHORTEST_PREFIX} digits"
    )


def _numbered(study: Study, number: int) -> Trial:
    """Return one trial by its place in the order of ``expand``."""
    place, seed = divmod(number, len(study.seeds))
    (point,) = itertools.islice(study.points(), place, place + 1)
    return list(expand(study, [point]))[seed]


def count_trials(study: Study) -> int:
    """Count the trials of a study's full grid."""
    total = len(study.seeds)
    for axis in study.axes:
        total *= len(axis.values)
    return total
