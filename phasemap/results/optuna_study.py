"""Export a run's trials as an Optuna study in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from phasemap.results.schema import setting_value
from phasemap.study.axes import Axis
from phasemap.study.problems import UserError
from phasemap.study.spec import Study

if TYPE_CHECKING:
    import optuna

VALUE = "test_accuracy"
ATTRIBUTES = ("trial_id", "status", "phase", "subphase")


def optuna_study(study: Study, trials: pd.DataFrame) -> optuna.Study:
    """Return an Optuna study with one trial a network; UserError without Optuna.

    Numeric axes are float parameters from their smallest to their largest value (logarithmic on a log axis), others are
    categorical; so is the seed, where there are several. Trials that diverged or failed are there as failed.
    """
    try:
        import optuna
    except ImportError:
        raise UserError("optuna is not installed; pip install 'phasemap[export]'") from None
    from optuna.distributions import CategoricalDistribution, FloatDistribution
    from optuna.trial import TrialState, create_trial

    def distribution(axis: Axis) -> Any:
        if all(isinstance(v, int | float) and not isinstance(v, bool) for v in axis.values):
            log = axis.scale == "log" and len(axis.values) > 1
            return FloatDistribution(float(min(axis.values)), float(max(axis.values)), log=log)
        return CategoricalDistribution([_choice(axis.name, value) for value in axis.values])

    distributions: dict[str, Any] = {axis.name: distribution(axis) for axis in study.axes}
    if len(study.seeds) > 1:
        distributions["seed"] = CategoricalDistribution(list(study.seeds))
    numeric = [name for name, found in distributions.items() if isinstance(found, FloatDistribution)]
    found = optuna.create_study(study_name=study.name, direction="maximize", storage=None)
    for row in trials.to_dict("records"):
        done = row["status"] == "ok"
        labels = {name: row[name] for name in ATTRIBUTES if isinstance(row[name], str)}
        found.add_trial(
            create_trial(
                state=TrialState.COMPLETE if done else TrialState.FAIL,
                value=float(row[VALUE]) if done else None,
                params=_parameters(row, distributions, numeric),
                distributions=distributions,
                user_attrs=labels,
            )
        )
    return found


def _parameters(row: Mapping[Any, Any], names: Mapping[str, Any], numeric: Sequence[str]) -> dict[str, Any]:
    return {name: float(row[name]) if name in numeric else _choice(name, row[name]) for name in names}


def _choice(name: str, value: Any) -> Any:
    """Write a value as its column holds it, in a type that Optuna takes as a category."""
    found = value if name == "seed" else setting_value(name, value)
    return found if isinstance(found, str | bool | int | float) else str(found)
