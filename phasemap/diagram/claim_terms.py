"""The terms of claims, computed on the trials of one seed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phasemap.diagram.diagram import Diagram, make_diagram
from phasemap.diagram.frontier import Floats, map_frontiers
from phasemap.diagram.points import point_table
from phasemap.phases.built_in import phase_named
from phasemap.study.axes import Axis
from phasemap.study.claims import (
    Area,
    Condition,
    Correlation,
    Expression,
    Frontier,
    Share,
    Statistic,
    Term,
    chosen_values,
)
from phasemap.study.expressions import COMPARISONS, OPERATIONS, Negative, Number, Operation
from phasemap.study.rule_file import rule_of
from phasemap.study.spec import Study
from phasemap.study.trials import expand

Booleans = NDArray[np.bool_]

FEWEST_PAIRS = 3  # of values for a correlation
JUST_AFTER = 1 + 1e-9
STATISTICS: Mapping[str, Callable[[Floats], Any]] = {"mean": np.mean, "min": np.min, "max": np.max, "median": np.median}


class Unknown(Exception):
    """A claim can't be computed; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedTrials:
    """Every trial that the study expects, in its order: the row of the table, or the status ``missing``."""

    study: Study
    trials: pd.DataFrame
    rows: pd.DataFrame
    times: tuple[str, ...]  # the columns that are steps at which something happened

    @property
    def ok(self) -> Booleans:
        """Which rows (n,) have results."""
        return (self.rows["status"] == "ok").to_numpy(dtype=bool)

    def chosen(self, term: Term) -> Booleans:
        """Tell which rows (n,) satisfy a term's conditions."""
        if self.study.scattered:
            allowed = [set(chosen_values(axis, term.conditions)) for axis in self.study.axes]
            inside = [all(v in own for v, own in zip(p, allowed, strict=True)) for p in self.study.points()]
            return np.repeat(np.asarray(inside), len(self.study.seeds))
        return np.repeat(chosen_points(self.study.axes, term.conditions), len(self.study.seeds))

    def defined(self, term: Term) -> Booleans:
        """Tell in which rows (n,) everything that a term looks at has a value."""
        return self.rows[list(term.columns)].notna().all(axis=1).to_numpy(dtype=bool)

    def measured(self, term: Term, seed: int) -> pd.DataFrame:
        """Return the rows of one seed that a term looks at."""
        at_seed = (self.rows["seed"] == seed).to_numpy(dtype=bool)
        return self.rows[self.chosen(term) & self.ok & self.defined(term) & at_seed]


def expected_trials(study: Study, trials: pd.DataFrame, *, soon: bool = False) -> ExpectedTrials:
    """Lay a table of trials out over the trials that the study expects.

    Of points on no grid these are the measured ones, as if of one seed, unless several seeds have most of the points.
    Step times that are not reached are later than the horizon: infinite, or with ``soon`` just after it.
    """
    if study.scattered and len(seeds := _repeated(study, trials)) > 1:
        study = study.model_copy(update={"seeds": seeds})
        rows = _laid_out(study, trials)
    elif study.scattered:
        values = [[None if pd.isna(value) else value for value in trials[name]] for name in study.axis_names]
        study = study.model_copy(update={"seeds": (0,), "measured": tuple(zip(*values, strict=True))})
        rows = trials.assign(seed=0)
    else:
        rows = _laid_out(study, trials)
    late = rows["horizon"].astype(float) * JUST_AFTER if soon else pd.Series(np.inf, index=rows.index)
    times = tuple(name for name, _ in rule_of(study.phases).times)
    for name in times:
        rows[name] = rows[name].astype(float).fillna(late)
    return ExpectedTrials(study=study, trials=trials, rows=rows, times=times)


def value_of(grid: ExpectedTrials, expression: Expression, seed: int) -> float:
    """Compute an expression on the trials of one seed; Unknown where it has no value."""
    if isinstance(expression, Number):
        return expression.value
    if isinstance(expression, Negative):
        return -value_of(grid, expression.of, seed)
    if isinstance(expression, Operation):
        left, right = value_of(grid, expression.left, seed), value_of(grid, expression.right, seed)
        if expression.operator == "/" and right == 0:
            raise Unknown(f"divides by zero at seed {seed}")
        value = OPERATIONS[expression.operator](left, right)
        if np.isnan(value):
            raise Unknown(f"step times that are not reached leave no value at seed {seed}")
        return value
    if isinstance(expression, Frontier):
        return _crossing(grid, expression, seed)
    rows = grid.measured(expression, seed)
    if rows.empty:
        raise Unknown(f"{expression} is undefined at seed {seed}")
    return _over(expression, rows, grid.times)


def _over(term: Area | Statistic | Share | Correlation, rows: pd.DataFrame, times: Collection[str]) -> float:
    """Compute a term over rows."""
    if isinstance(term, Area):
        label = phase_named(term.label)
        return float(((rows["phase"] == label) | (rows["subphase"] == label)).mean())
    if isinstance(term, Share):
        right = rows[term.right] if isinstance(term.right, str) else term.right
        return float(COMPARISONS[term.comparison](rows[term.left], right).mean())
    if isinstance(term, Correlation):
        ranks = rows[list(term.columns)].astype(float).rank()
        if len(rows) < FEWEST_PAIRS or (ranks.nunique() == 1).any():
            raise Unknown(f"{term} needs {FEWEST_PAIRS} trials that differ in both")
        return float(np.corrcoef(ranks.to_numpy().T)[0, 1])
    values = rows[term.column].to_numpy(dtype=float)
    censored = int(np.isinf(values).sum()) if term.column in times else 0
    if censored and term.name in ("mean", "max"):
        raise Unknown(
            f"{term} has no value: the step is not reached in {censored} of {len(values)} trials; "
            f"median({term.column}) counts them as later than the horizon"
        )
    return float(STATISTICS[term.name](values))


def _laid_out(study: Study, trials: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each trial of a study, of the table or ``missing``."""
    expected = pd.DataFrame([(trial.trial_id, trial.seed) for trial in expand(study)], columns=["trial_id", "seed"])
    rows = expected.merge(trials.drop(columns="seed"), on="trial_id", how="left", validate="one_to_one")
    rows["status"] = rows["status"].fillna("missing")
    return rows


def _repeated(study: Study, trials: pd.DataFrame) -> tuple[int, ...]:
    """Return the seeds that at least half of a sweep's points have: a seed of few points repeats no map."""
    counts = trials["seed"].value_counts()
    return tuple(seed for seed in study.seeds if 2 * counts.get(seed, 0) >= study.n_points)


def chosen_points(axes: Sequence[Axis], conditions: tuple[Condition, ...]) -> Booleans:
    """Mark the points (n,) of a grid, in its order, that satisfy all conditions."""
    chosen = [chosen_values(axis, conditions) for axis in axes]
    masks = [np.asarray([value in mine for value in axis.values]) for axis, mine in zip(axes, chosen, strict=True)]
    return np.asarray(functools.reduce(np.logical_and.outer, masks)).ravel()


def along_line(study: Study, points: pd.DataFrame, term: Frontier) -> Diagram:
    """Lay points out along the axis that a frontier crosses, the others held, the frontier cut to what is chosen."""
    others = {a.name: chosen_values(a, term.conditions)[0] for a in study.axes if a.name != term.along}
    frontier = next(one for one in map_frontiers(study) if one.name == term.name)
    outside = ~chosen_points(study.axes, tuple(one for one in term.conditions if one.axis == term.along))
    kept = points.assign(**{name: points[name].mask(outside) for name in frontier.columns})
    return make_diagram(study, kept, x=term.along, fix=others)


def _crossing(grid: ExpectedTrials, term: Frontier, seed: int) -> float:
    """Return where a seed's frontier crosses the axis, drawn or not; the median of several crossings."""
    if grid.study.scattered:
        raise Unknown(f"{term} needs points on a grid; those of {grid.study.name} lie on none")
    axes = tuple(
        a if a.name == term.along else Axis(name=a.name, values=chosen_values(a, term.conditions)[:1])
        for a in grid.study.axes
    )
    line = grid.study.cut(axes, (seed,))
    crossings = along_line(line, point_table(line, grid.trials), term).crossings(term.name)
    if not crossings:
        raise Unknown(f"the {term.name} frontier does not cross {term.along} at seed {seed}")
    return float(np.median(crossings))
