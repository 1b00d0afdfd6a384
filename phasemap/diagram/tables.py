"""The derived tables of a run, made from its shards and its study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from phasemap.diagram.points import point_table
from phasemap.results.folder import RunFolder, write_whole
from phasemap.results.inside import read_inside
from phasemap.results.merge import curve_table, merge_rows, select_rows, trial_table
from phasemap.results.shards import read_shards
from phasemap.study.file import load_resolved
from phasemap.study.spec import Study
from phasemap.study.trials import expand


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The merged records of a run, for the points of its study."""

    study: Study
    trials: pd.DataFrame
    points: pd.DataFrame
    rows: pa.Table  # one row a trial, with its curves as lists


def derive(folder: RunFolder, study: Study | None = None, at_step: int | None = None) -> Tables:
    """Merge a run's shards and label them by the study's rule, at the horizon or at an earlier step."""
    study = study or load_resolved(folder.study)
    rows = study_rows(folder, study)
    trials = trial_table(rows, study.phases, at_step)
    return Tables(study=study, trials=trials, points=point_table(study, trials), rows=rows)


def study_rows(folder: RunFolder, study: Study) -> pa.Table:
    """Merge a run's shards into one row for each trial of a study, in the study's order."""
    return select_rows(merge_rows(read_shards(folder)), [trial.trial_id for trial in expand(study)])


def write_tables(folder: RunFolder, tables: Tables) -> None:
    """Write trials, curves and points, and what was recorded inside the networks if anything was, each whole."""
    for path, table in (
        (folder.trials, _arrow(tables.trials)),
        (folder.curves, curve_table(tables.rows)),
        (folder.points, _arrow(tables.points)),
    ):
        _write(path, table)
    if folder.inside.is_dir():
        _write(folder.neurons, read_inside(folder, tables.trials))


def _arrow(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(frame, preserve_index=False)


def _write(path: Path, table: Any) -> None:
    write_whole(path, lambda temporary: pq.write_table(table, temporary, compression="zstd"))
