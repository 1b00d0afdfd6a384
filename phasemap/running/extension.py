"""Whether a run can be trained on to a longer horizon, and the study with that many steps."""

from __future__ import annotations

import math
from collections.abc import Iterator

from phasemap.planning.plan import former_steps
from phasemap.results.folder import RunFolder
from phasemap.study.errors import UserError
from phasemap.study.file import load_resolved, load_study
from phasemap.study.names import STATE
from phasemap.study.networks import SCHEDULED, scaled_steps
from phasemap.study.prefixes import STEPS, with_horizon
from phasemap.study.rule import WINDOW
from phasemap.study.schedules import COSINE
from phasemap.study.spec import NetworkStudy, Study
from phasemap.study.trials import together, values_of
from phasemap.study.values import LARGEST

SCHEDULES = {f"{name}_schedule" for name in SCHEDULED}


def longer_study(folder: RunFolder, steps: int) -> Study:
    """Return a run's study with more steps; UserError where its trials can't go on to that horizon.

    A run that was extended to as many steps before goes on: that extension is completed.
    """
    old = load_resolved(folder.study)
    if message := next(_refusals(old), None):
        raise UserError(f"{old.name} can't be extended: {message}")
    assert isinstance(old, NetworkStudy)
    if steps < old.training.steps or (steps == old.training.steps and not former_steps(old, folder)):
        raise UserError(
            f"--steps {steps} is not more than the {old.training.steps} steps of {old.name}; allowed: more "
            "(phasemap relabel --at-step gives the map at an earlier step)"
        )
    if steps > LARGEST:
        raise UserError(f"--steps {steps} is not allowed; allowed: at most {LARGEST:.0e}")
    if missing := _missing(old, steps):
        raise UserError(
            f"--steps {steps}: such a training has records at step {', '.join(map(str, missing[:5]))}, which the run "
            f"of {old.training.steps} steps lacks; allowed: {_possible(old, steps)}"
        )
    study = load_study(folder.study, [f"training.steps={steps}"])
    return study.model_copy(update={"phases": study.phases.model_copy(update={"at_step": None})})


def _refusals(study: Study) -> Iterator[str]:
    """Say why no trial of a study can go on."""
    if not isinstance(study, NetworkStudy):
        yield "only a program itself knows how long it trains, and what depends on that"
    elif STEPS in study.axis_names:
        yield "steps is an axis of it; allowed: further values of that axis, and phasemap run"
    elif any(value == COSINE for name in SCHEDULES & set(study.declared) for _, value in values_of(study, name)):
        yield "a cosine schedule depends on the number of steps; allowed: schedules with steps and values"
    elif study.search.kind != "grid":
        yield f"which trials its search ({study.search.kind}) needs depends on the horizon; allowed: search.kind grid"
    elif STATE not in study.record:
        yield (
            "its record has no state, so the ends of its trainings were not kept; allowed: record: [state], and "
            "phasemap run --fresh"
        )


def _missing(study: NetworkStudy, steps: int) -> list[int]:
    """Return the steps up to the present horizon at which a longer training is recorded, and the present one is not."""
    from phasemap.training.states import missing_steps

    longer = with_horizon(study, steps)
    horizons = zip(_horizons(study), _horizons(longer), strict=True)
    return sorted({step for before, after in horizons for step in missing_steps(before, after, study.record)})


def _possible(study: NetworkStudy, steps: int) -> str:
    """Say to which horizon the run can be extended: one whose window begins after the present one, if any."""
    last = math.ceil(study.training.steps / (1 - WINDOW)) + 1
    if _missing(study, last):
        return "none, because record has ipr, which is measured at few steps"
    return f"{max(more for more in range(steps, last) if _missing(study, more)) + 1} or more"


def _horizons(study: NetworkStudy) -> list[int]:
    lengths = together(study, STEPS, "batch_size", "scale_to_batch")
    return [scaled_steps(*(value for _, value in values)) for values in lengths]
