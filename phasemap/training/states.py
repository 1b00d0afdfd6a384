"""The end of a trial's training, kept so that it can go on to a longer horizon: weights, optimizer, records so far."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from phasemap.study.networks import NetworkTrial
from phasemap.study.own_parts import OwnTrial
from phasemap.training.inside import OVER_STEPS, Inside, looked_at
from phasemap.training.recording import InsideRecord, Recorder, record_steps, records_of

STATE_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where a trial's training goes on: as if it had just taken ``step`` of its own, longer training.

    ``network`` is what ``GroupedKernel.put_states`` takes; None of a network that had diverged by then, which stays as
    it is.
    """

    step: int
    kernel: str
    recorder: Recorder
    inside: list[InsideRecord] = field(default_factory=list)
    network: Mapping[str, Any] | None = None


def dump_end(inside: Inside, recorder: Recorder, kernel: str, network: Mapping[str, Any] | None) -> bytes:
    """Write how a trial's training ended; ``network`` is None where it diverged."""
    buffer = io.BytesIO()
    state = {
        "version": STATE_VERSION,
        "trial_id": inside.trial.trial_id,
        "source": source_of(inside.trial),
        "record": sorted(inside.wanted),
        "recorder": asdict(recorder),
        "inside": [frozen(record) for record in inside.records],
        "kernel": kernel,
        "network": network,
    }
    torch.save(state, buffer)
    return buffer.getvalue()


def read_start(path: Path, former: NetworkTrial, trial: NetworkTrial, record: Collection[str]) -> Start | None:
    """Read where a former, shorter trial ended as the start of a longer one that is the same else.

    None where the longer training's records can't be had so: it is recorded, or looked into, at a step at which the
    former was not; or what is kept is of another release or code, or damaged.
    """
    try:
        kept = torch.load(path, weights_only=True, map_location="cpu", mmap=True)
        known = (STATE_VERSION, former.trial_id, source_of(trial))
        if (kept["version"], kept["trial_id"], kept["source"]) != known:
            return None
        recorder = Recorder(**kept["recorder"])
        inside = [thawed(one) for one in kept["inside"]]
        kernel, network = str(kept["kernel"]), kept["network"]
    except Exception:  # whatever a damaged file may raise: the trial is then trained from its start
        return None
    over_steps = set(record) & set(OVER_STEPS)
    if not over_steps <= set(kept["record"]) or missing_steps(former.horizon, trial.horizon, record, recorder):
        return None
    wanted = {kind: looked_at(kind, trial.horizon) for kind in over_steps}
    return Start(
        step=former.horizon,
        kernel=kernel,
        recorder=_at_steps(recorder, records_of(trial)),
        inside=[one for one in inside if one.step in wanted.get(one.record, ())],
        network=network,
    )


def missing_steps(
    horizon: int, longer: int, record: Collection[str] = (), recorder: Recorder | None = None
) -> list[int]:
    """Return the steps up to a horizon that a longer training has records of and the shorter one has not, rising.

    With ``recorder`` the shorter training is one that may have diverged. A loss that was not finite is known at the
    steps of the shorter one alone; at others, which come later or never, it is not.
    """
    before, after = record_steps(horizon), record_steps(longer)
    end = horizon
    if recorder is not None and recorder.diverged:
        end = next(step for step in before if not recorder.steps or step > recorder.steps[-1])
        if end not in after:
            return [end]
    found = set(after) - set(before)
    for kind in set(record) & set(OVER_STEPS):
        found |= looked_at(kind, longer) - looked_at(kind, horizon)
    return sorted(step for step in found if step <= end)


def source_of(trial: NetworkTrial) -> str:
    """Return the hash of a user's code that a trial uses; empty without any."""
    return trial.parts.source if isinstance(trial, OwnTrial) else ""


def frozen(record: InsideRecord) -> dict[str, Any]:
    """Put a record into what a checkpoint may hold."""
    return asdict(record) | {"columns": {name: torch.from_numpy(v) for name, v in record.columns.items()}}


def thawed(saved: dict[str, Any]) -> InsideRecord:
    """Return what ``frozen`` was given."""
    return InsideRecord(**saved | {"columns": {name: value.numpy() for name, value in saved["columns"].items()}})


def _at_steps(recorder: Recorder, wanted: Collection[int]) -> Recorder:
    """Return a curve with the records at some steps only."""
    kept = [number for number, step in enumerate(recorder.steps) if step in wanted]
    return Recorder(
        steps=[recorder.steps[number] for number in kept],
        rows=[recorder.rows[number] for number in kept],
        diverged=recorder.diverged,
    )
