"""The horizon as one more axis: the labels that the trials would have had, had they stopped earlier."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from phasemap.diagram.diagram import STEP
from phasemap.diagram.points import point_labels, point_table
from phasemap.phases.labelling import needed_of
from phasemap.phases.labels import phases, subphases
from phasemap.results.folder import RunFolder
from phasemap.results.labelled import merged_over_steps, recorded_steps
from phasemap.results.merge import curves_of, trial_frame
from phasemap.study.axes import Axis, AxisRange
from phasemap.study.errors import UserError
from phasemap.study.spec import Study
from phasemap.study.trials import grid_ids

MOST_STEPS, MOST_FACETS = 25, 12  # along an axis, and of panels


def with_steps(study: Study, folder: RunFolder, most: int = MOST_STEPS) -> tuple[Study, pd.DataFrame]:
    """Return a study with the axis ``step`` and its points; UserError if nothing was recorded.

    At each step they are those of the trials that were trained that far.
    """
    steps = chosen_steps(recorded_steps(folder, grid_ids(study)), most)
    if len(steps) < 2:
        raise UserError("step can't be an axis: nothing was recorded yet")
    source = AxisRange.model_construct(start=steps[0], stop=steps[-1], num=len(steps), scale="log")
    axis = Axis.model_construct(name=STEP, values=steps, source=source)
    tables = zip(steps, merged_over_steps(folder, study, steps), strict=True)
    rows = pa.concat_tables([rows.append_column(STEP, pa.repeat(step, len(rows))) for step, rows in tables])
    return study.model_copy(update={"axes": (*study.axes, axis)}), point_table(study, trial_frame(rows), steps)


def chosen_steps(recorded: Sequence[int], most: int = MOST_STEPS) -> tuple[int, ...]:
    """Choose at most so many of the rising steps, evenly on a log scale, the first and the last among them."""
    if not recorded:
        return ()
    wanted = np.geomspace(recorded[0], recorded[-1], most)
    return tuple(sorted({min(recorded, key=lambda step: abs(step - target)) for target in wanted}))


def labels_over_steps(study: Study, ids: Sequence[str], rows: pa.Table, steps: Sequence[int]) -> Iterator[pd.DataFrame]:
    """Yield the points' labels and the means of what is drawn over the steps, had the training ended at each step.

    One row a point: its labels, its frontiers' quantities, and those whose curves figures show.

    ``ids`` are those of the study's trials in its order. A trial whose training had ended before keeps what it had
    then. Cheaper than the whole table of points: without the step times and the other columns.
    """
    place = {trial_id: number for number, trial_id in enumerate(ids)}
    ok = rows.filter(pa.array([status == "ok" for status in rows["status"].to_pylist()], pa.bool_()))
    points = np.asarray([place[name] // len(study.seeds) for name in ok["trial_id"].to_pylist()], dtype=np.int64)
    quantities = needed_of(study.phases)[0]
    groups = curves_of(ok, *needed_of(study.phases))
    known = ok.select(list(study.recorded.facts)).to_pandas().assign(point=points)
    n_points = len(ids) // len(study.seeds)
    nothing = known.iloc[:0].assign(phase="", subphase="", **dict.fromkeys(quantities, np.nan))
    for step in steps:
        parts = [nothing]
        for members, curves in groups:
            if curves.steps[0] <= step:
                until = curves.until(step)
                subphase = subphases(until, study.phases)
                last = {name: until.values[name][:, -1] for name in quantities}
                part = known.iloc[members].assign(subphase=subphase, phase=phases(subphase, study.phases), **last)
                parts.append(part)
        frame = pd.concat(parts)
        means = frame.groupby("point")[list(quantities)].mean().reindex(range(n_points))
        yield means.reset_index(drop=True).assign(**point_labels(study, frame, n_points))
