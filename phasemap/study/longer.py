"""A study with more steps: which of its trials is which of the former, shorter ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from phasemap.study.identity import Trial
from phasemap.study.networks import NetworkTrial
from phasemap.study.spec import NetworkStudy, Study

STEPS = "steps"


def with_horizon(study: NetworkStudy, steps: int) -> NetworkStudy:
    """Return a study whose networks are trained for another number of steps, which is no axis of it."""
    return study.model_copy(update={"training": study.training.model_copy(update={STEPS: steps})})


def can_go_on(study: Study) -> bool:
    """Whether its trials are shorter ones gone on: networks of phasemap's training, with one number of steps."""
    return isinstance(study, NetworkStudy) and STEPS not in study.axis_names


def former_trial(study: Study, trial: Trial, steps: int) -> NetworkTrial:
    """Return the trial that is the same but for its number of steps."""
    assert isinstance(study, NetworkStudy)
    return study.trial({**trial.settings, STEPS: steps}, trial.seed)


def former_ids(study: Study, steps: int) -> Sequence[str]:
    """Return the ids of all trials of a study with another number of steps, in the order of its grid."""
    assert isinstance(study, NetworkStudy)
    return list(_ids(with_horizon(study, steps)))


def _ids(study: NetworkStudy) -> Iterator[str]:
    axes = {axis.name: axis.values for axis in study.axes}
    return study.identity.grid_ids(study.settings(), axes, study.seeds)
