"""When things happened: steps of memorization, generalization, unlearning and forgetting, between records.

Steps are interpolated linearly in log(step) between the two records on either side of the threshold; NaN where the
event had not happened by the horizon (a censored time, not a long one).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from phasemap.phases.curves import Curves, Floats
from phasemap.phases.rules import lost_generalization
from phasemap.study.spec import PhaseRule

DELAYED_RATIO = 3.0
LEAST_PEAK = 0.5


def step_times(curves: Curves, rule: PhaseRule) -> Mapping[str, Floats]:
    """Return (n,) steps by name: memorization, grokking, unlearning and forgetting step.

    The last is there only for networks that had generalized before the window that the rule judges.
    """
    values = curves.values
    test, memorized = values["test_accuracy"], values["memorized_accuracy"]
    peak = np.where(curves.n_corrupted > 0, np.nan_to_num(memorized).max(axis=1), 0.0)
    unlearned = _falls_for_good(curves.steps, memorized, peak / 2)
    forgotten = _falls_for_good(curves.steps, test, np.full(len(curves), rule.generalized))
    return {
        "memorization_step": _first_rise(curves.steps, values["clean_accuracy"], rule.memorized),
        "grokking_step": _first_rise(curves.steps, test, rule.generalized),
        "unlearning_step": np.where(peak >= LEAST_PEAK, unlearned, np.nan),
        "forgetting_step": np.where(lost_generalization(curves, rule), forgotten, np.nan),
    }


def delayed(times: Mapping[str, Floats]) -> NDArray[np.object_]:
    """Tell (n,) whether generalization came at least 3 times later than memorization; None where either is missing."""
    ratio = times["grokking_step"] / times["memorization_step"]
    answer = (ratio >= DELAYED_RATIO).astype(object)
    answer[np.isnan(ratio)] = None
    return answer


def _first_rise(steps: NDArray[np.int64], values: Floats, threshold: float) -> Floats:
    """Return the first step (n,) at which values (n, T) reach a threshold."""
    above = values >= threshold
    after = above.argmax(axis=1)
    found = above.any(axis=1)
    at_start = found & (after == 0)
    crossing = _crossing(steps, values, after, np.full(len(values), threshold))
    return np.where(at_start, float(steps[0]), np.where(found, crossing, np.nan))


def _falls_for_good(steps: NDArray[np.int64], values: Floats, threshold: Floats) -> Floats:
    """Return the step (n,) at which values (n, T) that had reached a threshold fall below it and stay there."""
    above = values >= threshold[:, None]
    last_above = values.shape[1] - 1 - above[:, ::-1].argmax(axis=1)
    fell = above.any(axis=1) & (last_above < values.shape[1] - 1)
    after = np.where(fell, last_above + 1, 1 if values.shape[1] > 1 else 0)
    return np.where(fell, _crossing(steps, values, after, threshold), np.nan)


def _crossing(steps: NDArray[np.int64], values: Floats, after: NDArray[np.int64], threshold: Floats) -> Floats:
    """Interpolate in log(step) between the records ``after - 1`` and ``after``."""
    rows, before = np.arange(len(values)), np.maximum(after - 1, 0)
    left, right = values[rows, before], values[rows, after]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.clip((threshold - left) / (right - left), 0.0, 1.0)
    logs = np.log(steps.astype(float))
    return np.exp(logs[before] + np.nan_to_num(share) * (logs[after] - logs[before]))
