"""The trainings of an audit, ordinary studies on the user's rows; and its own small network, which most are of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import log_softmax

from phasemap.auditing.memorization import Answers, Bools, collect
from phasemap.auditing.preparing import Prepared
from phasemap.diagram.tables import derive
from phasemap.results.folder import RunFolder, write_whole
from phasemap.results.inside import read_weights
from phasemap.running.driver import run_study
from phasemap.running.runner import Runner
from phasemap.study.axes import Axis
from phasemap.study.errors import UserError
from phasemap.study.networks import FixedSpec, ModelSpec, NetworkTrial, TaskSpec, TrainingSpec
from phasemap.study.spec import NetworkStudy, Study
from phasemap.study.trials import expand, networks
from phasemap.tasks.dataset import Dataset, Features, Ints
from phasemap.tasks.load import dataset_of
from phasemap.tasks.splits import split_rows

WIDTH, STEPS, WEIGHT_DECAY = 128, 150, 5.0
"""The audit's network: a ReLU MLP with one hidden layer, full batches, AdamW at 0.01."""

HALF = 0.5
OUTSIDE_TRAININGS = 40  # that are asked about rows beyond the sample
CHUNK_ROWS = 20_000
Weights = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """A file of rows to train on, as networks see them."""

    path: Path
    inputs: np.ndarray  # (n, F) float32
    labels: Ints  # (n,)
    groups: Ints | None


def write_rows(folder: Path, inputs: np.ndarray, labels: Ints, groups: Ints | None, **further: NDArray[Any]) -> Rows:
    """Write rows under a name that tells their content, so that other rows are never taken for trained ones."""
    digest = hashlib.sha256(repr(inputs.shape).encode())
    for part in (inputs, labels, np.zeros(0) if groups is None else groups, *further.values()):
        digest.update(np.ascontiguousarray(part).tobytes())
    path = folder / f"rows-{digest.hexdigest()[:12]}.npz"
    arrays = {"X": inputs, "y": labels} | ({} if groups is None else {"groups": groups}) | further
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda temporary: np.savez_compressed(temporary, **arrays))  # type: ignore[arg-type]
    return Rows(path=path.resolve(), inputs=inputs, labels=labels, groups=groups)


class Training(Protocol):
    """What an audit trains: its own small network, or what a user names."""

    @property
    def name(self) -> str | None:
        """What the user named; None of the audit's network."""

    def rows(self, folder: Path, data: Prepared, used: Ints, labels: Ints) -> Rows:
        """Write the rows that are used, with labels (n,), for trainings to read."""

    def study(
        self, name: str, rows: Rows, *, seeds: int, axes: Mapping[str, Sequence[Any]], question: str, keep: bool = False
    ) -> Study:
        """Build a study of trainings on parts of the rows, halves unless ``data_fraction`` is an axis.

        With ``keep`` what they answer is kept.
        """

    def answers(self, folder: RunFolder, study: Study, rows: Rows) -> Answers:
        """Return what the trainings of a study's only point answer; a round with a lost one is left out."""

    def of_others(
        self, folder: RunFolder, study: Study, rows: Rows, others: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return mean probabilities (m, C) of the first trainings for inputs (m, F) of rows that none has seen."""


@dataclass(frozen=True, slots=True)
class Network:
    """The audit's own training: a ReLU MLP with one hidden layer, full batches, AdamW at 0.01."""

    name: None = None

    def rows(self, folder: Path, data: Prepared, used: Ints, labels: Ints) -> Rows:
        """See ``Training``."""
        return write_rows(folder, data.inputs[used], labels, None if data.groups is None else data.groups[used])

    def study(
        self, name: str, rows: Rows, *, seeds: int, axes: Mapping[str, Sequence[Any]], question: str, keep: bool = False
    ) -> Study:
        """See ``Training``."""
        return make_study(name, rows, seeds=seeds, axes=axes, question=question, keep_weights=keep)

    def answers(self, folder: RunFolder, study: Study, rows: Rows) -> Answers:
        """See ``Training``."""
        trials = networks(expand(study))
        dataset = dataset_of(trials[0])
        return collect(
            dataset.labels,
            dataset.n_classes,
            ((seen, in_chunks(found, rows.inputs)) for seen, found in _rounds(folder, trials, dataset)),
        )

    def of_others(
        self, folder: RunFolder, study: Study, rows: Rows, others: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """See ``Training``."""
        kept = (read_weights(folder, trial.trial_id) for trial in list(expand(study))[:OUTSIDE_TRAININGS])
        answered = [np.exp(in_chunks(weights, others)) for weights in kept if weights is not None]
        return np.asarray(np.mean(answered, axis=0), dtype=np.float32)


def _rounds(folder: RunFolder, trials: Sequence[NetworkTrial], dataset: Dataset) -> Iterator[tuple[Bools, Weights]]:
    for pair in zip(trials[::2], trials[1::2], strict=False):
        weights = [read_weights(folder, trial.trial_id) for trial in pair]
        for trial, found in zip(pair, weights, strict=True):
            if all(other is not None for other in weights) and found is not None:
                yield half_of(dataset, trial.seed), found


def half_of(dataset: Dataset, seed: int) -> Bools:
    """Return which rows (n,) a seed's training on a half sees."""
    inside = np.zeros(len(dataset.labels), dtype=bool)
    inside[split_rows(dataset, seed=seed, data_fraction=HALF, split="balanced")[0]] = True
    return inside


def in_chunks(weights: Weights, inputs: Features) -> Features:
    """Return log probabilities (M, C) for inputs (M, F) of which there may be very many."""
    starts = range(0, len(inputs), CHUNK_ROWS)
    return np.concatenate([probabilities(weights, inputs[i : i + CHUNK_ROWS]) for i in starts])


def probabilities(weights: Weights, inputs: Features) -> Features:
    """Return log probabilities (M, C) of an MLP with ReLU and without a norm, for inputs (M, F)."""
    units = np.maximum(inputs @ weights["input"].T, 0)
    for number in range(sum(name.startswith("hidden") for name in weights)):
        units = np.maximum(units @ weights[f"hidden.{number}"].T, 0)
    return np.asarray(log_softmax(units @ weights["W"].T, axis=1), dtype=np.float32)


def make_study(
    name: str,
    rows: Rows,
    *,
    seeds: int,
    axes: Mapping[str, Sequence[Any]],
    question: str,
    keep_weights: bool = False,
) -> Study:
    """Build the study of some of an audit's trainings, half of the rows each unless ``data_fraction`` is an axis."""
    return NetworkStudy(
        name=f"{name}-{rows.path.stem.removeprefix('rows-')}",
        question=question,
        task=TaskSpec(kind="arrays", path=str(rows.path), split="balanced"),
        model=ModelSpec(activation="relu", width=WIDTH),
        training=TrainingSpec(steps=STEPS, loss="cross_entropy"),
        axes=tuple(Axis(name=axis, values=tuple(values)) for axis, values in axes.items()),
        fixed=FixedSpec(weight_decay=WEIGHT_DECAY, data_fraction=HALF),
        seeds=tuple(range(seeds)),
        record=("weights",) if keep_weights else (),
    )


@dataclass
class Trainer:
    """Runs studies in one folder with one runner, started when it is first needed."""

    folder: Path
    start: Callable[[], Runner]
    training: Training = field(default_factory=Network)
    quiet: bool = False
    _runner: Runner | None = field(default=None, repr=False)

    def run(self, study: Study) -> RunFolder:
        """Train what is missing of a study and return its folder; UserError if nothing of it could be trained."""
        folder = RunFolder(self.folder / study.name)
        outcome = run_study(study, folder, lambda: nullcontext(self._started()), quiet=self.quiet, picture=False)
        if outcome.failures and len(outcome.failures) >= outcome.n_trained + outcome.n_reused:
            error = trial_table(folder, study)["error"].dropna().iloc[0]
            raise UserError(f"no network could be trained: {error}")
        return folder

    def close(self) -> None:
        """End the runner."""
        if self._runner is not None:
            self._runner.close()
            self._runner = None

    def _started(self) -> Runner:
        if self._runner is None:
            self._runner = self.start()
        return self._runner


def trial_table(folder: RunFolder, study: Study) -> pd.DataFrame:
    """Return one row a trial of a study that was run."""
    return derive(folder, study).trials
