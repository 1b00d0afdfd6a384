"""What is sent of a run, as bytes: tables page by page, curves, the page's map, pictures and files."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.compute as pc

from phasemap.bundle import write_bundle
from phasemap.diagram.diagram import first_panels, make_diagram
from phasemap.figures import FigureRequest
from phasemap.figures.page import report_html
from phasemap.figures.report import SMALL_TRIALS, report_payload
from phasemap.figures.small import scatter_thumbnail, thumbnail_svg
from phasemap.results.curves import curve_columns
from phasemap.results.encoding import json_text, records
from phasemap.results.provenance import read_provenance
from phasemap.results.schema import shard_schema
from phasemap.results.shards import reread_if_replaced, shard_files, shard_pieces
from phasemap.runs import Run
from phasemap.serving.store import Snapshot
from phasemap.study.errors import UnknownTrialError

MOST_FAILURES = 50


def table_page(name: str, stamp: str, frame: pd.DataFrame, offset: int, limit: int) -> bytes:
    """Return some rows of a table with the number of all; numbers that are not known are null."""
    rows = frame.iloc[offset : offset + limit].to_json(orient="records", double_precision=15)
    head = {"run": name, "version": stamp, "n_rows": len(frame), "offset": offset, "limit": limit}
    return f'{json_text(head)[:-1]}, "rows": {rows}}}'.encode()


def chosen_trials(trials: pd.DataFrame, status: str | None, phase: str | None) -> pd.DataFrame:
    """Return the trials of a status or with a label."""
    if status is not None:
        trials = trials[trials["status"] == status]
    if phase is not None:
        trials = trials[(trials["phase"] == phase) | (trials["subphase"] == phase)]
    return trials


def failures(trials: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the first trials that failed, with their errors."""
    failed = trials[trials["status"] == "failed"].head(MOST_FAILURES)
    return records(failed[["trial_id", "seed", "error"]])


def curve(snapshot: Snapshot, trial_id: str) -> bytes:
    """Return every quantity of a trial over its recorded steps; UnknownTrialError if it has none."""
    found = snapshot.trials[snapshot.trials["trial_id"] == trial_id]
    if found.empty:
        raise UnknownTrialError(f"the run {snapshot.study.name} has no results of a trial {trial_id}")
    row = reread_if_replaced(lambda: _curve_row(snapshot, trial_id, found.iloc[0]["pack_id"]))
    content = {
        "trial_id": trial_id,
        "status": row["status"],
        "step": row["step"],
        "quantities": {name: row[name] for name in snapshot.study.recorded.quantities},
    }
    return json_text(content).encode()


def _curve_row(snapshot: Snapshot, trial_id: str, pack_id: str) -> Mapping[str, Any]:
    """Find the row that a merge kept: in its pack's shard, or in a file that took that shard's place."""
    own, schema = snapshot.folder.shard(pack_id), shard_schema(snapshot.study)
    for path in [own] if own.exists() else shard_files(snapshot.folder):
        for piece in shard_pieces(path, [*curve_columns(schema), "pack_id"], schema=schema):
            mine = pc.and_(pc.equal(piece["trial_id"], trial_id), pc.equal(piece["pack_id"], pack_id))
            rows = piece.filter(mine)
            if len(rows):
                row: Mapping[str, Any] = rows.slice(0, 1).to_pylist()[0]
                return row
    raise UnknownTrialError(f"the curve of trial {trial_id} is not there any more")


def map_content(snapshot: Snapshot, *, running: bool) -> bytes:
    """Return what the page draws a run from: a report's content.

    Of a run that is under way or very large without what a report has of earlier steps, and without curves: the page
    asks for those of the trials that it shows.
    """
    executions = read_provenance(snapshot.folder)
    if running or len(snapshot.trials) > SMALL_TRIALS:
        content = report_payload(snapshot.tables, None, executions)
        content["card"]["claims"] = None  # they are tested at the end
    else:
        run = snapshot.run()
        content = run.report_content()
    return json_text(content, compact=True).encode()


def thumbnail(snapshot: Snapshot) -> bytes:
    """Return a run's map as a small picture."""
    if snapshot.study.scattered:
        return scatter_thumbnail(snapshot.study, snapshot.points).encode()
    diagram = first_panels(make_diagram(snapshot.study, snapshot.points))
    return thumbnail_svg(diagram).encode()


def report_file(run: Run) -> bytes:
    """Return a run's report, one HTML file."""
    return report_html(run.report_content()).encode()


def picture(run: Run, figure: FigureRequest, ending: str) -> bytes:
    """Draw a figure as png, svg or pdf, or return it as JSON."""
    from phasemap.figures.static import save_figure

    spec = run.requested(figure)
    if ending == "json":
        return json_text(spec).encode()
    return _written(f"figure.{ending}", partial(save_figure, spec))


def difference_picture(a: Run, b: Run, ending: str, *, tall: bool = False) -> bytes:
    """Draw two runs beside each other, and where they differ; ``tall`` one below the other."""
    from phasemap.figures.difference import save_difference

    return _written(f"difference.{ending}", partial(save_difference, a.diff(b), tall=tall))


def bundle_file(run: Run, folder: Path) -> Path:
    """Write a run's bundle into a temporary folder, and return its path."""
    target = folder / f"{run.study.name}.zip"
    write_bundle(run, target)
    return target


def _written(name: str, write: Callable[[Path], object]) -> bytes:
    """Return what is written into a file."""
    with tempfile.TemporaryDirectory(prefix="phasemap-") as folder:
        path = Path(folder) / name
        write(path)
        return path.read_bytes()
