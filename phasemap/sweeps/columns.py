"""A sweep turned into columns under valid names: settings with types, seeds, quantities with kinds, and ids.

Names of other tools are made valid for tables, rules and claims, and each change is told.
"""

from __future__ import annotations

import math
import re
import statistics
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phasemap.study.axes import Scale
from phasemap.study.conditions import KINDS, Kind
from phasemap.study.errors import UserError, did_you_mean
from phasemap.study.imported import ImportedStudy
from phasemap.study.names import FACTS, QUANTITY_KINDS
from phasemap.study.parameters import Parameter
from phasemap.study.programs import IMPORTED, Program
from phasemap.study.signature import FIXED_NAMES
from phasemap.study.spec import PhaseRule
from phasemap.study.values import is_number
from phasemap.sweeps.settings import converted, parameter_for, plain
from phasemap.sweeps.sweep import NoTrialsError, Sweep, SweepTrial

LATIN = re.compile(r"\W", re.ASCII)  # what is no letter, digit or _ of it
LONGEST = 48  # with room for an ending
SETTING, METRIC = "_setting", "_metric"
WORDS = ("and", "or", "not", "otherwise", "none", "true", "false")
TAKEN = frozenset({*FIXED_NAMES, *FACTS, *WORDS})


def valid(name: str, known: Collection[str] = ()) -> str:
    """Return a name of letters (of any script), digits and _ that begins with no digit.

    Runs of earlier releases have Latin letters only; ``known`` are the names of the run that is added to.
    """
    whole, latin = _cut(re.sub(r"\W", "_", unicodedata.normalize("NFKC", str(name)))), _cut(LATIN.sub("_", str(name)))
    return latin if latin in known and whole not in known else whole


def _cut(text: str) -> str:
    text = text[:LONGEST].rstrip("_") or "unnamed"
    return f"_{text}" if text[0].isdigit() else text


def metric_names(names: Iterable[str], settings: Collection[str], known: Collection[str] = ()) -> dict[str, str]:
    """Return the valid name of each quantity or final number, which no setting and no fixed column has."""
    given = list(names)
    spreads = {f"{valid(name)}_std" for name in given}
    lasts = {f"final_{valid(name)}" for name in given} | {name.removeprefix("final_") for name in settings}
    return _named(given, (TAKEN - QUANTITY_KINDS.keys()) | set(settings) | spreads | lasts, METRIC, known)


def _named(names: Iterable[str], taken: Collection[str], ending: str, known: Collection[str]) -> dict[str, str]:
    """Return a valid name for each; one that is taken gets an ending, and a number where that is not enough."""
    found: dict[str, str] = {}
    given = list(dict.fromkeys(names))
    for name in sorted(given, key=lambda one: valid(one) != one):  # those that are valid keep their names
        made = valid(name, known)
        made = f"{made}{ending}" if made in taken else made
        used, number, stem = set(found.values()), 2, made
        while made in used or (made != stem and made in taken):
            made, number = f"{stem}_{number}", number + 1
        found[name] = made
    return {name: found[name] for name in given}


def changed_words(names: Mapping[str, str]) -> list[str]:
    """Tell which names were changed."""
    return [f"{name[:80]!r} is called {made} here" for name, made in names.items() if name != made]


MOST_VALUES = 64  # of an axis of a grid
FEWEST_SHARE = 0.5  # of a grid's points that have a trial
LOG_RANGE = 100.0  # of positive numbers that were drawn by their logarithm, at least
LOW_HALF = 0.15  # of their range holds half of them, at most


def varying(settings: Mapping[str, Sequence[Any]], axes: Sequence[str]) -> list[str]:
    """Return the axes, then the other settings that differ between trials."""
    others = [name for name, values in settings.items() if name not in axes and len(set(values)) > 1]
    return [*axes, *others]


def on_grid(columns: Sequence[Sequence[Any]]) -> bool:
    """Tell whether trials whose axes have these values lie on a grid: few values an axis, most of the points taken."""
    sizes = [len(set(values)) for values in columns]
    if max(sizes) > MOST_VALUES:
        return False
    return len(set(zip(*columns, strict=True))) >= FEWEST_SHARE * math.prod(sizes)


def scale_of(values: Sequence[Any], known: Scale | None) -> Scale:
    """Return the scale on which an axis of scattered values is drawn."""
    if not all(map(is_number, values)):
        return "ordinal"
    if min(values) > 0 and (known == "log" or (known is None and _drawn_by_log(values))):
        return "log"
    return "linear"


def _drawn_by_log(values: Sequence[float]) -> bool:
    """Whether numbers reach over magnitudes and crowd at the low end."""
    low, high = min(values), max(values)
    return high >= LOG_RANGE * low and statistics.median(values) - low < LOW_HALF * (high - low)


MOST_EXPECTED = 100_000  # trials, were each seed of a sweep on no grid expected at each of its points
MOST_NAMES = 20  # that a message lists


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a user says of a sweep: the map's axes, the seed, kinds of quantities, and what becomes of it."""

    axes: tuple[str, ...]
    seed: str | None = None
    quantities: Mapping[str, str] = field(default_factory=dict)
    rule: str | Path | PhaseRule | None = None
    grid: Mapping[str, str | int] = field(default_factory=dict)  # on which a map of scattered points is wanted
    program: str | None = None  # that trained the trials, and may train more
    run: str | Path | None = None  # the run's folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """A sweep's trials as columns of equal length."""

    trials: Sequence[SweepTrial]
    axes: tuple[str, ...]
    parameters: Mapping[str, Parameter]
    settings: Mapping[str, Sequence[Any]]  # by setting
    seeds: Sequence[int]
    trial_ids: Sequence[str]
    quantities: Mapping[str, tuple[str, Kind]]  # by the source's name: the name here, and the kind
    finals: Mapping[str, str]  # by the source's name: the name here
    scales: Mapping[str, Scale]
    skipped: Mapping[str, int]
    told: tuple[str, ...]

    @property
    def program(self) -> Program:
        """What stands in a study for the program of these trials."""
        return Program(
            reference=IMPORTED,
            kind=IMPORTED,
            parameters=tuple(self.parameters.values()),
            quantities=tuple(self.quantities.values()),
            finals=tuple(self.finals.values()),
        )


def columns_of(sweep: Sweep, wanted: Wanted, known: ImportedStudy | None = None) -> Columns:
    """Turn a sweep into columns; ``known`` is the study of the run that it is added to.

    UserError where an axis is not there, or no trial is usable.
    """
    skipped = Counter(sweep.skipped)
    given = dict.fromkeys([*sweep.settings, *(name for trial in sweep.trials for name in trial.settings)])
    seed = found_name(wanted.seed, given, sweep.place) if wanted.seed else None
    before = {parameter.name: parameter for parameter in known.parameters} if known else {}
    names = _named((name for name in given if name != seed), TAKEN, SETTING, before)
    axes = tuple(found_name(axis, names, sweep.place) for axis in dict.fromkeys(wanted.axes))
    if not axes:
        known_names = _listed(names) if names else "its columns"  # of a table, only axes are settings
        raise UserError(f"{sweep.place}: no axis is named; allowed: --axes with one or more of {known_names}")
    trials = list(_usable(sweep.trials, axes, seed, skipped))
    if not trials:
        raise NoTrialsError(
            sweep.place, skipped, f"trials with {', '.join((*axes, *([seed] if seed else [])))}, and with a number"
        )
    ordered = dict.fromkeys((*axes, *names))
    raw = {names[name]: [plain(trial.settings.get(name)) for trial in trials] for name in ordered}
    parameters = {name: parameter_for(name, values, before.get(name)) for name, values in raw.items()}
    settings = {name: converted(parameters[name], values) for name, values in raw.items()}
    parameters |= {name: parameter for name, parameter in before.items() if name not in parameters}
    for name in parameters.keys() - settings.keys():
        settings[name] = [None] * len(trials)
    recorded = (*known.recorded.quantities, *known.signature.finals) if known else ()
    quantities, finals, told = _measured(trials, wanted.quantities, parameters, recorded, sweep.place)
    given_seeds = [_seed(trial, seed) for trial in trials]
    if seed and wanted.program is None and _unrepeated(given_seeds, [settings[names[axis]] for axis in axes], known):
        given_seeds = [None] * len(trials)
        told.append(f"{seed} has too many values to be the seed: trials with the same settings are counted instead")
    ids, seeds = _ids(settings, given_seeds, parameters)
    return Columns(
        trials=trials,
        axes=tuple(names[axis] for axis in axes),
        parameters=parameters,
        settings=settings,
        seeds=seeds,
        trial_ids=ids,
        quantities=quantities,
        finals=finals,
        scales={names[name]: scale for name, scale in sweep.scales.items() if name in names},
        skipped=skipped,
        told=(*sweep.told, *changed_words(names), *told),
    )


def found_name(asked: str, names: Mapping[str, Any], place: str) -> str:
    """Return the source's name of a setting that is asked for by that name or by its valid one."""
    if asked in names:
        return asked
    for name, made in names.items():
        if made == asked:
            return name
    raise UserError(f"{place} has no {asked}; allowed: {_listed(names)}{did_you_mean(asked, names)}")


def _listed(names: Iterable[str]) -> str:
    found = [str(name)[:80] for name in names]
    more = f" and {len(found) - MOST_NAMES} more" if len(found) > MOST_NAMES else ""
    return (", ".join(found[:MOST_NAMES]) or "nothing") + more


def _usable(
    trials: Iterable[SweepTrial], axes: Sequence[str], seed: str | None, skipped: Counter[str]
) -> Iterable[SweepTrial]:
    """Yield the trials that have every axis, and a seed where it stands in a setting; count the others."""
    for trial in trials:
        missing = next((axis for axis in axes if _lacks(trial, axis)), None)
        explicit = trial.settings.get(seed) if seed else 0
        if missing is not None:
            skipped[f"without {missing}"] += 1
        elif not _is_seed(explicit):
            skipped[f"without a whole number >= 0 as {seed}"] += 1
        elif trial.status == "ok" and not (any(len(steps) for steps, _ in trial.curves.values()) or _numbers(trial)):
            skipped["without any number"] += 1
        else:
            yield trial


def _numbers(trial: SweepTrial) -> bool:
    return any(value is not None for value in (*trial.values.values(), *trial.finals.values()))


def _lacks(trial: SweepTrial, axis: str) -> bool:
    """Whether a trial has no value of an axis, or one that is no number; a category may be None."""
    return axis not in trial.settings or (trial.settings[axis] is not None and plain(trial.settings[axis]) is None)


def _is_seed(value: Any) -> bool:
    found = plain(value)
    return isinstance(found, int | float) and not isinstance(found, bool) and found >= 0 and float(found).is_integer()


def _seed(trial: SweepTrial, seed: str | None) -> int | None:
    return int(plain(trial.settings[seed])) if seed else trial.seed


def _unrepeated(seeds: Sequence[int | None], axes: Sequence[Sequence[Any]], known: ImportedStudy | None) -> bool:
    """Tell whether a sweep on no grid has so many seeds that few points have each, and all would be too many trials.

    A run that has seeds of its source keeps to them.
    """
    if on_grid(axes) or (known is not None and known.seeds != tuple(range(len(known.seeds)))):
        return False
    return len(set(zip(*axes, strict=True))) * len(set(seeds)) > max(MOST_EXPECTED, 2 * len(seeds))


def _ids(
    settings: Mapping[str, Sequence[Any]], given: Sequence[int | None], parameters: Mapping[str, Parameter]
) -> tuple[list[str], list[int]]:
    """Return each trial's id and seed: the given one, or how many trials before it have the same settings."""
    study = ImportedStudy.model_construct(
        axes=(), signature=Program(reference=IMPORTED, kind=IMPORTED, parameters=tuple(parameters.values()))
    )
    identity, repeats, ids, seeds = study.identity, Counter[tuple[Any, ...]](), [], []
    names = list(settings)
    for number, values in enumerate(zip(*settings.values(), strict=True)):
        chosen = given[number]
        seed = repeats[values] if chosen is None else chosen
        repeats[values] += 1
        seeds.append(seed)
        ids.append(identity.trial_id(dict(zip(names, values, strict=True)), seed))
    return ids, seeds


def _measured(
    trials: Sequence[SweepTrial], said: Mapping[str, str], settings: Iterable[str], known: Collection[str], place: str
) -> tuple[dict[str, tuple[str, Kind]], dict[str, str], list[str]]:
    """Name the quantities and final numbers that have a value somewhere, and give each quantity a kind."""
    ranges, empty = _ranges(trials)
    finals = dict.fromkeys(name for trial in trials for name in trial.finals if name not in ranges)
    names = metric_names([*ranges, *finals], set(settings), known)
    kinds = {found_name(name, names, place): kind for name, kind in said.items()}
    told = [f"{name[:80]!r} is left out: no trial has a number for it" for name in empty]
    for name, kind in said.items():
        if kind and kind not in KINDS:
            raise UserError(f"{name} is to be of kind {kind!r}; allowed: {', '.join(KINDS)}")
    quantities: dict[str, tuple[str, Kind]] = {}
    for name, (low, high, where) in ranges.items():
        made = names[name]
        kind = kinds.get(name) or QUANTITY_KINDS.get(made, "number")
        wrong = _out_of_kind(kind, low, high)
        if wrong is not None and name not in kinds:
            made, kind = f"{made}{METRIC}", "number"
        elif wrong is not None:
            raise UserError(
                f"{name} = {wrong:g} of trial {where} in {place} is not a valid {kind}; allowed: {RANGES[kind]}, "
                "or kind number"
            )
        elif QUANTITY_KINDS.get(made, kind) != kind:
            made = f"{made}{METRIC}"
        names[name] = made
        quantities[name] = (made, kind)  # type: ignore[assignment]
    told += changed_words({name: names[name] for name in (*ranges, *finals)})
    return quantities, {name: names[name] for name in finals}, told


RANGES = {"accuracy": "numbers from 0 to 1", "loss": "numbers >= 0"}


def _out_of_kind(kind: str, low: float, high: float) -> float | None:
    """Return a value that a kind can't have, or None."""
    if kind != "number" and low < 0:
        return low
    return high if kind == "accuracy" and high > 1 else None


def _ranges(trials: Sequence[SweepTrial]) -> tuple[dict[str, tuple[float, float, str]], list[str]]:
    """Return (least, largest, a trial with an extreme) of each quantity with a number, and the names without one."""
    found: dict[str, tuple[float, float, str]] = {}
    seen: dict[str, None] = {}
    for trial in trials:
        for name in (*trial.curves, *trial.values):
            seen[name] = None
        for name, values in _all_values(trial):
            finite = [value for value in values if math.isfinite(value)]
            if finite:
                low, high = min(finite), max(finite)
                before = found.get(name, (math.inf, -math.inf, ""))
                where = trial.source_id if low < before[0] or high > before[1] else before[2]
                found[name] = (min(low, before[0]), max(high, before[1]), where)
    ordered = {name: found[name] for name in seen if name in found}
    return ordered, [name for name in seen if name not in found]


def _all_values(trial: SweepTrial) -> Iterable[tuple[str, Sequence[float]]]:
    yield from ((name, values) for name, (_, values) in trial.curves.items())
    yield from ((name, [value]) for name, value in trial.values.items() if value is not None)
