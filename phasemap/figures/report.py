"""The content of a report, as its page reads it; and the page of a run whose points lie on no grid."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from phasemap._version import __version__
from phasemap.diagram.claims import ClaimResult
from phasemap.diagram.coordinates import Coordinates, show_value
from phasemap.diagram.diagram import MOST_PANELS, Panel
from phasemap.diagram.frontier import LOSES, UNDETERMINED, WINS, map_frontiers
from phasemap.diagram.horizon import chosen_steps, labels_over_steps
from phasemap.diagram.points import mean_columns
from phasemap.diagram.tables import Tables
from phasemap.figures.captions import Horizons, horizons_of, label_words, setting_words
from phasemap.figures.curves import KINDS
from phasemap.figures.page import ASSETS, LEVELS, NONE, ZERO, packed, render, scale_for, scale_of
from phasemap.figures.report_parts import GRID, frontier_bands, frontier_lines, study_card, trial_curves, trial_rows
from phasemap.figures.spec import LABEL_METRICS, NOTES, cell_marks, first_metric, frontier_looks
from phasemap.phases.built_in import VERDICT_WORDS, WINS_COLUMN, column_kinds, shown_quantities
from phasemap.phases.marks import UNLABELLED_MARKS, marks_of
from phasemap.phases.strokes import quantity_strokes, readable, time_strokes
from phasemap.results.folder import write_text, written
from phasemap.results.merge import steps_in
from phasemap.results.provenance import Execution
from phasemap.study.axes import Axis
from phasemap.study.conditions import Kind
from phasemap.study.rule_file import rule_of
from phasemap.study.spec import PhaseRule, Study
from phasemap.study.trials import grid_ids

SMALL_TRIALS, SMALL_BYTES, MOST_BYTES = 2_000, 2_000_000, 5_000_000
PAGE_BYTES = 120_000  # kept free for the page around the data
VERDICTS = (WINS, LOSES, UNDETERMINED)
UNKNOWN = 255
UNLABELLED = "unlabelled"  # the mark of a trial that ended, but whose label can't be told


def report_payload(
    tables: Tables, rows: pa.Table | None, executions: Sequence[Execution] = (), claims: Sequence[ClaimResult] = ()
) -> dict[str, Any]:
    """Return the content of a run's report, to be written as JSON.

    ``rows`` are the trials with their curves as lists, as ``study_rows`` gives them; without them there is no more than
    the last step.
    Points and trials stand in the order of the axes' values in the picture, the last axis fastest; a trial's number is
    point x seeds + seed. At most 2 MB up to 2,000 trials, else 5 MB: curves are thinned to fit, and it says so.
    """
    study = tables.study
    order = picture_order(study)
    in_study = grid_ids(study)
    ids = np.asarray(in_study).reshape(len(order), -1)[order].ravel().tolist()
    horizon = tables.trials["horizon"].max()
    recorded = [] if rows is None else steps_in(rows)
    steps = chosen_steps([step for step in recorded if pd.isna(horizon) or step <= horizon])
    frames = [tables.points]
    if rows is not None:
        frames = [*labels_over_steps(study, in_study, rows, steps[:-1]), *frames]
    kinds = {name: study.recorded.quantities[name] for name in shown_quantities(study.recorded)}
    times = time_strokes(name for name, _ in rule_of(study.phases).times)
    looks = [{"label": words, "style": style} for _, words, style in frontier_looks(map_frontiers(study))]
    content = {
        "name": study.name,
        "question": study.question,
        "setting": ", ".join([*setting_words(study, {}), label_words(study, horizons_of(tables.trials))]),
        "made_by": f"phasemap {__version__}",
        "axes": [_axis(axis) for axis in study.axes],
        "seeds": list(study.seeds),
        "searched": study.search.kind != "grid",
        "marks": _marks(study.phases),
        "ramp": [mpl.colors.to_hex(mpl.colormaps["viridis"](share)) for share in np.linspace(0, 1, 17)],
        "steps": list(steps) or [0],
        "labels": packed(np.stack([_marks_at(study, frame, tables.points)[order] for frame in frames])),
        "points": _points(study, tables.points, order),
        "page": _page(study),
        "frontiers": {"kinds": looks, "grid": GRID, **frontier_lines(study, frames)},
        "bands": frontier_bands(study, tables.points, tables.trials, len(frames) - 1),
        "strokes": _strokes(study, kinds),
        "step_times": [{"name": name, "letter": letter, "label": stroke.label, "style": stroke.style}
                       for name, (letter, stroke) in times.items()],
        "trials": trial_rows(tables, ids, list(times)),
        "card": study_card(tables, executions, claims),
    }  # fmt: skip
    return content | {"curves": trial_curves(rows, kinds, ids, _room(len(ids), content))}


def picture_order(study: Study) -> NDArray[np.int64]:
    """Return the rows of the table of points in the order of the picture, in which numbers rise along each axis."""
    sizes = [len(axis.values) for axis in study.axes]
    rows = np.arange(int(np.prod(sizes))).reshape(sizes)
    for number, axis in enumerate(study.axes):
        rows = rows.take([axis.values.index(value) for value in Coordinates(axis).values], axis=number)
    return rows.ravel()


def _room(n_trials: int, content: Mapping[str, Any]) -> int:
    """Return the bytes that are left for the curves."""
    most = SMALL_BYTES if n_trials <= SMALL_TRIALS else MOST_BYTES
    return most - PAGE_BYTES - len(json.dumps(content))


def _axis(axis: Axis) -> dict[str, Any]:
    """Return an axis with its cells' borders and middles as shares of its length."""
    coordinates = Coordinates(axis)
    low, high = coordinates.edges[0], coordinates.edges[-1]
    return {
        "name": axis.name,
        "label": readable(axis.name),
        "values": [show_value(value) for value in coordinates.values],
        "edges": [round(float(share), 6) for share in (coordinates.edges - low) / (high - low)],
        "middles": [round(float(share), 6) for share in (coordinates.positions - low) / (high - low)],
    }


def _marks(rule: PhaseRule) -> list[dict[str, Any]]:
    """Return every mark with the number of that of its phase."""
    marks = marks_of(rule)
    names = list(marks)
    return [
        {
            "name": name,
            "title": mark.title,
            "letter": mark.letter,
            "colour": mark.colour,
            "ink": mark.ink,
            "hatch": mark.hatch[:1],
            "phase": names.index(rule.phase_of.get(name, name)),
            "status": name if name in UNLABELLED_MARKS and name != UNLABELLED else "ok",
        }
        for name, mark in marks.items()
    ]


def _strokes(study: Study, kinds: Mapping[str, Kind]) -> dict[str, dict[str, str]]:
    """Return the line of each quantity whose curves are kept."""
    looks = {name: stroke for name, stroke in quantity_strokes(study.recorded.quantities).items() if name in kinds}
    return {
        name: {"label": stroke.label, "colour": stroke.colour, "style": stroke.style, "kind": kinds[name]}
        for name, stroke in looks.items()
    }


def _page(study: Study) -> dict[str, Any]:
    """Return the words and numbers that the page's scripts need."""
    return {
        "labels": list(LABEL_METRICS) if study.phases.labels else [],
        "first": first_metric(study),
        "kinds": KINDS,
        "notes": NOTES,
        "most_panels": MOST_PANELS,
        "codes": {"none": NONE, "zero": ZERO, "levels": LEVELS},
        "verdicts": VERDICT_WORDS if any(frontier.tested for frontier in map_frontiers(study)) else {},
    }


def _marks_at(study: Study, frame: pd.DataFrame, points: pd.DataFrame) -> NDArray[np.uint8]:
    """Return the number of each point's mark at a step; which trials failed or diverged is known of the end only."""
    grid = {name: frame[name].to_numpy() for name in ("subphase", "n_seeds")}
    grid |= {name: points[name].to_numpy() for name in ("n_failed", "n_diverged")}
    grid["inferred"] = frame["inferred"].to_numpy() if "inferred" in frame else np.zeros(len(frame), dtype=bool)
    names = {name: number for number, name in enumerate(marks_of(study.phases))}
    return np.asarray([names[name] for name in cell_marks(Panel(facet={}, grid=grid), "subphase")], dtype=np.uint8)


def _points(study: Study, points: pd.DataFrame, order: NDArray[np.int64]) -> dict[str, Any]:
    """Return the other columns of the table of points: counts of seeds, agreement, and quantities with their spread."""
    rows = points.iloc[order]
    counts = rows[["n_seeds", "n_failed", "n_diverged"]].to_numpy().T.astype(np.uint16)
    wins = np.full(len(rows), UNKNOWN, dtype=np.uint8)
    if WINS_COLUMN in rows:
        codes = {word: code for code, word in enumerate(VERDICTS)}
        wins = rows[WINS_COLUMN].map(codes).fillna(UNKNOWN).to_numpy(dtype=np.uint8)
    kinds = column_kinds(study)
    always = first_metric(study)  # is shown before it has any value, and where no trial came to one
    means = [name for name in mean_columns(study) if name == always or rows[name].notna().any()]
    shares = rows[["agreement", "confidence"]].to_numpy(dtype=float).T
    share_scale = scale_for(np.asarray([0.0, 1.0]))
    return {
        "counts": packed(counts),
        "wins": packed(wins),
        "verdicts": list(VERDICTS),
        "inferred": packed(rows["inferred"].to_numpy(dtype=np.uint8)),
        "shares": packed(share_scale.encode(shares)),  # agreement, confidence
        "quantities": [_quantity(rows, name, kinds.get(name, "number")) for name in means],
    }


def _quantity(rows: pd.DataFrame, name: str, kind: Kind) -> dict[str, Any]:
    mean, spread = (rows[column].to_numpy(dtype=float) for column in (name, f"{name}_std"))
    scale = scale_of(kind, mean)
    spread_scale = scale_for(spread)
    return {
        "name": name,
        "label": readable(name),
        "scale": scale.content(),
        "codes": packed(scale.encode(mean)),
        "spread_scale": spread_scale.content(),
        "spread_codes": packed(spread_scale.encode(spread)),
    }


MOST_MAPS = 8  # quantities that have a picture


def write_scatter_page(
    study: Study, trials: pd.DataFrame, points: pd.DataFrame, claims: Iterable[tuple[str, str]], path: Path
) -> None:
    """Write the page, whole or not at all; ``claims`` are texts with their verdicts."""
    quantities = [name for name in study.recorded.quantities if points[name].notna().any()]
    metrics = [*(["subphase"] if study.phases.labels else []), *quantities[:MOST_MAPS]]
    counts = {"Trials": trials["status"], "Labels": trials["subphase"]}
    tables = [(name, list(column.value_counts().items())) for name, column in counts.items()]
    text = render(
        ASSETS / "scatter.html",
        name=study.name,
        question=study.question,
        n_trials=len(trials),
        n_points=len(points),
        pictures=[(name.replace("_", " "), _picture(study, points, name, horizons_of(trials))) for name in metrics],
        tables=[*tables, ("Claims", list(claims))],
    )
    with written(path):
        write_text(path, text)


def _picture(study: Study, points: pd.DataFrame, metric: str, horizons: Horizons | None) -> str:
    from phasemap.figures.scatter import draw_scatter, scatter_spec  # matplotlib's axes, which no other report needs
    from phasemap.figures.style import in_style

    buffer = io.StringIO()
    with in_style(None):
        spec = scatter_spec(study, points, metric=metric, horizons=horizons)
        draw_scatter(spec).savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
