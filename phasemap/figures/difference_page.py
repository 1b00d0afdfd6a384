"""A comparison as one self-contained HTML page: its tables and its picture, without scripts and outside requests."""

from __future__ import annotations

import base64
import io
from html import escape
from pathlib import Path

import pandas as pd

from phasemap.diagram.compare import Comparison
from phasemap.figures.difference import difference_spec, draw_difference
from phasemap.figures.static import FORMATS, check_format, write_figure
from phasemap.figures.style import in_style
from phasemap.results.folder import write_text
from phasemap.study.problems import UnreachableError

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; color: #222; }}
table {{ border-collapse: collapse; margin: .5rem 0 1.5rem; }}
th, td {{ border: 1px solid #ccc; padding: .15rem .6rem; text-align: right; font-variant-numeric: tabular-nums; }}
img {{ max-width: 100%; }}
</style></head><body>
<h1>{title}</h1>
<p>{reason}</p>
<ul>{facts}</ul>
<img alt="both phase diagrams and their difference" src="data:image/png;base64,{picture}">
{tables}
</body></html>
"""


def save_difference(found: Comparison, path: Path) -> None:
    """Write a comparison as html, or its picture as png, svg or pdf, by the file's ending."""
    check_format(path, (".html", *FORMATS))
    if path.suffix.lower() == ".html":
        try:
            write_text(path, difference_page(found))
        except OSError as error:
            raise UnreachableError(f"{path} can't be written: {error.strerror}") from None
        return
    spec = difference_spec(found)
    with in_style():
        write_figure(draw_difference(spec), path, spec.title, f"{spec.a.source}; {spec.b.source}")


def difference_page(found: Comparison) -> str:
    """Return the page's text."""
    facts = [
        f"{found.n_points} points compared; {found.n_only_a} only in A, {found.n_only_b} only in B",
        *(f"{level}: agreement {t.agreement:.1%}, kappa {t.kappa:.3g}" for level, t in found.transitions.items()),
        *found.differences,
    ]
    changed = found.points[found.points["changed"]]
    tables = [
        *(_table(f"{level}: A down, B to the right", t.counts) for level, t in found.transitions.items()),
        _table("Points with another label", changed),
        _table("Shift of the frontiers, B - A, with 95 % intervals", found.shifts, found.shift_words),
    ]
    return PAGE.format(
        title=escape(f"A: {found.name_a}, B: {found.name_b}: {found.verdict}"),
        reason=escape(found.reason),
        facts="".join(f"<li>{escape(fact)}</li>" for fact in facts),
        picture=base64.b64encode(_png(found)).decode(),
        tables="\n".join(tables),
    )


def _png(found: Comparison) -> bytes:
    with in_style(), io.BytesIO() as file:
        draw_difference(difference_spec(found)).savefig(file, format="png")
        return file.getvalue()


def _table(title: str, frame: pd.DataFrame, note: str = "") -> str:
    if frame.empty:
        return f"<h2>{escape(title)}</h2><p>none</p>"
    said = f"<p>{escape(note)}</p>" if note else ""
    return f"<h2>{escape(title)}</h2>{said}{frame.to_html(border=0, float_format='{:.4g}'.format, escape=True)}"
