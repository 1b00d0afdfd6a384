"""The words around a picture, as a caption would say them: what was trained, by what rule, at what step, on how many
seeds."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import pandas as pd

from phasemap.diagram.coordinates import show_value
from phasemap.diagram.diagram import STEP
from phasemap.phases.strokes import readable
from phasemap.study.names import ROBUSTNESS
from phasemap.study.spec import NetworkStudy, Study
from phasemap.study.writing import study_hash

Horizons = tuple[int, int]
"""The first and the last step at which a figure's trials were labelled."""

SOURCES = {"images": "dataset", "arrays": "path"}  # the setting that says what a task's data are of
SCHEDULES = ("weight_decay_schedule", "learning_rate_schedule")
OFTEN_OFF = ("weight_decay", "dropout", "corruption", "corruption_kind")  # not worth a word at their default
ROBUST = "the share of other thresholds, windows, horizons and seeds that keep a point's label"


def horizons_of(trials: pd.DataFrame) -> Horizons | None:
    """Return at which steps trials were labelled; None where none was."""
    known = trials["horizon"].dropna()
    return (int(known.min()), int(known.max())) if len(known) else None


def caption(study: Study, fixed: Mapping[str, Any], seeds: str, what: str = "") -> tuple[str, list[str]]:
    """Return a title (``what`` is drawn, the task, what is held, and ``seeds``) and the other settings in words."""
    words = setting_words(study, fixed)
    told = 2 if isinstance(study, NetworkStudy) and words else 0
    task = words[:told] or [readable(study.name)]
    title = ", ".join(filter(None, [what, *task, seeds]))
    given = not what and (not told or ":" in task[0])
    return title if given else title[:1].upper() + title[1:], words[told:]  # a name that a user gave stays as it is


def setting_words(study: Study, fixed: Mapping[str, Any]) -> list[str]:
    """Name the settings that all points of a figure share, the fixed axes among them."""
    settings = {**study.settings(), **fixed}
    if not isinstance(study, NetworkStudy):
        told = {name: value for name, value in study.settings().items() if value != study.declared[name].default}
        return [f"{readable(name)} {show_value(value)}" for name, value in {**told, **fixed}.items()]
    source = SOURCES.get(settings.get("task", ""), "modulus")
    text = [_task_words(str(settings["task"]))] if "task" in settings else []
    if source in settings:
        of = show_value(settings[source])
        text = [*text, f"p {of}"] if source == "modulus" else [f"{text[0]} of {of}"]
    text += [f"width {settings['width']}"] if "width" in settings else []
    shown = {"task", source, "width"}
    names = ("activation", "loss", "steps", "data_fraction", "weight_decay", "dropout", "corruption", "corruption_kind")
    shown |= set(names)
    for name in names:
        default = name in OFTEN_OFF and settings.get(name) in (0, "symmetric")
        if name in settings and (name in fixed or not default):
            text.append(_in_words(name, show_value(settings[name])))
            if name == "steps" and settings.get("scale_to_batch"):  # smaller batches take more steps than that
                text[-1] += f" of batch size {settings['scale_to_batch']}"
    changing = [name for name in SCHEDULES if settings.get(name) is not None]
    text += [f"{readable(name)} {settings[name]}" for name in changing]
    shown |= set(changing)
    return text + [f"{readable(name)} {show_value(value)}" for name, value in fixed.items() if name not in shown]


def _task_words(task: str) -> str:
    """Name a built-in task, or a user's data and the file that they are from."""
    file, _, name = task.rpartition(":")
    return f"{readable(name)} of {file}" if file else readable(task)


def _in_words(name: str, value: str) -> str:
    if name == "loss" and ":" in value:
        return f"loss {readable(value.rpartition(':')[2])}"
    if name in ("activation", "loss"):
        return {"mse": "MSE", "square": "x² activation", "relu": "ReLU"}.get(value, readable(value))
    return f"{value} steps" if name == "steps" else f"{readable(name)} {value}"


def label_words(study: Study, horizons: Horizons | None, metric: str | None = None) -> str:
    """Say by which rule and at which step labels are taken, or a quantity is."""
    what = "" if metric else f"labels by {readable(study.phases.rule)} " if study.phases.labels else ""
    if STEP in study.axis_names:
        return f"{what}at each step".strip()
    asked = study.phases.at_step
    if horizons is None:
        return f"{what}at {'the last step' if asked is None else f'step {asked}'}"
    first, last = horizons
    if last <= 1:  # one record a trial, as of a table without curves
        return what.strip()
    at = f"step {last}" if first == last else f"the last step, {first} to {last}"
    rounded = "" if asked in (None, last) else f", the last record up to step {asked}"
    return f"{what}at {at}{rounded}"


def seed_words(study: Study, metric: str | None = None) -> str:
    """Say how many seeds a point has, and of a quantity that their mean is drawn."""
    n = len(study.seeds)
    if n == 1:
        return "1 seed per point"
    seeds = f"{'' if study.search.kind == 'grid' else 'up to '}{n} seeds"
    return f"{seeds} per point" if metric in (None, ROBUSTNESS) else f"mean of {seeds}"


def left_out_words(n_panels: int, left_out: int) -> str:
    """Say that a figure with very many panels was cut."""
    return f"only the first {n_panels} of {n_panels + left_out} panels are drawn"


def held_words(held: Mapping[str, Any]) -> str:
    """Name the values at which a panel's axes are held."""
    return ", ".join(f"{readable(name)} {show_value(value)}" for name, value in held.items())


def source_words(study: Study) -> str:
    """Name a study and its hash, for a file's metadata; ``step`` is no axis of the study itself."""
    study = study.model_copy(update={"axes": tuple(axis for axis in study.axes if axis.name != STEP)})
    return f"study {study.name}, hash {study_hash(study)}"


def sentences(*parts: str) -> str:
    """Join parts to sentences, each with a capital and a full stop."""
    return " ".join(f"{part[:1].upper()}{part[1:]}." for part in parts if part)


def wrapped(text: str, width: int) -> str:
    """Break a text into lines of at most ``width`` characters."""
    return "\n".join(textwrap.wrap(text, width)) if text else ""
