"""A run's trials as trials of an Optuna study."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from phasemap.results.curves import values_by_step
from phasemap.results.folder import write_whole, written
from phasemap.results.schema import setting_value
from phasemap.study.axes import Axis
from phasemap.study.names import OBJECTIVES
from phasemap.study.spec import NetworkStudy, Study

if TYPE_CHECKING:
    import optuna

JOURNAL, DATABASE = ".journal", ".db"
ATTRIBUTES = ("trial_id", "status", "phase", "subphase")


def optuna_study(study: Study, trials: pd.DataFrame, curves: pd.DataFrame | None = None) -> optuna.Study:
    """Return an Optuna study in memory with one trial a network, or what else a program trains."""
    return _study_in(None, study, trials, curves)


def write_optuna_storage(study: Study, trials: pd.DataFrame, path: Path, curves: pd.DataFrame | None = None) -> None:
    """Write a run's trials as an Optuna storage, whole or not at all: a journal, or an SQLite database for .db.

    Optuna's dashboard reads both.
    """
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    def write(temporary: Path) -> None:
        journal = temporary.suffix == JOURNAL
        storage: Any = (
            JournalStorage(JournalFileBackend(str(temporary))) if journal else RDBStorage(f"sqlite:///{temporary}")
        )
        _study_in(storage, study, trials, curves)
        if not journal:
            storage.engine.dispose()

    with written(path), quiet_optuna():
        write_whole(path, write)


def objective_of(study: Study) -> str:
    """Return the quantity whose last value is the objective: the first of OBJECTIVES or of all that is recorded."""
    return next(name for name in (*OBJECTIVES, *study.recorded.quantities) if name in study.recorded.quantities)


def _direction(study: Study) -> Literal["minimize", "maximize"]:
    return "minimize" if study.recorded.quantities[objective_of(study)] == "loss" else "maximize"


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Keep Optuna from telling of each study that it makes."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)


def _study_in(storage: Any, study: Study, trials: pd.DataFrame, curves: pd.DataFrame | None) -> optuna.Study:
    """Return an Optuna study of a run's trials; diverged and failed ones are there as failed, stopped ones as pruned.

    With ``curves`` those of the objective are its intermediate values.
    """
    import optuna
    from optuna.trial import create_trial

    with quiet_optuna():
        found = optuna.create_study(study_name=study.name, direction=_direction(study), storage=storage)
    space, value = distributions(study), objective_of(study)
    reports = {} if curves is None else values_by_step(curves, value)
    further = () if isinstance(study, NetworkStudy) else (*study.recorded.quantities, *study.recorded.finals)
    names = [name for name in (*ATTRIBUTES, *further) if name != value]
    for row in trials.to_dict("records"):
        state, number = _state(row["status"], float(row[value]))
        found.add_trial(
            create_trial(
                state=state,
                value=number,
                params={name: parameter(study, name, row[name], space) for name in space},
                distributions=space,
                user_attrs={name: row[name] for name in names if not pd.isna(row[name])},
                intermediate_values=reports.get(row["trial_id"]),
            )
        )
    return found


def _state(status: str, value: float) -> tuple[Any, float | None]:
    """Return the state and value of a trial; Optuna takes none that ended without a number."""
    from optuna.trial import TrialState

    if status == "stopped":
        return TrialState.PRUNED, None if math.isnan(value) else value
    done = status == "ok" and not math.isnan(value)
    return (TrialState.COMPLETE, value) if done else (TrialState.FAIL, None)


def distributions(study: Study) -> dict[str, Any]:
    """Return the search space of a study.

    Numeric axes are float parameters from their smallest to their largest value (logarithmic on a log axis), others are
    categorical; so is the seed, where there are several.
    """
    from optuna.distributions import CategoricalDistribution

    found: dict[str, Any] = {axis.name: _distribution(study, axis) for axis in study.axes}
    if not isinstance(study, NetworkStudy):  # of networks, what is no axis follows from the study
        fixed = {name: value for name, value in study.settings().items() if value is not None}
        found |= {name: CategoricalDistribution([_choice(study, name, value)]) for name, value in fixed.items()}
    if len(study.seeds) > 1:
        found["seed"] = CategoricalDistribution(list(study.seeds))
    return found


def _distribution(study: Study, axis: Axis) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not axis.categorical and not isinstance(study, NetworkStudy) and all(isinstance(v, int) for v in axis.values):
        return IntDistribution(min(axis.values), max(axis.values))
    if not axis.categorical:
        log = axis.scale == "log" and len(axis.values) > 1
        return FloatDistribution(float(min(axis.values)), float(max(axis.values)), log=log)
    return CategoricalDistribution([_choice(study, axis.name, value) for value in axis.values])


def parameter(study: Study, name: str, value: Any, space: Mapping[str, Any]) -> Any:
    """Return a setting's value as a parameter of the search space."""
    from optuna.distributions import FloatDistribution, IntDistribution

    if isinstance(space[name], IntDistribution):
        return int(value)
    return float(value) if isinstance(space[name], FloatDistribution) else _choice(study, name, value)


def _choice(study: Study, name: str, value: Any) -> Any:
    """Write a value as its column holds it, in a type that Optuna takes as a category."""
    found = setting_value(study.declared[name], value) if name in study.declared else value
    if found is None or found != found:  # a column of a table holds nothing as NaN
        return None
    return found if isinstance(found, str | bool | int | float) else str(found)
