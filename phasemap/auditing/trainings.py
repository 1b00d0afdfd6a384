"""The trainings of an audit: how many a time budget pays for, and how they are run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import log_softmax

from phasemap.auditing.measures import Answers, Bools, collect
from phasemap.auditing.preparing import Prepared
from phasemap.diagram.tables import derive
from phasemap.results.folder import RunFolder, write_text, write_whole
from phasemap.results.inside import read_weights
from phasemap.running.driver import RunOptions, run_study
from phasemap.running.runner import Runner
from phasemap.study.axes import Axis
from phasemap.study.errors import UserError
from phasemap.study.networks import FixedSpec, ModelSpec, NetworkTrial, TaskSpec, TrainingSpec
from phasemap.study.spec import NetworkStudy, Study
from phasemap.study.trials import expand, networks
from phasemap.tasks.dataset import Dataset, Features, Ints
from phasemap.tasks.load import dataset_of
from phasemap.tasks.splits import split_rows
from phasemap.training.costs import LAUNCH_SECONDS, OPERATIONS_PER_SECOND

WIDTH, STEPS, WEIGHT_DECAY = 128, 150, 5.0
"""The audit's network: a ReLU MLP with one hidden layer, full batches, AdamW at 0.01."""

HALF = 0.5
OUTSIDE_TRAININGS = 40  # that are asked about rows beyond the sample
CHUNK_ROWS = 20_000
Weights = Mapping[str, NDArray[np.float32]]
FULL_TRAININGS = 200
USUAL_ROWS, MOST_ROWS = 2_000, 20_000
RECORDS_FACTOR = 1.3  # of the recorded answers beside the steps
ALLOWANCE = 0.6  # of the budget is for trainings; the rest for starting, asking and writing
SHARED_LAUNCHES = 8  # networks of a pack share what a step costs beside its products
SMALLER = (
    {"trainings": FULL_TRAININGS},
    {"trainings": 100, "planted_trainings": 24, "rounds": 6},
    {"trainings": 40, "planted_trainings": 16, "rounds": 4, "learning_seeds": 8},
)
SMALLEST_OWN = {"trainings": 16, "plantings": 1, "planted_trainings": 8, "rounds": 4, "learning_seeds": 4}


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
        return NetworkStudy(
            name=f"{name}-{rows.path.stem.removeprefix('rows-')}",
            question=question,
            task=TaskSpec(kind="arrays", path=str(rows.path), split="balanced"),
            model=ModelSpec(activation="relu", width=WIDTH),
            training=TrainingSpec(steps=STEPS, loss="cross_entropy"),
            axes=tuple(Axis(name=axis, values=tuple(values)) for axis, values in axes.items()),
            fixed=FixedSpec(weight_decay=WEIGHT_DECAY, data_fraction=HALF),
            seeds=tuple(range(seeds)),
            record=("weights",) if keep else (),
        )

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
        options = RunOptions(quiet=self.quiet, picture=False)
        outcome = run_study(study, folder, lambda: nullcontext(self._started()), options)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSize:
    """What an audit trains."""

    rows: int  # that are trained on and tested with
    trainings: int  # for scores, suspects, exposure; half of the rows each
    plantings: int = 2
    planted_trainings: int = 48  # for each planting
    rounds: int = 10  # for the response to corruption at the current regularization, and for each other one without
    learning_seeds: int = 16

    @property
    def halves(self) -> float:
        """All trainings, counted in trainings on half of the rows."""
        response = 64 + 14 * self.rounds
        return self.trainings + self.plantings * self.planted_trainings + response + 5.2 * self.learning_seeds

    @property
    def own_trainings(self) -> int:
        """All trainings of a user's own, which are not repeated where two studies need the same."""
        return self.trainings + self.plantings * self.planted_trainings + 6 * self.rounds + 5 * self.learning_seeds

    @property
    def row_precision(self) -> float:
        """The half width of a 95 % interval of a share of all rows that is estimated from the rows used."""
        return float(1.96 * np.sqrt(0.25 / self.rows))


def choose_size(data: Prepared, budget_minutes: float, cores: int) -> AuditSize:
    """Choose rows and trainings for a budget: all rows and 200 trainings if they fit, else fewer rows down to 2,000.

    Only if that is too long still, trainings are fewer too.
    """
    seconds = ALLOWANCE * budget_minutes * 60 * cores
    n = min(len(data.labels), MOST_ROWS)
    plantings = 3 if n < 1000 else 2
    for step in SMALLER:
        effort = replace(AuditSize(rows=n, trainings=FULL_TRAININGS, plantings=plantings), **step)
        affordable = int(n * seconds / (effort.halves * half_seconds(n, data)))
        if affordable >= min(n, USUAL_ROWS) or step is SMALLER[-1]:
            return replace(effort, rows=max(min(n, affordable), min(n, USUAL_ROWS, max(affordable, 500))))
    raise AssertionError("the last step returns")


def choose_own_size(rows: int, seconds: float, budget_minutes: float, cores: int) -> AuditSize:
    """Choose the number of trainings of a user's own, each of some seconds on one core, on so many rows.

    UserError where the budget doesn't pay for the smallest audit.
    """
    for step in (*SMALLER, SMALLEST_OWN):
        effort = replace(AuditSize(rows=rows, trainings=FULL_TRAININGS, plantings=3 if rows < 1000 else 2), **step)
        minutes = effort.own_trainings * seconds / cores / 60 / ALLOWANCE
        if minutes <= budget_minutes:
            return effort
    raise UserError(
        f"a training takes {seconds:.3g} s, and the smallest audit needs {effort.own_trainings} of them; needed: "
        f"--budget {int(minutes) + 1} (minutes) or more; finished trainings are kept"
    )


def half_seconds(n: int, data: Prepared) -> float:
    """Estimate one core's seconds for a training on half of n rows, as packs are cut."""
    products = 3 * 2.0 * WIDTH * (data.inputs.shape[1] + data.n_classes) * n / 2 / OPERATIONS_PER_SECOND
    return STEPS * (products * RECORDS_FACTOR + 2 * LAUNCH_SECONDS["mlp"] / SHARED_LAUNCHES)


def kept_size(path: Path, key: str, choose: Callable[[], AuditSize]) -> AuditSize:
    """Return the effort that an audit of the same data and budget began with, so that it can be continued."""
    if path.exists():
        saved = json.loads(path.read_text(encoding="utf-8"))
        if saved.pop("key", None) == key:
            return AuditSize(**saved)
    effort = choose()
    write_text(path, json.dumps({"key": key, **asdict(effort)}, indent=2) + "\n")
    return effort


def sample(data: Prepared, rows: int) -> Ints:
    """Draw rows, in rising order: the same share of each class, at least two of each; groups in random order."""
    n = len(data.labels)
    if rows >= n:
        return np.arange(n)
    source = np.random.default_rng(0)
    units = np.arange(n) if data.groups is None else np.unique(data.groups, return_inverse=True)[1]
    order = source.permutation(units.max() + 1)[units]
    ranked = np.lexsort((order, data.labels))
    place = np.empty(n, dtype=np.int64)
    start = np.searchsorted(data.labels[ranked], np.arange(data.n_classes))
    place[ranked] = np.arange(n) - start[data.labels[ranked]]
    sizes = np.bincount(data.labels, minlength=data.n_classes)
    chosen = place < np.maximum(2, np.round(sizes * rows / n))[data.labels]
    return np.flatnonzero(chosen)
