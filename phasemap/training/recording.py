"""What is recorded of a trial, and when: the steps, the measures of one record, and the finished result."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemap.phases.evaluation import WINDOW_RECORDS
from phasemap.phases.labels import window_start
from phasemap.study.identity import Trial
from phasemap.study.names import QUANTITIES
from phasemap.study.networks import NetworkTrial
from phasemap.tasks.corruption import NO_LABEL, accuracies, share_of
from phasemap.tasks.examples import Examples

RECORDS_PER_DECADE = 19
SAVE_SECONDS = 20.0  # between two states that are saved


@lru_cache(maxsize=256)
def record_steps(horizon: int) -> tuple[int, ...]:
    """Return the steps at which a training of ``horizon`` steps is recorded, about 60 for 2,000 steps.

    They are geometric numbers that don't depend on the horizon, at least 5 spread over its last tenth (the window
    of the labels), and the horizon itself.
    """
    decades = math.ceil(math.log10(horizon)) if horizon > 1 else 0
    numbers = {round(10 ** (i / RECORDS_PER_DECADE)) for i in range(decades * RECORDS_PER_DECADE + 1)}
    window = np.ceil(np.linspace(window_start(horizon), horizon, WINDOW_RECORDS)).astype(int).tolist()
    return tuple(sorted(step for step in numbers | set(window) if 1 <= step <= horizon))


def records_of(trial: NetworkTrial) -> frozenset[int]:
    """Return the steps at which a trial's curve is recorded: also where a stage of a schedule ends."""
    return frozenset(record_steps(trial.horizon)) | trial.stages


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """What a training tells and asks the process that it runs in."""

    on_progress: Callable[[float], None] = lambda _: None  # is told the share of the steps that are taken
    save: Callable[[bytes], None] | None = None  # keeps a state from which the training can go on
    saved: bytes | None = None  # the one that was kept last
    save_seconds: float = SAVE_SECONDS
    save_end: bool = False  # of a program: also the state after its last step


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One network's answers to all M examples with dropout off, training examples first."""

    predicted: NDArray[np.int64]  # (M,) classes, in the order of Examples.train, then Examples.test
    train_loss: float  # on the given labels
    test_loss: float  # on the true labels
    norms: Mapping[str, float]

    @property
    def finite(self) -> bool:
        """Whether both losses are finite; a network whose losses are not has diverged."""
        return math.isfinite(self.train_loss) and math.isfinite(self.test_loss)


def measure(examples: Examples, evaluation: Evaluation) -> dict[str, float]:
    """Turn answers into the quantities of one record; NaN for shares of no examples."""
    truth = examples.dataset.labels
    trained, held_out = np.split(evaluation.predicted, [len(examples.train)])
    right, held_out_right = trained == truth[examples.train], held_out == truth[examples.test]
    return {
        **accuracies(right, trained == examples.given, held_out_right, examples.wrong),
        "train_loss": evaluation.train_loss,
        "test_loss": evaluation.test_loss,
        **{name: evaluation.norms.get(name, math.nan) for name in QUANTITIES if name.startswith("weight_norm")},
        "rule_capture": share_of((held_out == examples.rule)[examples.rule != NO_LABEL]),
    }


@dataclass(slots=True, kw_only=True)
class Recorder:
    """The growing curve of one trial."""

    steps: list[int] = field(default_factory=list)
    rows: list[list[float]] = field(default_factory=list)
    diverged: bool = False

    def add(self, step: int, measures: Mapping[str, float]) -> None:
        """Append one record; ``measures`` has every quantity."""
        self.steps.append(step)
        self.rows.append([measures[name] for name in QUANTITIES])

    def curves(self) -> dict[str, list[float]]:
        """Return each quantity's values over the recorded steps."""
        return {name: [row[i] for row in self.rows] for i, name in enumerate(QUANTITIES)}


@dataclass(frozen=True, slots=True, kw_only=True)
class InsideRecord:
    """What was seen inside one network at one step: columns of equal length, named as in neurons.parquet."""

    record: str
    step: int
    series: str = ""
    columns: Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """A trial that was trained, diverged or failed, as it goes into a shard."""

    trial: Trial
    status: str  # ok | diverged | failed
    steps: tuple[int, ...] = ()
    curves: Mapping[str, list[float]] = field(default_factory=dict)  # by quantity, a value a step
    facts: Mapping[str, float | int] = field(default_factory=dict)  # about its data
    finals: Mapping[str, float] = field(default_factory=dict)  # about what was trained, at the end
    texts: Mapping[str, str] = field(default_factory=dict)
    train_seconds: float
    device: str
    kernel: str | None = None  # which one trained it, as in ``GroupedKernel.name``; None if nothing was trained
    inside: tuple[InsideRecord, ...] = ()
    weights: Mapping[str, NDArray[np.float32]] | None = None  # where they are kept
    state: bytes | None = None  # from which training can go on, where it is kept
    error: str | None = None
