"""Align two runs: the points that both can have, on their common axes, and what differs beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from phasemap.diagram.coordinates import show_value
from phasemap.diagram.points import point_table
from phasemap.study.axes import Axis
from phasemap.study.errors import UserError
from phasemap.study.networks import NETWORK_SETTINGS
from phasemap.study.program_study import ProgramStudy
from phasemap.study.rule_file import rule_of
from phasemap.study.spec import NetworkStudy, PhaseRule, Study
from phasemap.study.trials import values_of


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
            raise UserError(f"the points of {study.name} lie on no grid; allowed: two runs whose points lie on grids")
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
    cut = study.model_copy(update={"axes": axes})
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
