"""A page for a run whose points lie on no grid: its pictures and counts in one HTML file."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from phasemap.figures.page import ASSETS, render
from phasemap.figures.scatter import draw_scatter, scatter_spec
from phasemap.figures.style import in_style
from phasemap.results.folder import write_text, written
from phasemap.study.spec import Study

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
        pictures=[(metric.replace("_", " "), _picture(study, points, metric)) for metric in metrics],
        tables=[*tables, ("Claims", list(claims))],
    )
    with written(path):
        write_text(path, text)


def _picture(study: Study, points: pd.DataFrame, metric: str) -> str:
    buffer = io.StringIO()
    with in_style(None):
        draw_scatter(scatter_spec(study, points, metric=metric)).savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
