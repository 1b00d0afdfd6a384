"""Compare two trainings of one trial: equal to the bit, within floating-point reordering, or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from phasemap.results.merge import trial_table
from phasemap.results.schema import named
from phasemap.study.spec import PhaseRule

EARLY_STEPS = 50
TOLERANCE = 1e-3  # relative, over the first EARLY_STEPS; later, reordered sums have grown into other trajectories

Verdict = Literal["bit", "tolerance", "not_met"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """How far one quantity's curve is off: the largest difference, where, and the largest relative one early."""

    largest: float
    at_step: int | None  # None where the curves are equal
    relative: float  # of the stored value, over the first EARLY_STEPS; infinite where only one of both is defined

    @property
    def equal(self) -> bool:
        """Whether the curves are equal to the bit."""
        return self.at_step is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a training ended."""

    status: str  # ok or diverged
    phase: str | None
    subphase: str | None
    last_step: int | None  # that was recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveComparison:
    """What became of a stored training when it was done again."""

    verdict: Verdict
    stored: Ending
    replayed: Ending
    deviations: Mapping[str, Deviation]  # over the steps that both have


def compare(stored: pa.Table, replayed: pa.Table, rule: PhaseRule) -> CurveComparison:
    """Compare two shard rows of one trial; tolerance means the same ending and TOLERANCE over the first steps."""
    one, other = stored.to_pylist()[0], replayed.to_pylist()[0]
    deviations = {name: _deviation(one, other, name) for name in named(stored.schema, "curve")}
    before, after = _ending(stored, one, rule), _ending(replayed, other, rule)
    same_steps = one["step"] == other["step"]
    same_phase = (before.status, before.phase) == (after.status, after.phase)
    verdict: Verdict = "not_met"
    if before == after and same_steps and all(d.equal for d in deviations.values()):
        verdict = "bit"
    elif same_steps and same_phase and all(d.relative <= TOLERANCE for d in deviations.values()):
        verdict = "tolerance"
    return CurveComparison(verdict=verdict, stored=before, replayed=after, deviations=deviations)


def _deviation(one: Mapping[str, Any], other: Mapping[str, Any], name: str) -> Deviation:
    """Compare the values of the records that both trainings have."""
    n = min(len(one["step"]), len(other["step"]))
    steps = np.asarray(one["step"][:n], dtype=np.int64)
    a, b = (np.asarray(row[name][:n], dtype=float) for row in (one, other))
    difference = np.abs(a - b)
    undefined = np.isnan(a) != np.isnan(b)
    difference = np.where(undefined, np.inf, np.nan_to_num(difference))
    if not difference.any():
        return Deviation(largest=0.0, at_step=None, relative=0.0)
    early = steps <= EARLY_STEPS
    place = int(difference.argmax())
    return Deviation(
        largest=float(difference[place]),
        at_step=int(steps[place]),
        relative=float(_relative(difference, a)[early].max(initial=0.0)),
    )


def _relative(difference: NDArray[np.float64], stored: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide by the stored value; a difference from zero is infinitely large."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(difference > 0, difference / np.abs(np.nan_to_num(stored)), 0.0)


def _ending(table: pa.Table, row: Mapping[str, Any], rule: PhaseRule) -> Ending:
    labels = trial_table(table, rule)[["phase", "subphase"]].astype(object)
    phase, subphase = labels.where(labels.notna() & (row["status"] == "ok"), None).iloc[0]
    return Ending(
        status=row["status"],
        phase=phase,
        subphase=subphase,
        last_step=row["step"][-1] if row["step"] else None,
    )
