"""Where along an axis an event sets in, and over how wide a stretch, by a logistic fit over the trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit, stdtrit

from phasemap.diagram.coordinates import Coordinates, show_value
from phasemap.diagram.diagram import STRIP, lay_out, panel_rows
from phasemap.diagram.frontier import ABOVE, BELOW, LOSES, WINS, Floats, frontier_sides, map_frontiers
from phasemap.diagram.seeds import SeedMaps, by_seed, resamples
from phasemap.phases.built_in import OTHER_WORDS, WINS_COLUMN, phase_named
from phasemap.study.errors import UserError
from phasemap.study.rule_file import rule_of
from phasemap.study.spec import Study

CONFIDENCE = 0.9
TEN_TO_NINETY = 2 * np.log(9)  # a logistic curve takes so many of its scales from 10 % to 90 %
UNITS = {"linear": "difference", "log": "factor", "ordinal": "cells"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Critical:
    """A transition along an axis; the ends of the 90 % intervals are NaN with one seed."""

    axis: str
    event: str
    rises: bool  # whether the event gets more frequent along the axis
    location: float  # in values of the axis: where half of the trials show the event
    location_low: float
    location_high: float
    width: float  # from 10 % to 90 %, in ``width_unit``
    width_low: float
    width_high: float
    width_unit: str  # difference, factor (on a log axis) or cells (where values are unevenly spaced)
    n_seeds: int
    n_trials: int


def critical(
    study: Study, trials: pd.DataFrame, axis: str, event: str | None = None, fix: Mapping[str, Any] | None = None
) -> Critical:
    """Fit the share of trials that show an event along an axis, on the axis's own scale.

    An event is a label or a phase, being above a frontier, or reaching a step time by the horizon; by default
    ``generalizes`` of built-in rules, else the first frontier or phase.
    The logistic curve is fitted with Firth's penalty (1993), so that it is finite also where all trials change between
    the same two values; intervals are Student's t times the bootstrap error over whole seeds. UserError where there is
    no transition, or more than one.
    """
    events = _events(study)
    event = _usual_event(study) if event is None else event
    if event is None or event not in events:
        known = f"allowed: {', '.join(events)}" if events else "the study has no labels, frontiers or step times"
        raise UserError(f"{event} is not an event; {known}")
    layout = lay_out(study, x=axis, fix=fix)
    free = [name for name in study.axis_names if name != axis and name not in layout.fixed]
    if free:
        raise UserError(f"{', '.join(free)} must be fixed to look along {axis}; allowed: fix={{{free[0]!r}: value}}")
    along = Coordinates(study.axis(axis))
    if len(along.values) < 2 or along.axis.categorical:
        raise UserError(f"{axis} has no scale to fit along; allowed: an axis with two numbers or more")
    row = panel_rows(study, along, Coordinates(STRIP), layout.fixed)[0]
    shown = _shown(study, trials, event)[:, row]  # (S, n) 1, 0 or NaN
    _check_transition(shown, along, event)
    return _fit(shown, along, event)


def _events(study: Study) -> tuple[str, ...]:
    """Return what a transition can be of: labels, phases, frontiers and step times, and other words for some."""
    words = list(OTHER_WORDS) if study.phases.own is None else []
    frontiers = map_frontiers(study)
    words += [WINS_COLUMN for frontier in frontiers if frontier.tested]
    names = [frontier.name for frontier in frontiers]
    names += [name for name, _ in rule_of(study.phases).times]
    return tuple(dict.fromkeys((*words, *study.phases.phases, *study.phases.labels, *names)))


def _usual_event(study: Study) -> str | None:
    words = OTHER_WORDS if study.phases.own is None else ()
    return next(iter((*words, *study.phases.frontiers, *study.phases.phases)), None)


def _shown(study: Study, trials: pd.DataFrame, event: str) -> Floats:
    """Return for each trial (S, P) 1 where it shows the event, 0 where not, NaN where that can't be said."""
    name = phase_named(event)
    if name in study.phases.phases or name in study.phases.labels:
        labels = by_seed(study, trials, ["phase", "subphase"])
        same = (labels["phase"] == name) | (labels["subphase"] == name)
        return np.where(pd.isna(labels["phase"]), np.nan, same.astype(float))
    if name in dict(rule_of(study.phases).times):
        times = by_seed(study, trials, [name, "status"])
        return np.where(pd.isna(times["status"]), np.nan, pd.notna(times[name]).astype(float))
    frontiers = map_frontiers(study)
    frontier = next(one for one in frontiers if name in (one.name, WINS_COLUMN if one.tested else one.name))
    maps = SeedMaps.of(study, trials, [frontier])
    sides = maps.wins(frontier, pooled=False) if frontier.tested else frontier_sides(frontier, maps.values)
    shown = np.where(np.isin(sides, [WINS, ABOVE]), 1.0, np.nan)
    return np.where(np.isin(sides, [LOSES, BELOW]), 0.0, shown)


def _check_transition(shown: Floats, along: Coordinates, event: str) -> None:
    """UserError unless the trials go over from without the event to with it, or back, once."""
    known = shown[np.isfinite(shown)]
    if not len(known):
        raise UserError(
            f"no trial along {along.axis.name} tells anything about {event} yet; allowed: an event that the trials show"
        )
    if known.min() == known.max():
        word = "every" if known.min() else "no"
        raise UserError(f"no transition along {along.axis.name}: {word} trial shows {event} ({len(known)} trials)")
    seen = np.isfinite(shown).any(axis=0)
    shares = np.nanmean(shown[:, seen], axis=0)
    clear = shares[shares != 0.5] > 0.5
    changes = int((clear[1:] != clear[:-1]).sum())
    if changes == 0:
        raise UserError(
            f"no transition along {along.axis.name}: the share of trials with {event} never crosses one half"
        )
    if changes > 1:
        values = [show_value(v) for v, s in zip(np.asarray(along.values)[seen], shares, strict=True) if s > 0.5]
        raise UserError(
            f"{changes} transitions along {along.axis.name}: most trials show {event} at {', '.join(values)}; "
            "needed: a single one (the diagram's frontiers show all)"
        )


def _fit(shown: Floats, along: Coordinates, event: str) -> Critical:
    n = len(shown)
    x = along.positions
    counts = np.isfinite(shown).astype(float)
    hits = np.nan_to_num(shown)
    location, scale = _logistic(x, hits.sum(axis=0), counts.sum(axis=0))
    half = np.full(2, np.nan)
    if n > 1:
        weights, probability = resamples(n)
        data = np.concatenate([weights @ hits, weights @ counts], axis=1)
        different, which = np.unique(data, axis=0, return_inverse=True)  # many resamples give the same counts
        fits = np.asarray([_logistic(x, *np.split(one, 2)) for one in different])[which]  # (R, 2)
        fits[:, 1] = np.abs(fits[:, 1])
        variance = probability @ (fits - probability @ fits) ** 2
        half = stdtrit(n - 1, (1 + CONFIDENCE) / 2) * np.sqrt(variance * n / (n - 1))
        half = np.maximum(half, _resolution(x, hits.sum(axis=0), counts.sum(axis=0)))
    places = along.to_values(np.clip([location, location - half[0], location + half[0]], x[0], x[-1]))
    widths = TEN_TO_NINETY * np.maximum(np.asarray([0, -half[1], half[1]]) + abs(scale), 0.0)
    widths = 10**widths if along.axis.scale == "log" else widths
    return Critical(
        axis=along.axis.name, event=event, rises=bool(scale > 0), n_seeds=n, n_trials=int(counts.sum()),
        location=float(places[0]), location_low=float(places[1]), location_high=float(places[2]),
        width=float(widths[0]), width_low=float(widths[1]), width_high=float(widths[2]),
        width_unit=UNITS[along.axis.scale],
    )  # fmt: skip


def _resolution(x: Floats, hits: Floats, counts: Floats) -> Floats:
    """Return the least half-lengths of both intervals: where all trials change between the same two values, the
    transition may lie anywhere between them, and be as wide as that.
    """
    seen = counts > 0
    shares = hits[seen] / counts[seen]
    if ((shares > 0) & (shares < 1)).any():
        return np.zeros(2)
    place = np.flatnonzero(np.diff(shares) != 0)[0]
    gap = float(x[seen][place + 1] - x[seen][place])
    return np.asarray([gap / 2, gap / TEN_TO_NINETY])


def _logistic(x: Floats, hits: Floats, counts: Floats) -> tuple[float, float]:
    """Fit hits (n,) of counts (n,) by 1 / (1 + exp(-(x - location) / scale)); the scale is negative where it falls."""
    center, unit = float(x.mean()), float(np.ptp(x)) / (len(x) - 1)
    u = (x - center) / unit

    def loss(parameters: NDArray[np.float64]) -> float:
        eta = parameters[0] + parameters[1] * u
        weight = counts * expit(eta) * expit(-eta)
        information = weight.sum() * (weight @ u**2) - (weight @ u) ** 2
        likelihood = hits @ log_expit(eta) + (counts - hits) @ log_expit(-eta)
        return -float(likelihood + 0.5 * np.log(max(information, 1e-300)))

    slope = 1.0 if hits @ u >= counts @ u * hits.sum() / counts.sum() else -1.0
    fitted = minimize(loss, np.asarray([0.0, slope]), method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-6})
    intercept, slope = fitted.x
    slope = slope if abs(slope) > 1e-6 else 1e-6
    return center - unit * intercept / slope, unit / slope
