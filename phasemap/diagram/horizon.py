"""The horizon as one more axis: the labels that the trials would have had, had they stopped earlier."""

from __future__ import annotations

import numpy as np
import pandas as pd

from phasemap.diagram.diagram import STEP
from phasemap.diagram.points import point_table
from phasemap.results.folder import RunFolder
from phasemap.results.labelled import labelled_rows, recorded_steps
from phasemap.results.merge import merge_rows, trial_frame
from phasemap.study.axes import Axis, AxisRange
from phasemap.study.problems import UserError
from phasemap.study.spec import Study
from phasemap.study.trials import grid_ids

MOST_STEPS = 25


def with_steps(study: Study, folder: RunFolder) -> tuple[Study, pd.DataFrame]:
    """Return a study with the axis ``step`` added, and its points; UserError if nothing was recorded.

    The shards are read once for every step, so that no more than the labels of one step are in memory.
    """
    recorded = recorded_steps(folder, grid_ids(study))
    if len(recorded) < 2:
        raise UserError("step can't be an axis: nothing was recorded yet")
    wanted = np.geomspace(recorded[0], recorded[-1], MOST_STEPS)
    steps = sorted({min(recorded, key=lambda step: abs(step - target)) for target in wanted})
    source = AxisRange.model_construct(start=steps[0], stop=steps[-1], num=len(steps), scale="log")
    axis = Axis.model_construct(name=STEP, values=tuple(steps), source=source)
    frames = [_points_at(study, folder, step).assign(step=step) for step in steps]
    points = pd.concat(frames).sort_index(kind="stable").reset_index(drop=True)
    return study.model_copy(update={"axes": (*study.axes, axis)}), points


def _points_at(study: Study, folder: RunFolder, step: int) -> pd.DataFrame:
    """Return the points of the trials that were trained that far."""
    rows = merge_rows(labelled_rows(folder, study.phases, step, reached=True))
    return point_table(study, trial_frame(rows))
