"""Two runs beside each other, and where they differ: as data, drawn, and as one page without scripts."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from phasemap.diagram.compare import Comparison
from phasemap.diagram.diagram import first_panels, panel_rows
from phasemap.figures.captions import sentences, wrapped
from phasemap.figures.page import ASSETS, render
from phasemap.figures.panel import (
    ABOVE_LINES,
    FRAME,
    LINE_WIDTH,
    Size,
    draw_lines,
    draw_panel,
    fill_cells,
    inside_cell,
    label_handle,
    line_style,
    placed_names,
    set_up_axes,
)
from phasemap.figures.spec import FigureSpec, figure_spec
from phasemap.figures.static import FORMATS, check_format, write_figure
from phasemap.figures.style import add_legend, below_inches, font_size, in_style, shortened_inside, write_title
from phasemap.phases.marks import Mark, marks_of
from phasemap.results.folder import write_text, written
from phasemap.study.spec import PhaseRule

OF_A: dict[str, Any] = {"color": "#9a9a9a", "linewidth": 4.0, "zorder": 4, "solid_capstyle": "butt"}
OF_B: dict[str, Any] = {"color": "black", "linewidth": 1.2}
SAME, WITHIN, BEYOND, ALONE = "same label", "different label", "different label, beyond noise", "no label in A or B"
COLOURS = {SAME: "#e6e6e6", WITHIN: "#f5c9a2", BEYOND: "#d55e00", ALONE: "#ffffff"}
"""Each kind of difference and its colour."""
HATCHES = {ALONE: "////"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceSpec:
    """A figure of three columns, A, B and their difference, with a row a panel."""

    title: str
    subtitle: str
    names: tuple[str, str]
    a: FigureSpec
    b: FigureSpec
    marks: Mapping[str, Mark]  # of the labels of both
    kinds: tuple[NDArray[np.object_], ...]  # a panel's cells (ny, nx): a key of COLOURS
    letters: tuple[NDArray[np.object_], ...]  # (ny, nx): from which letter to which, or ""


def difference_spec(comparison: Comparison) -> DifferenceSpec:
    """Describe the picture of a comparison."""
    a, b = first_panels(comparison.diagram_a), first_panels(comparison.diagram_b)
    kind, letter = _cells(comparison)
    rows = [panel_rows(a.study, a.x, a.y, {**a.fixed, **panel.facet}) for panel in a.panels]
    return DifferenceSpec(
        title=f"A, {comparison.name_a}, and B, {comparison.name_b}: {comparison.verdict}",
        subtitle=sentences(comparison.reason, "; ".join(comparison.differences)),
        names=(f"A: {comparison.name_a}", f"B: {comparison.name_b}"),
        a=figure_spec(a),
        b=replace(figure_spec(b), marks=_marks(a.study.phases, b.study.phases)),
        marks=_marks(a.study.phases, b.study.phases),
        kinds=tuple(kind[row] for row in rows),
        letters=tuple(letter[row] for row in rows),
    )


def _cells(comparison: Comparison) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    """Return the kind of difference and the letters of every point of the aligned grid (P,)."""
    n = len(list(comparison.diagram_a.study.points()))
    marks = _marks(comparison.diagram_a.study.phases, comparison.diagram_b.study.phases)
    kind, letter = np.full(n, ALONE, dtype=object), np.full(n, "", dtype=object)
    for point, row in comparison.points.iterrows():
        number: Any = point
        a, b = marks[row["subphase_a"]].letter, marks[row["subphase_b"]].letter
        letter[number] = f"{a}→{b}" if row["changed"] else ""
        kind[number] = (BEYOND if row["beyond_noise"] else WITHIN) if row["changed"] else SAME
    return kind, letter


def _marks(a: PhaseRule, b: PhaseRule) -> dict[str, Mark]:
    """Return the marks of both runs' labels: A's where both have them."""
    return {**marks_of(a), **{name: mark for name, mark in marks_of(b).items() if name not in marks_of(a)}}


def draw_difference(spec: DifferenceSpec, *, tall: bool = False) -> Figure:
    """Draw the three maps beside each other with one legend; ``tall`` one below the other, for a phone."""
    n, nx, ny = len(spec.a.panels), len(spec.a.x.ticks), len(spec.a.y.edges) - 1
    width, height = min(max(0.3 * nx, 2.0), 3.6), min(max(0.3 * ny, 0.5), 3.2)
    size = (72 * width, 72 * height)
    with in_style(None, spec):
        handles = _handles(spec)
        rows, columns, page = (3 * n, 1, width + 1.0) if tall else (n, 3, None)
        high = rows * (height + 0.5) + (below_inches(page, len(handles)) if page else 1.3)
        wide = page or 3 * (width + 0.3) + 2.6
        figure = Figure(figsize=(wide, max(high, 0.22 * len(handles) + 1.0)), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for row, axes in enumerate(grid.reshape(n, 3)):
            for ax, one in zip(axes, (spec.a, spec.b), strict=False):
                draw_panel(ax, one, one.panels[row], size, placed_names(one, one.panels[row], size))
            _draw_cells(axes[2], spec, row, size)
            names = [shortened_inside(name, size[0], font_size()) for name in spec.names]
            for ax, name in zip(axes, (*names, "difference"), strict=True):
                ax.set_title("\n".join(filter(None, [name if row == 0 or tall else "", spec.a.panels[row].title])))
        for ax in grid[-1]:
            ax.set_xlabel(spec.a.x.label)
        for ax in grid[:, 0]:
            ax.set_ylabel(spec.a.y.label)
        write_title(figure, spec.title, spec.subtitle)
        add_legend(figure, handles, page)
    return figure


def _draw_cells(ax: Axes, spec: DifferenceSpec, row: int, size: Size) -> None:
    """Draw one panel of differences, with A's frontiers wide and light below B's, so that both are seen as one."""
    for kind, colour in COLOURS.items():
        cells = np.argwhere(spec.kinds[row] == kind)
        if len(cells):
            fill_cells(ax, spec.a, cells, facecolor=colour, hatch=HATCHES.get(kind, ""))
    letters = min(8.0, 0.33 * size[0] / len(spec.a.x.ticks), 0.33 * size[1] / (len(spec.a.y.edges) - 1))
    for j, i in np.argwhere(spec.letters[row] != ""):
        x, y = inside_cell(spec.a, j, i, 0.5)
        text = ax.text(x, y, spec.letters[row][j, i], ha="center", va="center", fontsize=letters, zorder=ABOVE_LINES)
        text.set_path_effects([withStroke(linewidth=1.8, foreground=COLOURS[spec.kinds[row][j, i]])])
    draw_lines(ax, spec.a, spec.a.panels[row], OF_A)
    draw_lines(ax, spec.b, spec.b.panels[row], OF_B)
    set_up_axes(ax, spec.a, size)


def _handles(spec: DifferenceSpec) -> list[Any]:
    """List the labels of both runs, the kinds of difference with counts, and the lines."""
    names = {entry.mark.name for one in (spec.a, spec.b) for entry in one.legend}
    handles: list[Any] = [label_handle(mark) for name, mark in spec.marks.items() if name in names]
    counts = Counter(kind for cells in spec.kinds for kind in cells.ravel().tolist())
    handles += [
        Patch(
            facecolor=colour,
            edgecolor=FRAME,
            linewidth=0.4,
            hatch=HATCHES.get(kind, ""),
            label=f"{kind} ({counts[kind]})",
        )
        for kind, colour in COLOURS.items()
        if counts[kind]
    ]
    looks = {frontier[0]: frontier for one in (spec.b, spec.a) for frontier in one.frontiers}
    for _, meaning, style in looks.values():
        look: dict[str, Any] = {"color": "black", "linewidth": LINE_WIDTH, "linestyle": line_style(style)}
        handles.append(Line2D([], [], label=wrapped(meaning, 24), **look))
    if spec.a.frontiers:
        words = "wide, grey: those of A,\nbehind those of B"
        handles.append(Line2D([], [], color=OF_A["color"], linewidth=OF_A["linewidth"], label=words))
    return handles


def save_difference(comparison: Comparison, path: Path, *, tall: bool = False) -> None:
    """Write a comparison as html, or its picture as png, svg or pdf, by the file's ending."""
    check_format(path, (".html", *FORMATS))
    if path.suffix.lower() == ".html":
        with written(path):
            write_text(path, difference_page(comparison))
        return
    spec = difference_spec(comparison)
    with in_style():
        write_figure(draw_difference(spec, tall=tall), path, spec.title, f"{spec.a.source}; {spec.b.source}")


def difference_page(comparison: Comparison) -> str:
    """Return the page's text."""
    facts = [
        f"{comparison.n_points} points compared; {comparison.n_only_a} only in A, {comparison.n_only_b} only in B",
        *(f"{level}: agreement {t.agreement:.1%}, kappa {t.kappa:.3g}" for level, t in comparison.transitions.items()),
        *comparison.differences,
    ]
    changed = comparison.points[comparison.points["changed"]]
    tables = [
        *(_table(f"{level}: A down, B to the right", t.counts) for level, t in comparison.transitions.items()),
        _table("Points with a different label", changed),
        _table("Shift of the frontiers, B - A, with 95 % intervals", comparison.shifts, comparison.shift_words),
    ]
    return render(
        ASSETS / "difference.html",
        title=f"A: {comparison.name_a}, B: {comparison.name_b}: {comparison.verdict}",
        reason=comparison.reason,
        facts=facts,
        picture=base64.b64encode(_png(comparison)).decode(),
        tables=tables,
    )


def _png(comparison: Comparison) -> bytes:
    with in_style(), io.BytesIO() as file:
        draw_difference(difference_spec(comparison)).savefig(file, format="png")
        return file.getvalue()


def _table(title: str, frame: pd.DataFrame, note: str = "") -> tuple[str, str, Markup]:
    if frame.empty:
        return title, "", Markup("<p>none</p>")
    return title, note, Markup(frame.to_html(border=0, float_format="{:.4g}".format, escape=True))
