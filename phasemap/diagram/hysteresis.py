"""Hysteresis: how far a quantity on a schedule's way up lies from the same on its way down."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from phasemap.study.errors import UserError
from phasemap.study.networks import SCHEDULED
from phasemap.study.schedules import stages
from phasemap.study.spec import Study

CONFIDENCE = 0.95
Floats = NDArray[np.float64]


def hysteresis(study: Study, trials: pd.DataFrame, curves: pd.DataFrame, quantity: str, setting: str) -> pd.DataFrame:
    """Return the area between the way down of a scheduled setting and its way up, with 95 % t-intervals over seeds.

    One row a point: the axes, ``area``, ``low``, ``high`` (NaN with one seed) and ``n_seeds``. A stage has the value
    of the quantity at its end. The area is positive where the quantity is larger on the way down; it is in units of the
    quantity times the setting's. Trials that diverged or failed are left out. UserError where no schedule goes up to
    one largest value and back through the same ones.
    """
    schedule = f"{setting}_schedule"
    if setting not in SCHEDULED or schedule not in trials or trials[schedule].isna().all():
        known = ", ".join(name for name in SCHEDULED if f"{name}_schedule" in trials)
        raise UserError(f"{setting} has no schedule in {study.name}; allowed: {known or 'a study with a schedule'}")
    if quantity not in study.recorded.quantities:
        raise UserError(
            f"{quantity} is not a quantity of {study.name}; allowed: {', '.join(study.recorded.quantities)}"
        )
    ok = trials[(trials["status"] == "ok") & trials[schedule].notna()]
    recorded = dict(tuple(curves.groupby("trial_id")))
    areas = [
        loop_area(*_loop(row[setting], row[schedule], recorded[row["trial_id"]], quantity)) for _, row in ok.iterrows()
    ]
    axes = list(study.axis_names)
    grouped = ok.assign(area=areas).groupby(axes, sort=False, dropna=False)["area"]
    return pd.DataFrame([{**dict(zip(axes, key, strict=True)), **_summary(of_point)} for key, of_point in grouped])


def loop_area(values: Sequence[float], ends: Sequence[float]) -> float:
    """Return the area between the way down and the way up, from a setting's values in order and a quantity at each.

    UserError where they don't go up to one largest value and back through the same ones.
    """
    half, ups = len(values) // 2, list(values[: len(values) // 2 + 1])
    if len(values) < 3 or list(values[half:]) != ups[::-1] or any(b <= a for a, b in pairwise(ups)):
        raise UserError(
            f"a schedule with the values {', '.join(f'{value:g}' for value in values)} does not go up and back down; "
            "allowed: values that rise to the largest and return through the same ones"
        )
    up, down = np.asarray(ends[: half + 1]), np.asarray(ends[half:])[::-1]
    return float(np.trapezoid(down - up, ups))


def _loop(first: float, schedule: str, curve: pd.DataFrame, quantity: str) -> tuple[list[float], list[float]]:
    """Return the values of a setting's stages, and a quantity at the end of each."""
    changes = stages(schedule)
    ends = [*(step for step, _ in changes), int(curve["step"].max())]
    at = curve.set_index("step")[quantity]
    return [first, *(value for _, value in changes)], [float(at[end]) for end in ends]


def _summary(areas: pd.Series) -> dict[str, float]:
    n, mean = len(areas), float(areas.mean())
    half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * float(areas.std(ddof=1)) / np.sqrt(n) if n > 1 else np.nan
    return {"area": mean, "low": mean - half, "high": mean + half, "n_seeds": n}
