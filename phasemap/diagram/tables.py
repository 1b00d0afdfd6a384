"""The derived tables of a run, made from its shards and its study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from phasemap.diagram.points import point_table
from phasemap.results.curves import write_curves
from phasemap.results.folder import RunFolder
from phasemap.results.inside import read_inside
from phasemap.results.labelled import merged_rows
from phasemap.results.merge import merge_rows, select_rows, trial_frame
from phasemap.results.schema import SWEEP, shard_schema
from phasemap.results.shards import read_shards
from phasemap.study.file import load_resolved
from phasemap.study.program_study import ProgramStudy
from phasemap.study.spec import Study
from phasemap.study.trials import grid_ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The merged records of a run, for the points of its study; the curves stay in the shards."""

    study: Study
    trials: pd.DataFrame
    points: pd.DataFrame


def derive(folder: RunFolder, study: Study | None = None) -> Tables:
    """Merge a run's shards and label them by the study's rule."""
    study = study or load_resolved(folder.study)
    trials = known_trials(study, folder)
    return Tables(study=study, trials=trials, points=point_table(study, trials))


def known_trials(study: Study, folder: RunFolder) -> pd.DataFrame:
    """Return a run's trials as its shards have them: those of the study's grid, then those of a sweep between its
    points, which was imported.
    """
    rows, on_grid = merged_rows(folder, study), grid_ids(study)
    trials = trial_frame(select_rows(rows, on_grid))
    if not isinstance(study, ProgramStudy):
        return trials
    imported = rows.filter(pc.starts_with(rows["pack_id"], SWEEP))
    others = trial_frame(imported.filter(pc.invert(pc.is_in(imported["trial_id"], pa.array(on_grid, pa.string())))))
    others = others[_of_study(study, others)] if len(others) else others
    return pd.concat([trials, others], ignore_index=True) if len(others) else trials


def _of_study(study: ProgramStudy, trials: pd.DataFrame) -> NDArray[np.bool_]:
    """Tell which trials (n,) differ from the study's in the values of numeric axes alone, so that they say something
    of its map.
    """
    fixed = study.settings()
    inside = np.ones(len(trials), dtype=bool)
    for axis in study.axes:
        if axis.categorical or len(axis.values) == 1:
            column = trials[axis.name]
            inside &= (column.isin(axis.values) | (column.isna() & (None in axis.values))).to_numpy()
    rows = trials[[*study.axis_names, "seed"]].astype(object)
    ids = [
        study.identity.trial_id({**fixed, **dict(zip(study.axis_names, point, strict=True))}, seed)
        for *point, seed in rows.where(rows.notna(), None).itertuples(index=False)
    ]
    return np.asarray(inside & (trials["trial_id"] == ids).to_numpy())


def study_rows(folder: RunFolder, study: Study) -> pa.Table:
    """Merge a run's shards into one row for each trial of a study, in the study's order, with its curves as lists."""
    return select_rows(merge_rows(read_shards(folder, schema=shard_schema(study))), grid_ids(study))


def write_tables(folder: RunFolder, tables: Tables, *, curves: bool) -> None:
    """Write trials and points, what was recorded inside the networks if anything was, and the curves if wanted."""
    _write(folder, folder.trials, _arrow(tables.trials))
    _write(folder, folder.points, _arrow(tables.points))
    if folder.fetch_all(folder.inside):
        _write(folder, folder.neurons, read_inside(folder, tables.trials))
    if curves:
        write_curves(folder, tables.trials["trial_id"].tolist(), shard_schema(tables.study))


def _arrow(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(frame, preserve_index=False)


def _write(folder: RunFolder, path: Path, table: Any) -> None:
    folder.write(path, lambda temporary: pq.write_table(table, temporary, compression="zstd"))
