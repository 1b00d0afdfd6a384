"""A sweep as every reader gives it: its trials in the source's order, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from phasemap.study.axes import Scale
from phasemap.study.errors import UserError

Status = Literal["ok", "diverged", "failed", "stopped"]
Curve = tuple[Sequence[int], Sequence[float]]
"""Rising steps, and the value at each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepTrial:
    """One trial of a sweep, under the source's own names."""

    source_id: str
    settings: Mapping[str, Any]
    status: Status = "ok"
    source_state: str = ""  # in the source's own word
    running: bool = False  # it may still change
    seed: int | None = None
    curves: Mapping[str, Curve] = field(default_factory=dict)  # by quantity
    values: Mapping[str, float] = field(default_factory=dict)  # last values of quantities; else those of their curves
    finals: Mapping[str, float] = field(default_factory=dict)  # other numbers at the end
    seconds: float | None = None
    host: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A sweep that was made elsewhere."""

    source: str  # which kind: table, optuna, tune, mlflow, wandb, tensorboard
    name: str
    place: str
    trials: Sequence[SweepTrial]
    settings: tuple[str, ...] = ()  # those that are known by name, also where no trial has a value
    skipped: Mapping[str, int] = field(default_factory=dict)  # how many for which reason
    told: tuple[str, ...] = ()  # what else a user should know
    scales: Mapping[str, Scale] = field(default_factory=dict)  # on which scale settings were drawn, where it is known


class NoTrialsError(UserError):
    """A source has no trial that could be taken."""

    def __init__(self, place: str, skipped: Mapping[str, int], needed: str) -> None:
        why = f" ({skipped_words(skipped)})" if skipped else ""
        super().__init__(f"{place} has no usable trial{why}; needed: {needed}")


def skipped_words(skipped: Mapping[str, int]) -> str:
    """Write for people what was skipped and why."""
    return ", ".join(f"{count} {reason}" for reason, count in skipped.items())


STATUS_WORDS: Mapping[str, Status] = {
    **dict.fromkeys(("ok", "complete", "completed", "finished", "done", "success", "succeeded", "terminated"), "ok"),
    "diverged": "diverged",
    **dict.fromkeys(("fail", "failed", "error", "crashed"), "failed"),
    **dict.fromkeys(("stopped", "pruned", "running", "killed", "preempted", "preempting", "paused"), "stopped"),
    **dict.fromkeys(("scheduled", "pending", "waiting"), "stopped"),
}
"""What sources call the states of trials."""
UNFINISHED = frozenset({"running", "paused", "scheduled", "pending", "waiting", "preempting", "preempted"})
"""States after which a trial may go on."""


def state_of(word: Any) -> tuple[Status, bool]:
    """Return the status that a source's word means, and whether the trial may still change; an unknown one: stopped."""
    plain = str(word).strip().lower()
    return STATUS_WORDS.get(plain, "stopped"), plain in UNFINISHED


def status_of(status: Status, exported: Any) -> Status:
    """Return a trial's status; other tools have failed ones where phasemap had diverged ones, and keep its word."""
    return "diverged" if status == "failed" and exported == "diverged" else status


def single_records(records: Mapping[str, tuple[int, float]]) -> dict[str, Curve]:
    """Return as curves what a trial without longer ones recorded once; at step 0 stands what was logged without one.

    Beside longer curves a single record says nothing of when a rule may use it: it is a value at the end.
    """
    return {name: ([step], [value]) for name, (step, value) in records.items() if step > 0}
