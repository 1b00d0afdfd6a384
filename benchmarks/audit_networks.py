"""The audit's networks for benchmarks: many at once, in memory, without records.

The same initial weights, splits, labels and steps as an audit's studies; only the sums stand in another order, since
several networks share each matrix product. That is several times faster for the small sets that benchmarks are made of.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from phasemap.auditing import suspects
from phasemap.auditing.inputs import Table
from phasemap.auditing.measures import Answers, collect
from phasemap.auditing.preparing import prepare
from phasemap.auditing.suspects import best_error
from phasemap.auditing.trainings import HALF, WEIGHT_DECAY, Network, Weights, in_chunks, probabilities, write_rows
from phasemap.study.identity import Trial
from phasemap.study.trials import expand
from phasemap.tasks.dataset import Dataset, Ints
from phasemap.tasks.examples import draw_examples
from phasemap.training.initial import initial_features_mlp
from phasemap.training.optimizers import AdamW, OptimizerSettings
from phasemap.training.population import steady_arithmetic

UNITS_AT_ONCE = 400_000  # of all networks that are trained together: with their gradients what stays in cache


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """One network to train."""

    train: Ints  # (B,) rows
    given: Ints  # (B,) their labels
    seed: int
    weight_decay: float = WEIGHT_DECAY


def prepared(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return features as an audit's networks see them."""
    return prepare(Table(source="benchmark", features=features, labels=pd.Series(labels))).inputs


def data_set(inputs: np.ndarray, labels: np.ndarray, n_classes: int | None = None) -> Dataset:
    """Make a data set of prepared inputs."""
    return Dataset(name="benchmark", inputs=inputs, labels=labels, n_classes=n_classes or int(labels.max()) + 1)


@cache
def template() -> Trial:
    """Return a trial with the settings of an audit's network."""
    with tempfile.TemporaryDirectory() as folder:
        rows = write_rows(Path(folder), np.eye(4, dtype=np.float32), np.array([0, 0, 1, 1]), None)
        return next(iter(expand(Network().study("b", rows, seeds=1, axes={"corruption": [0.0]}, question=""))))


def job_of(data: Dataset, seed: int, *, fraction: float = HALF, corruption: float = 0.0) -> tuple[Job, Ints, float]:
    """Return the job of an audit's seed, the rows it holds out, and the share of its labels that were made wrong."""
    seen = draw_examples(data, seed=seed, data_fraction=fraction, corruption=corruption, split="balanced")
    return Job(train=seen.train, given=seen.given, seed=seed), seen.test, float(seen.wrong.mean())


def train(data: Dataset, jobs: Sequence[Job]) -> list[Weights]:
    """Train networks and return their weights in the same order."""
    found: dict[int, Weights] = {}
    kind = lambda i: (len(jobs[i].train), jobs[i].weight_decay)  # noqa: E731
    with steady_arithmetic(), torch.no_grad():
        for (rows, _), group in groupby(sorted(range(len(jobs)), key=kind), kind):
            members = list(group)
            at_once = max(1, UNITS_AT_ONCE // (rows * template().width))
            for start in range(0, len(members), at_once):
                some = members[start : start + at_once]
                found |= dict(zip(some, _together(data, [jobs[i] for i in some]), strict=True))
    return [found[i] for i in range(len(jobs))]


def _together(data: Dataset, jobs: Sequence[Job]) -> Iterator[Weights]:
    """Train K networks of one size by the explicit gradient; see phasemap/training/explicit_features.py."""
    trial = template()
    trial = replace(trial, values={**trial.values, "weight_decay": jobs[0].weight_decay})
    n, f, c, k, b = trial.width, data.inputs.shape[1], data.n_classes, len(jobs), len(jobs[0].train)
    drawn = [initial_features_mlp(replace(trial, seed=job.seed), f, c) for job in jobs]
    weights = torch.cat(
        [torch.stack([x.t() for x, _ in drawn]).reshape(-1), torch.stack([w for _, w in drawn]).reshape(-1)]
    )
    gradient = torch.zeros_like(weights)
    (first, last), (to_first, to_last) = (
        (flat[: k * n * f].view(k, n, f), flat[k * n * f :].view(k, c, n)) for flat in (weights, gradient)
    )
    inputs = torch.from_numpy(np.stack([data.inputs[job.train].T for job in jobs])).contiguous()  # (K, F, B)
    given = torch.from_numpy(np.stack([job.given for job in jobs]))
    target = torch.nn.functional.one_hot(given, c).transpose(1, 2).float().contiguous()  # (K, C, B)
    optimizer = AdamW(weights, OptimizerSettings.of(trial))
    for step in range(1, trial.horizon + 1):
        units = torch.bmm(first, inputs).relu_()  # (K, N, B)
        residual = torch.softmax(torch.bmm(last, units), dim=1).sub_(target).div_(b)
        torch.bmm(residual, units.transpose(1, 2), out=to_last)
        back = torch.ops.aten.threshold_backward(torch.bmm(last.transpose(1, 2), residual), units, 0)
        torch.bmm(back, inputs.transpose(1, 2), out=to_first)
        optimizer.step(gradient, step)
    for i in range(k):
        yield {"input": first[i].numpy().copy(), "W": last[i].numpy().copy()}


def answers(data: Dataset, trainings: int, fraction: float = HALF) -> Answers:
    """Train networks on balanced subsets and collect what they answer, as an audit does."""
    jobs = [job_of(data, seed, fraction=fraction)[0] for seed in range(trainings)]
    every = np.arange(len(data.labels))
    answered = (
        (np.isin(every, job.train), in_chunks(w, data.inputs)) for job, w in zip(jobs, train(data, jobs), strict=True)
    )
    return collect(data.labels, data.n_classes, answered)


def accuracy(weights: Weights, inputs: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of rows that a network answers by their labels."""
    return float((probabilities(weights, inputs).argmax(axis=1) == labels).mean())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Said:
    """What an audit's networks say of n rows with C classes, and of the copies with planted flips."""

    held_out: np.ndarray  # (n, C)
    copies: tuple[suspects.Copy, ...]


def asked(data: Dataset, trainings: int, planted_trainings: int) -> Said:
    """Train an audit's networks and ask them."""
    held_out, copies = answers(data, trainings).held_out, []
    for number in range(3 if len(data.labels) < 1000 else 2):
        flipped, flips = suspects.plant(data.labels, held_out, number)
        seen = answers(replace(data, labels=flipped), planted_trainings).held_out
        copies.append(suspects.Copy(labels=flipped, planted=flips, held_out=seen))
    return Said(held_out=held_out, copies=tuple(copies))


def judged(data: Dataset, said: Said) -> tuple[np.ndarray, suspects.Calibration]:
    """Return the suspicion of every row by what an audit's networks said, and what it means."""
    near = neighbours_of(data.inputs.tobytes(), data.inputs.shape)
    weights = suspects.choose(said.copies, near)
    found = suspects.evidence(said.held_out, data.labels, near, said.held_out, data.labels, weights)
    bound = best_error(said.held_out, data.labels, np.zeros(0))
    return found.suspicion, suspects.Calibration.of(found, data.labels, high=bound)


@lru_cache(maxsize=4)
def neighbours_of(inputs: bytes, shape: tuple[int, ...]) -> Ints:
    """Return the neighbours of the same inputs again without searching again."""
    return suspects.neighbours(np.frombuffer(inputs, dtype=np.float32).reshape(shape))


def kept(folder: str | None, name: str, make: Callable[[], Any]) -> Any:
    """Return what was made before under this name, or make it; nothing is kept where no folder is named."""
    if folder is None:
        return make()
    path = Path(folder) / f"{name}.pickle"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = pickle.dumps(make())
        path.with_suffix(".part").write_bytes(made)
        path.with_suffix(".part").rename(path)
    return pickle.loads(path.read_bytes())  # written by this program
