"""Compare two runs: which points changed their label beyond the seeds' spread, and how far the frontiers moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from phasemap.diagram.alignment import Alignment, Sameness, Side, align, sameness
from phasemap.diagram.diagram import Diagram, make_diagram
from phasemap.diagram.label_tests import exact_point_test, label_counts, map_test, seed_test
from phasemap.diagram.seeds import by_seed
from phasemap.diagram.shifts import frontier_shifts
from phasemap.study.errors import UserError
from phasemap.study.spec import Study
from phasemap.study.trials import grid_ids

SIGNIFICANCE = 0.05
SAME_LABELS = "every point has the same labels in both runs"
DIVERGED = "diverged"
LEVELS = ("phase", "subphase")

Verdict = Literal["equal", "equal within noise", "changed", "undecided", "labelled differently"]
"""The last one: the same networks, so that nothing but how they were labelled can differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transitions:
    """How the labels of one level go over into each other, over the points that both runs have."""

    counts: pd.DataFrame  # rows: labels of A, columns: labels of B
    agreement: float  # share of points with the same label
    kappa: float  # Cohen's: agreement beyond chance; NaN where both runs have one and the same label everywhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two runs, A and B, on the points that both have."""

    name_a: str
    name_b: str
    differences: tuple[str, ...]
    n_points: int
    n_only_a: int
    n_only_b: int
    verdict: Verdict
    reason: str
    p_seeds: float | None  # dealing whole seeds out anew
    p_map: float | None  # dealing labels out anew within each point
    transitions: Mapping[str, Transitions]  # by level: phase, subphase
    points: pd.DataFrame  # one row a compared point: axes, labels of both, p_value, adjusted, beyond_noise
    shifts: pd.DataFrame  # one row a row of the map that both frontiers cross
    paired_seeds: tuple[int, ...]  # over which the shifts are paired; empty where they are not
    shift_words: str  # how the seeds of both runs were compared
    same: Sameness  # which of the trials are the same networks in both runs
    diagram_a: Diagram
    diagram_b: Diagram

    def __repr__(self) -> str:
        return f"Comparison({self.name_a!r}, {self.name_b!r}: {self.verdict}; {self.reason})"

    def _repr_html_(self) -> str:
        """Show a notebook the verdict, why, and how labels went over into each other."""
        told = "".join(f"<li>{escape(text)}</li>" for text in self.differences)
        tables = "".join(
            f"<p>{level}: {self.name_a} down, {self.name_b} to the right</p>{transitions.counts.to_html()}"
            for level, transitions in self.transitions.items()
        )
        verdict = f"{self.name_a} and {self.name_b}: {self.verdict}"
        return f"<p><strong>{escape(verdict)}</strong></p><p>{escape(self.reason)}</p><ul>{told}</ul>{tables}"

    @property
    def equal(self) -> bool:
        """Whether the runs are equal, at least within the seeds' noise."""
        return self.verdict in ("equal", "equal within noise")


def compare(study_a: Study, trials_a: pd.DataFrame, study_b: Study, trials_b: pd.DataFrame) -> Comparison:
    """Compare two runs by the outcomes of their seeds; UserError where they have no point in common."""
    aligned = align(study_a, trials_a, study_b, trials_b)
    a, b = aligned.a, aligned.b
    outcome_a, outcome_b = ({level: _majority(side, level) for level in LEVELS} for side in (a, b))
    both = pd.notna(outcome_a["subphase"]) & pd.notna(outcome_b["subphase"])
    for study in (study_a, study_b):
        if not study.phases.labels:
            raise UserError(
                f"{study.name} has no labels to compare; allowed: runs with labels (phasemap relabel RUN --rule FILE "
                "gives a run some)"
            )
    if not both.any():
        raise UserError(
            f"{study_a.name} and {study_b.name} have no trained point in common; "
            "allowed: runs with results at the same points"
        )
    names = _names(study_a, study_b)
    counts = [label_counts(_outcomes(side), names["subphase"])[:, both] for side in (a, b)]
    points = _point_table(aligned, outcome_a, outcome_b, both, counts)
    same = sameness(aligned, both)
    verdict, reason, p_seeds, p_map = _decide_labels(points, same) if same.whole else _decide(points, *counts)
    only_a, only_b = (
        side.n_elsewhere + int((pd.notna(outcome["subphase"]) & ~both).sum())
        for side, outcome in ((a, outcome_a), (b, outcome_b))
    )
    if verdict == "equal" and (only_a or only_b):
        reason += f"; points of one run only ({only_a} of A, {only_b} of B) were not compared"
    points["beyond_noise"] = (points["adjusted"] < SIGNIFICANCE) if verdict == "changed" else False
    diagram_a = _diagram(a)
    shifts = frontier_shifts(aligned, diagram_a)
    return Comparison(
        name_a=study_a.name,
        name_b=study_b.name,
        differences=tuple(filter(None, [*aligned.differences, "" if same.whole else same.words])),
        n_points=int(both.sum()),
        n_only_a=only_a,
        n_only_b=only_b,
        verdict=verdict,
        reason=reason,
        p_seeds=p_seeds,
        p_map=p_map,
        transitions={
            level: transitions(outcome_a[level][both], outcome_b[level][both], names[level]) for level in LEVELS
        },
        points=points,
        shifts=shifts.table,
        paired_seeds=shifts.paired_seeds,
        shift_words=shifts.words,
        same=same,
        diagram_a=diagram_a,
        diagram_b=_diagram(b),
    )


def _names(study_a: Study, study_b: Study) -> dict[str, tuple[str, ...]]:
    """Return the outcomes of each level, those of A's rule first."""
    rules = (study_a.phases, study_b.phases)
    phases = dict.fromkeys(name for rule in rules for name in rule.phases)
    labels = dict.fromkeys(name for rule in rules for name in rule.labels)
    return {"phase": (*phases, DIVERGED), "subphase": (*labels, DIVERGED)}


def transitions(a: NDArray[np.object_], b: NDArray[np.object_], outcomes: Sequence[str]) -> Transitions:
    """Cross-tabulate the labels (P,) of two runs, with Cohen's kappa (1960)."""
    names = [name for name in outcomes if name in set(a) | set(b)]
    table = pd.crosstab(pd.Categorical(a, names), pd.Categorical(b, names), dropna=False)
    counts = table.reindex(index=names, columns=names, fill_value=0).rename_axis(index=None, columns=None)
    shares = counts.to_numpy() / len(a)
    agreement = float(np.trace(shares))
    by_chance = float(shares.sum(axis=1) @ shares.sum(axis=0))
    kappa = (agreement - by_chance) / (1 - by_chance) if by_chance < 1 else np.nan
    return Transitions(counts=counts, agreement=agreement, kappa=float(kappa))


def _majority(side: Side, level: str) -> NDArray[np.object_]:
    """Return each point's label (P,), ``diverged`` where no seed has one but some diverged, else None."""
    points = side.points
    labels = points[level].astype(object).to_numpy(copy=True)
    labels[(points["n_seeds"] == 0) & (points["n_diverged"] > 0)] = DIVERGED
    return labels


def _outcomes(side: Side) -> NDArray[np.object_]:
    """Return each trial's subphase (S, P), or ``diverged``, or null."""
    found = by_seed(side.study, side.trials, ["subphase"])["subphase"].astype(object)
    status = side.trials.set_index("trial_id")["status"].reindex(grid_ids(side.study)).to_numpy()
    return np.where(status.reshape(found.T.shape).T == DIVERGED, DIVERGED, found)


def _point_table(
    aligned: Alignment,
    outcome_a: Mapping[str, NDArray[np.object_]],
    outcome_b: Mapping[str, NDArray[np.object_]],
    both: NDArray[np.bool_],
    counts: list[NDArray[np.int64]],
) -> pd.DataFrame:
    """Return one row a compared point with its labels, exact p-value and adjusted p-value (Benjamini & Hochberg).

    Points at which all seeds of both runs have the same label can't differ and don't count as tests.
    """
    table = aligned.a.points.loc[both, list(aligned.a.study.axis_names)].copy()
    for level in LEVELS:
        table[f"{level}_a"], table[f"{level}_b"] = outcome_a[level][both], outcome_b[level][both]
    table["changed"] = table["subphase_a"] != table["subphase_b"]
    sides = [count.sum(axis=0) for count in counts]
    p_value = np.asarray([exact_point_test(a, b) for a, b in zip(*sides, strict=True)])
    tested = ((sides[0] + sides[1]) > 0).sum(axis=1) > 1
    adjusted = np.ones(len(p_value))
    if tested.any():
        adjusted[tested] = false_discovery_control(p_value[tested], method="bh")
    table["p_value"], table["adjusted"] = p_value, adjusted
    table.index.name = "point"
    return table


def _decide_labels(points: pd.DataFrame, same: Sameness) -> tuple[Verdict, str, None, None]:
    """Return the verdict on two labellings of the same networks; there is nothing to test, so p-values are null."""
    if not same.n_relabelled:
        return "equal", f"{same.words}: {SAME_LABELS}", None, None
    points[["p_value", "adjusted"]] = np.nan
    words = same.words if same.labels else f"{same.words}, labelled by two releases of phasemap"
    n = f"{same.n_relabelled} {same.what} and {int(points['changed'].sum())} of {len(points)} points"
    return (
        "labelled differently",
        f"{words}: {n} have a different label; the labelling has changed, not the {same.what}",
        None,
        None,
    )


def _decide(
    points: pd.DataFrame, a: NDArray[np.int64], b: NDArray[np.int64]
) -> tuple[Verdict, str, float | None, float | None]:
    """Return the verdict, why, and the two p-values of the whole map."""
    if (a.sum(axis=0) * b.sum() == b.sum(axis=0) * a.sum()).all() and not points["changed"].any():
        return "equal", SAME_LABELS, None, None
    p_seeds, p_map = seed_test(a, b), map_test(a.sum(axis=0), b.sum(axis=0))
    if p_seeds is None:
        n = int(points["changed"].sum())
        text = f"{n} points have a different label, but with one seed per run this can't be told from noise"
        return ("undecided", text, None, None) if n else ("equal", "every point has the same label", None, None)
    beyond = int((points["adjusted"] < SIGNIFICANCE).sum())
    words = f"whole seeds permuted between the runs: {_p(p_seeds)}; labels permuted within each point: {_p(p_map)}"
    if beyond or max(p_seeds, p_map) < SIGNIFICANCE:
        return "changed", f"{words}; {_single_points(beyond, points)}", p_seeds, p_map
    return "equal within noise", f"{words}; a change has both below {SIGNIFICANCE:g}", p_seeds, p_map


def _p(value: float) -> str:
    return f"p = {value:.2g}" if value >= 0.001 else "p < 0.001"


def _single_points(beyond: int, points: pd.DataFrame) -> str:
    if beyond:
        test = f"Fisher's exact test, false discovery rate {SIGNIFICANCE:.0%}"
        return f"{beyond} single points changed beyond noise ({test})"
    least = points["p_value"].min()
    return (
        f"no single point differs clearly with these seeds (smallest exact p-value {least:.2g}), but the whole map does"
    )


def _diagram(side: Side) -> Diagram:
    """Draw the common axes that have several values; one that has a single value is held at it."""
    several = [axis for axis in side.study.axes if len(axis.values) > 1]
    drawn = several or [side.study.axes[0]]
    fix = {axis.name: axis.values[0] for axis in side.study.axes if axis not in drawn}
    return make_diagram(side.study, side.points, fix=fix)
