"""The horizon as one more axis: the labels that the trials would have had, had they stopped earlier."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa

from phasemap.diagram.diagram import STEP
from phasemap.diagram.points import point_table
from phasemap.results.merge import trial_table
from phasemap.study.axes import Axis, AxisRange
from phasemap.study.problems import UserError
from phasemap.study.spec import Study

MOST_STEPS = 25


def _at(rows: pa.Table, study: Study, step: int) -> pd.DataFrame:
    """Label the trials that were trained that far."""
    reached = [bool(recorded) and recorded[-1] >= step for recorded in rows["step"].to_pylist()]
    return trial_table(rows.filter(pa.array(reached, pa.bool_())), study.phases, at_step=step)


def with_steps(study: Study, rows: pa.Table) -> tuple[Study, pd.DataFrame]:
    """Return a study with the axis ``step`` added, and its points; UserError if nothing was recorded."""
    recorded = sorted({step for steps in rows["step"].to_pylist() for step in steps})
    if len(recorded) < 2:
        raise UserError("step can't be an axis: nothing was recorded yet")
    wanted = np.geomspace(recorded[0], recorded[-1], MOST_STEPS)
    steps = sorted({min(recorded, key=lambda step: abs(step - target)) for target in wanted})
    source = AxisRange.model_construct(start=steps[0], stop=steps[-1], num=len(steps), scale="log")
    axis = Axis.model_construct(name=STEP, values=tuple(steps), source=source)
    frames = [point_table(study, _at(rows, study, step)).assign(step=step) for step in steps]
    points = pd.concat(frames).sort_index(kind="stable").reset_index(drop=True)
    return study.model_copy(update={"axes": (*study.axes, axis)}), points
