"""Align two runs: the points that both can have, on their common axes, what differs beside them, and whether their
trials are the same networks, labelled in two ways."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phasemap.diagram.coordinates import show_value
from phasemap.diagram.points import point_table
from phasemap.study.axes import Axis
from phasemap.study.errors import UserError
from phasemap.study.networks import NETWORK_SETTINGS
from phasemap.study.program_study import ProgramStudy
from phasemap.study.rule_file import rule_of
from phasemap.study.spec import NetworkStudy, PhaseRule, Study
from phasemap.study.trials import grid_ids, values_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of two aligned runs: its study cut to the common points, and the tables of these."""

    study: Study
    trials: pd.DataFrame
    points: pd.DataFrame
    n_elsewhere: int  # points with results that the other run can't have


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """Two runs on the same points, in the same order."""

    a: Side
    b: Side
    differences: tuple[str, ...]


def align(study_a: Study, trials_a: pd.DataFrame, study_b: Study, trials_b: pd.DataFrame) -> Alignment:
    """Cut two runs to their common axis values; a fixed value of one is a value of the other's axis too.

    UserError where an axis has no value in common.
    """
    for study in (study_a, study_b):
        if study.scattered:
            raise UserError(
                f"the points of {study.name} lie on no grid; allowed: two runs whose points lie on grids, such as "
                "sweeps that were imported with --program and --grid and completed by phasemap run"
            )
    names = list(dict.fromkeys([*study_a.axis_names, *study_b.axis_names]))
    axes = tuple(_common_axis(study_a, study_b, name) for name in names)
    return Alignment(
        a=_side(study_a, trials_a, axes),
        b=_side(study_b, trials_b, axes),
        differences=tuple(_differences(study_a, study_b, axes)),
    )


def _values(study: Study, name: str) -> list[Any]:
    """Return the values of a setting in a study; none where its program has no such setting."""
    known = NETWORK_SETTINGS if isinstance(study, NetworkStudy) else ()
    return [value for _, value in values_of(study, name)] if name in {*study.declared, *known} else []


def _common_axis(study_a: Study, study_b: Study, name: str) -> Axis:
    values_a, values_b = _values(study_a, name), _values(study_b, name)
    for study, other, values in ((study_a, study_b, values_a), (study_b, study_a, values_b)):
        if not values:
            raise UserError(
                f"{name}, an axis of {other.name}, is not a setting of {study.name}; allowed: runs of the same settings"
            )
    common = [value for value in values_a if value in values_b]
    if not common:
        raise UserError(
            f"the runs have no point in common: {name} is {_listed(values_a)} in {study_a.name} and "
            f"{_listed(values_b)} in {study_b.name}; allowed: runs that share a value of every axis"
        )
    for study, values in ((study_a, values_a), (study_b, values_b)):
        if name in study.axis_names and len(common) == len(values):
            return study.axis(name).model_copy(update={"values": tuple(common)})
    return Axis(name=name, values=tuple(common))


def _side(study: Study, trials: pd.DataFrame, axes: tuple[Axis, ...]) -> Side:
    """Cut one run to the common axes."""
    cut = study.cut(axes)
    points, everywhere = point_table(cut, trials), point_table(study, trials)
    n_elsewhere = int((everywhere["n_seeds"] > 0).sum() - (points["n_seeds"] > 0).sum())
    return Side(study=cut, trials=trials, points=points, n_elsewhere=n_elsewhere)


def _differences(study_a: Study, study_b: Study, axes: Sequence[Axis]) -> Iterator[str]:
    """Yield in words what differs between the studies, beside their names and what was not compared."""
    compared = {axis.name: axis for axis in axes}
    (program_a, source_a), (program_b, source_b) = _program(study_a), _program(study_b)
    if program_a != program_b:
        yield f"program: {program_a} and {program_b}"
    elif source_a != source_b:
        yield f"program: {program_a}, whose source differs"
    for name, setting in {**study_b.declared, **study_a.declared}.items():
        values_a, values_b = _values(study_a, name), _values(study_b, name)
        if name in compared:
            if values_a != values_b and set(map(repr, values_a)) != set(map(repr, values_b)):
                yield f"{name}: compared at {_listed(compared[name].values)} only"
        elif values_a != values_b:
            told = (show_value(values[0]) if values else "no such setting" for values in (values_a, values_b))
            yield f"{setting.path}: {' and '.join(told)}"
    if study_a.phases != study_b.phases:
        yield f"rule: {rule_words(study_a.phases)} and {rule_words(study_b.phases)}"
    if study_a.seeds != study_b.seeds:
        yield f"seeds: {_listed(study_a.seeds)} and {_listed(study_b.seeds)}"


def _program(study: Study) -> tuple[str, str]:
    """Return who trains a study's networks, and the hash of its source."""
    return (study.program, study.signature.source) if isinstance(study, ProgramStudy) else ("phasemap", "")


def rule_words(rule: PhaseRule) -> str:
    """Name a labelling rule and its thresholds."""
    at_step = () if rule.at_step is None else (f"at step {rule.at_step}",)
    told = ", ".join([*(f"{name} {value:g}" for name, value in rule_of(rule).parameters), *at_step])
    return f"{rule.rule} ({told})" if told else rule.rule


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(show_value, values[:8])) + (", ..." if len(values) > 8 else "")


ENDED = ("ok", "diverged")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sameness:
    """How many of two runs' compared trials are one and the same network, and how their labels were made."""

    n_same: int
    n_trials: int  # of either run
    n_relabelled: int  # of the same networks: those with another subphase
    labels: str  # in words: what the two labellings differ in, or "" where nothing is known to differ
    what: str = "networks"  # or trials, where they are of another program

    @property
    def whole(self) -> bool:
        """Whether the runs are the same networks altogether."""
        return self.n_same == self.n_trials > 0

    @property
    def words(self) -> str:
        """Say what is the same."""
        labelled = f", labelled {self.labels}" if self.labels else ""
        if self.whole:
            return f"the same {self.n_same} {self.what}{labelled}"
        both = f"{self.n_same} of {self.n_trials} {self.what}"
        return f"{both} are the same in both runs{labelled}" if self.n_same else ""


def sameness(aligned: Alignment, both: NDArray[np.bool_]) -> Sameness:
    """Tell which trials of the points ``both`` (P,) are the same networks in both runs."""
    a, b = (_compared(side, both) for side in (aligned.a, aligned.b))
    shared = a.index.intersection(b.index)
    quantities = [name for name in aligned.a.study.recorded.quantities if name in aligned.b.study.recorded.quantities]
    same = _trained_once(a.loc[shared], b.loc[shared], quantities)
    rows = [frame.loc[shared][same] for frame in (a, b)]
    labels = " and ".join(filter(None, [_by_rules(aligned), _at_steps(*rows)]))
    subphases = [frame["subphase"].astype(object).fillna("") for frame in rows]
    return Sameness(
        n_same=int(same.sum()),
        n_trials=len(a.index.union(b.index)),
        n_relabelled=int((subphases[0] != subphases[1]).sum()),
        labels=labels,
        what="networks" if isinstance(aligned.a.study, NetworkStudy) else "trials",
    )


def _compared(side: Side, both: NDArray[np.bool_]) -> pd.DataFrame:
    """Return the trials of the compared points that ended, by their ids."""
    ids = np.asarray(grid_ids(side.study), dtype=object).reshape(len(both), -1)[both].ravel()
    rows = side.trials[side.trials["trial_id"].isin(ids) & side.trials["status"].isin(ENDED)]
    return rows.set_index("trial_id")


def _trained_once(a: pd.DataFrame, b: pd.DataFrame, quantities: Sequence[str]) -> NDArray[np.bool_]:
    """Tell for trials of the same ids, row by row, whether both rows come from one training, or from equal ones.

    One training took one time; and at the same step equal trainings measure the same to the bit.
    """
    seconds = a["train_seconds"].to_numpy(dtype=float) == b["train_seconds"].to_numpy(dtype=float)
    one, other = (frame[["horizon", *quantities]].to_numpy(dtype=float) for frame in (a, b))
    equal = ((one == other) | (np.isnan(one) & np.isnan(other))).all(axis=1)
    return np.asarray((a["status"] == b["status"]).to_numpy() & (seconds | equal), dtype=bool)


def _by_rules(aligned: Alignment) -> str:
    rules = [side.study.phases.model_copy(update={"at_step": None}) for side in (aligned.a, aligned.b)]
    return "" if rules[0] == rules[1] else f"by two rules ({' and '.join(map(rule_words, rules))})"


def _at_steps(a: pd.DataFrame, b: pd.DataFrame) -> str:
    """Say at which steps the same networks were labelled, where these differ."""
    if (a["horizon"].fillna(-1).to_numpy() == b["horizon"].fillna(-1).to_numpy()).all():
        return ""
    return f"at two steps ({_steps(a)} and {_steps(b)})"


def _steps(rows: pd.DataFrame) -> str:
    steps = sorted({int(step) for step in rows["horizon"].dropna()})
    return str(steps[0]) if len(steps) == 1 else f"{steps[0]} to {steps[-1]}"
