"""A page for a run whose points lie on no grid: its pictures and counts in one HTML file."""

from __future__ import annotations

import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from phasemap.figures.scatter import draw_scatter, scatter_spec
from phasemap.figures.style import in_style
from phasemap.results.folder import write_text, written
from phasemap.study.spec import Study

MOST_MAPS = 8  # quantities that have a picture
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "svg{max-width:100%;height:auto}table{border-collapse:collapse}td,th{padding:.2rem .8rem;text-align:left}"
    "@media(prefers-color-scheme:dark){body{background:#fff}}"
)


def write_scatter_page(
    study: Study, trials: pd.DataFrame, points: pd.DataFrame, claims: Iterable[tuple[str, str]], path: Path
) -> None:
    """Write the page, whole or not at all; ``claims`` are texts with their verdicts."""
    quantities = [name for name in study.recorded.quantities if points[name].notna().any()]
    metrics = [*(["subphase"] if study.phases.labels else []), *quantities[:MOST_MAPS]]
    parts = [
        f"<h1>{html.escape(study.name)}</h1>",
        f"<p>{html.escape(study.question)}</p>" if study.question else "",
        f"<p>{len(trials)} trials at {len(points)} points on no grid, each drawn where it was measured.</p>",
        *(_picture(study, points, metric) for metric in metrics),
        _table("Trials", [(str(name), str(count)) for name, count in trials["status"].value_counts().items()]),
        _table("Labels", [(str(name), str(count)) for name, count in trials["subphase"].value_counts().items()]),
        _table("Claims", list(claims)),
    ]
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f'<meta name="viewport" content="width=device-width"><title>{html.escape(study.name)}: phase diagram</title>'
        f"<style>{STYLE}</style>"
    )
    with written(path):
        write_text(path, f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n')


def _picture(study: Study, points: pd.DataFrame, metric: str) -> str:
    buffer = io.StringIO()
    with in_style(None):
        draw_scatter(scatter_spec(study, points, metric=metric)).savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return f"<h2>{html.escape(metric.replace('_', ' '))}</h2>{text[text.index('<svg') :]}"


def _table(title: str, rows: Sequence[tuple[str, str]]) -> str:
    if not rows:
        return ""
    cells = "".join(f"<tr><td>{html.escape(left)}</td><td>{html.escape(right)}</td></tr>" for left, right in rows)
    return f"<h2>{title}</h2><table>{cells}</table>"
