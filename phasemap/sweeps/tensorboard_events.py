"""Read folders of TensorBoard events with hparams: each is a trial, and its scalars are curves.

Event files are records of protocol buffers, which tensorboardX (Ray Tune brings it) describes: neither TensorBoard nor
TensorFlow is needed.
"""

from __future__ import annotations

import math
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from phasemap.sweeps.sweep import Curve, Status, Sweep, SweepTrial, single_records, status_of

EVENTS = "*tfevents*"
HPARAMS, HPARAMS_TAG = "hparams", "_hparams_/"
SESSION_START, SESSION_END = f"{HPARAMS_TAG}session_start_info", f"{HPARAMS_TAG}session_end_info"
STATES = {0: "UNKNOWN", 1: "SUCCESS", 2: "FAILURE", 3: "RUNNING"}
STATUS_TAG = "status/text_summary"  # of trials that phasemap exported
MOST_BYTES = 1 << 28  # of a record
DOUBLE = 2  # a type of a tensor; else floats of 32 bits


def is_events(folder: Path) -> bool:
    """Tell whether a folder holds event files, at any depth."""
    return any(True for _ in folder.rglob(EVENTS))


class _Events:
    """What the event files of one trial hold."""

    def __init__(self) -> None:
        self.scalars: dict[str, dict[int, float]] = defaultdict(dict)
        self.settings: dict[str, Any] = {}
        self.state: str | None = None
        self.exported: str | None = None  # the status that phasemap exported
        self.times: list[float] = []
        self.lasts: dict[str, float] = {}

    def add(self, other: _Events) -> None:
        """Add the scalars of a folder that belongs to this trial; what hparams tell of a curve is its last value."""
        for name, values in other.scalars.items():
            own = self.scalars.get(name, {})
            if len(own) == 1 < len(values):
                (self.lasts[name],) = own.values()
                own = {}
            self.scalars[name] = {**values, **own}
        self.times += other.times


def read_folder(folder: Path) -> Sweep:
    """Read all trials below a folder; those without hparams are skipped and counted."""
    events: dict[Path, _Events] = {}
    for path in sorted(folder.rglob(EVENTS)):
        if path.is_file() and not path.is_symlink():
            trial = events.setdefault(path.parent, _Events())
            for event in _records(path):
                _take(trial, event)
    trials = _join(events, folder)
    used = {path for path in events if path in trials or _owner(path, trials, folder) is not None}
    left = len(events) - len(used)
    ordered = sorted(trials.items(), key=lambda item: (min(item[1].times, default=math.inf), item[0]))
    read = [_trial(str(path.relative_to(folder)), one) for path, one in ordered]
    skipped = {"without hparams": left} if left else {}
    return Sweep(source="tensorboard", name=folder.name, place=str(folder), trials=read, skipped=skipped)


def _join(events: Mapping[Path, _Events], folder: Path) -> dict[Path, _Events]:
    """Return the folders that have hparams, each with the scalars of those that belong to it: below it, or the one
    above it, or beside it in a folder that has no other trial."""
    trials = [path for path, one in events.items() if one.settings]
    for path, one in events.items():
        owner = None if one.settings else _owner(path, trials, folder)
        if owner is not None:
            events[owner].add(one)
    return {path: events[path] for path in trials}


def _owner(path: Path, trials: Iterable[Path], folder: Path) -> Path | None:
    over = [trial for trial in trials if trial in path.parents]
    if over:
        return max(over, key=lambda trial: len(trial.parts))
    for above in (path, *path.parents):
        near = [trial for trial in trials if above in trial.parents]
        if near:
            return near[0] if len(near) == 1 else None
        if above == folder:
            break
    return None


def _trial(name: str, events: _Events) -> SweepTrial:
    state = events.state or "UNKNOWN"
    status: Status = {"FAILURE": "failed", "RUNNING": "stopped"}.get(state, "ok")  # type: ignore[assignment]
    curves: dict[str, Curve] = {}
    shared: dict[tuple[int, ...], list[int]] = {}
    for key, values in events.scalars.items():
        if len(values) > 1:
            steps = shared.setdefault(tuple(sorted(values)), sorted(values))
            curves[key] = (steps, [values[step] for step in steps])
    if not curves:
        curves = single_records({key: next(iter(values.items())) for key, values in events.scalars.items()})
    return SweepTrial(
        source_id=name,
        settings=events.settings,
        status=status_of(status, events.exported),
        source_state=state,
        running=state == "RUNNING",
        curves=curves,
        values={
            **{key: next(iter(values.values())) for key, values in events.scalars.items() if len(values) == 1},
            **events.lasts,
        },
        seconds=max(events.times) - min(events.times) if events.times else None,
    )


def _records(path: Path) -> Iterator[bytes]:
    """Yield the records of an event file: length, its checksum, content, checksum. A cut last one is left out."""
    with path.open("rb") as file:
        while len(head := file.read(12)) == 12:
            (length,) = struct.unpack("<Q", head[:8])
            if length > MOST_BYTES:
                return
            content = file.read(length)
            if len(content) < length or len(file.read(4)) < 4:
                return
            yield content


def _take(events: _Events, record: bytes) -> None:
    """Take what an event says of a trial; one that is damaged says nothing."""
    from google.protobuf.message import DecodeError
    from tensorboardX.proto.event_pb2 import Event

    try:
        event = Event.FromString(record)
        events.times.append(event.wall_time)
        for value in event.summary.value:
            if value.tag.startswith(HPARAMS_TAG):
                _take_hparams(events, value.tag, value.metadata.plugin_data)
            elif value.tag == STATUS_TAG:
                events.exported = b"".join(value.tensor.string_val).decode(errors="replace")
            elif (scalar := _scalar(value)) is not None:
                events.scalars[value.tag][event.step] = scalar
    except DecodeError:
        return


def _scalar(value: Any) -> float | None:
    """Return the number that a value of a summary is; None where it is none."""
    kind = value.WhichOneof("value")
    if kind == "simple_value":
        return float(value.simple_value)
    if kind != "tensor" or value.metadata.plugin_data.plugin_name != "scalars":
        return None
    tensor = value.tensor
    numbers = tensor.double_val or tensor.float_val
    code = "<d" if tensor.dtype == DOUBLE else "<f"
    if not numbers and len(tensor.tensor_content) >= struct.calcsize(code):
        numbers = struct.unpack_from(code, tensor.tensor_content)
    return float(numbers[0]) if numbers else None


def _take_hparams(events: _Events, tag: str, plugin: Any) -> None:
    """Take a trial's settings, or its state."""
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

    if plugin.plugin_name != HPARAMS:
        return
    told = HParamsPluginData.FromString(plugin.content)
    if tag == SESSION_START:
        hparams = told.session_start_info.hparams  # in no order
        events.settings |= {name: _setting(hparams[name]) for name in sorted(hparams)}
    elif tag == SESSION_END:
        events.state = STATES.get(told.session_end_info.status, "UNKNOWN")


def _setting(value: Any) -> Any:
    """Return a hyperparameter's value: a number, a text, a truth, or nothing."""
    kind = value.WhichOneof("kind")
    setting = getattr(value, kind) if kind in ("number_value", "string_value", "bool_value") else None
    if isinstance(setting, float) and setting.is_integer() and abs(setting) < 2**53:
        return int(setting)
    return setting
