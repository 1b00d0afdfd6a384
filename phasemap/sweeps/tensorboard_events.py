"""Read folders of TensorBoard events with hparams: each is a trial, and its scalars are curves.

Event files are records of protocol buffers. The few fields that hold scalars and hparams are read here, so that neither
TensorBoard nor TensorFlow is needed.
"""

from __future__ import annotations

import math
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from phasemap.sweeps.sweep import Curve, Sweep, SweepTrial

EVENTS = "*tfevents*"
HPARAMS, SESSION_START, SESSION_END = "hparams", "_hparams_/session_start_info", "_hparams_/session_end_info"
STATES = {0: "UNKNOWN", 1: "SUCCESS", 2: "FAILURE", 3: "RUNNING"}
MOST_BYTES = 1 << 28  # of a record
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
FLOAT, DOUBLE = 1, 2  # types of a tensor


def is_events(folder: Path) -> bool:
    """Tell whether a folder holds event files, at any depth."""
    return any(True for _ in folder.rglob(EVENTS))


class _Found:
    """What the event files of one trial hold."""

    def __init__(self) -> None:
        self.scalars: dict[str, dict[int, float]] = defaultdict(dict)
        self.settings: dict[str, Any] = {}
        self.state: str | None = None
        self.times: list[float] = []
        self.lasts: dict[str, float] = {}

    def add(self, other: _Found) -> None:
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
    found: dict[Path, _Found] = {}
    for path in sorted(folder.rglob(EVENTS)):
        if path.is_file() and not path.is_symlink():
            trial = found.setdefault(path.parent, _Found())
            for event in _records(path):
                _take(trial, event)
    trials = _join(found, folder)
    used = {path for path in found if path in trials or _owner(path, trials, folder) is not None}
    left = len(found) - len(used)
    ordered = sorted(trials.items(), key=lambda item: (min(item[1].times, default=math.inf), item[0]))
    read = [_trial(str(path.relative_to(folder)), one) for path, one in ordered]
    skipped = {"without hparams": left} if left else {}
    return Sweep(source="tensorboard", name=folder.name, place=str(folder), trials=read, skipped=skipped)


def _join(found: Mapping[Path, _Found], folder: Path) -> dict[Path, _Found]:
    """Return the folders that have hparams, each with the scalars of those that belong to it: below it, or the one
    above it, or beside it in a folder that has no other trial."""
    trials = [path for path, one in found.items() if one.settings]
    for path, one in found.items():
        owner = None if one.settings else _owner(path, trials, folder)
        if owner is not None:
            found[owner].add(one)
    return {path: found[path] for path in trials}


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


def _trial(name: str, found: _Found) -> SweepTrial:
    state = found.state or "UNKNOWN"
    status = {"FAILURE": "failed", "RUNNING": "stopped"}.get(state, "ok")
    curves: dict[str, Curve] = {}
    shared: dict[tuple[int, ...], list[int]] = {}
    for key, values in found.scalars.items():
        if len(values) > 1:
            steps = shared.setdefault(tuple(sorted(values)), sorted(values))
            curves[key] = (steps, [values[step] for step in steps])
    return SweepTrial(
        source_id=name,
        settings=found.settings,
        status=status,  # type: ignore[arg-type]
        source_state=state,
        running=state == "RUNNING",
        curves=curves,
        values={
            **{key: next(iter(values.values())) for key, values in found.scalars.items() if len(values) == 1},
            **found.lasts,
        },
        seconds=max(found.times) - min(found.times) if found.times else None,
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


def _fields(content: bytes) -> Iterator[tuple[int, int, Any]]:
    """Yield (field, wire type, value) of a protocol buffer; ValueError where it is none."""
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value, at = _varint(content, at)
            yield number, wire, value
        elif wire in (FIXED64, FIXED32):
            size = 8 if wire == FIXED64 else 4
            yield number, wire, content[at : at + size]
            at += size
        elif wire == BYTES:
            length, at = _varint(content, at)
            yield number, wire, content[at : at + length]
            at += length
        else:
            raise ValueError(f"wire type {wire}")


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(content) or shift > 63:
            raise ValueError("a number is cut")
        byte = content[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _take(found: _Found, event: bytes) -> None:
    """Take what an event says of a trial: wall_time 1, step 2, summary 5."""
    step, summaries = 0, []
    try:
        for number, wire, value in _fields(event):
            if number == 1 and wire == FIXED64:
                found.times.append(struct.unpack("<d", value)[0])
            elif number == 2 and wire == VARINT:
                step = value - (1 << 64) if value >> 63 else value
            elif number == 5 and wire == BYTES:
                summaries.append(value)
        for summary in summaries:
            for number, wire, value in _fields(summary):
                if number == 1 and wire == BYTES:
                    _take_value(found, step, value)
    except (ValueError, struct.error):
        return


def _take_value(found: _Found, step: int, content: bytes) -> None:
    """Take one value of a summary: tag 1, simple_value 2, tensor 8, metadata 9."""
    tag, scalar, tensor, metadata = "", None, None, b""
    for number, wire, value in _fields(content):
        if number == 1 and wire == BYTES:
            tag = value.decode("utf-8", "replace")
        elif number == 2 and wire == FIXED32:
            scalar = struct.unpack("<f", value)[0]
        elif number == 8 and wire == BYTES:
            tensor = value
        elif number == 9 and wire == BYTES:
            metadata = value
    if tag.startswith("_hparams_"):
        _take_hparams(found, tag, metadata)
        return
    if scalar is None and tensor is not None and _plugin(metadata)[0] == "scalars":
        scalar = _scalar(tensor)
    if scalar is not None:
        found.scalars[tag][step] = float(scalar)


def _plugin(metadata: bytes) -> tuple[str, bytes]:
    """Return the name and content of a value's plugin: plugin_data 1, of it plugin_name 1 and content 2."""
    for number, wire, value in _fields(metadata):
        if number == 1 and wire == BYTES:
            parts = {key: inner for key, kind, inner in _fields(value) if kind == BYTES}
            return parts.get(1, b"").decode("utf-8", "replace"), parts.get(2, b"")
    return "", b""


def _scalar(tensor: bytes) -> float | None:
    """Return the single number of a tensor: dtype 1, tensor_content 4, float_val 5, double_val 6."""
    dtype = FLOAT
    for number, wire, value in _fields(tensor):
        if number == 1 and wire == VARINT:
            dtype = value
        elif number in (4, 5, 6) and wire in (BYTES, FIXED32, FIXED64):
            size, code = (8, "<d") if (number == 6 or (number == 4 and dtype == DOUBLE)) else (4, "<f")
            if len(value) >= size:
                return float(struct.unpack(code, value[:size])[0])
    return None


def _take_hparams(found: _Found, tag: str, metadata: bytes) -> None:
    """Take a trial's settings (session_start_info 3, hparams 1) or state (session_end_info 4, status 1)."""
    name, content = _plugin(metadata)
    if name != HPARAMS:
        return
    for number, wire, value in _fields(content):
        if wire != BYTES:
            continue
        if tag == SESSION_START and number == 3:
            for inner, kind, entry in _fields(value):
                if inner == 1 and kind == BYTES:
                    parts = {key: one for key, _, one in _fields(entry)}
                    found.settings[parts.get(1, b"").decode("utf-8", "replace")] = _setting(parts.get(2, b""))
        elif tag == SESSION_END and number == 4:
            states = [one for key, kind, one in _fields(value) if key == 1 and kind == VARINT]
            found.state = STATES.get(states[0] if states else 0, "UNKNOWN")


def _setting(content: bytes) -> Any:
    """Return a hyperparameter's value: number 2, text 3, truth 4 (and nothing, null 1)."""
    for number, wire, value in _fields(content):
        if number == 2 and wire == FIXED64:
            found = struct.unpack("<d", value)[0]
            return int(found) if found.is_integer() and abs(found) < 2**53 else found
        if number == 3 and wire == BYTES:
            return value.decode("utf-8", "replace")
        if number == 4 and wire == VARINT:
            return bool(value)
    return None
