"""Two runs beside each other, and where they differ: as data, then drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from phasemap.diagram.compare import Comparison
from phasemap.diagram.diagram import first_panels, panel_rows
from phasemap.figures.around import add_legend, write_title
from phasemap.figures.panel import (
    FRAME,
    STRIP_EDGES,
    draw_panel,
    fill_cells,
    frontier_handles,
    inside,
    label_handle,
    set_up_axes,
)
from phasemap.figures.spec import FigureSpec, figure_spec
from phasemap.figures.style import in_style
from phasemap.phases.marks import Mark, marks_of
from phasemap.study.spec import PhaseRule

SAME, WITHIN, BEYOND, ALONE = "same label", "another label", "another label, beyond noise", "in one run only"
COLOURS = {SAME: "#e6e6e6", WITHIN: "#f5c9a2", BEYOND: "#d55e00", ALONE: "#ffffff"}
"""Each kind of difference and its colour."""


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


def difference_spec(found: Comparison) -> DifferenceSpec:
    """Describe the picture of a comparison."""
    a, b = first_panels(found.diagram_a), first_panels(found.diagram_b)
    kind, letter = _cells(found)
    rows = [panel_rows(a.study, a.x, a.y, {**a.fixed, **panel.facet}) for panel in a.panels]
    return DifferenceSpec(
        title=f"A: {found.name_a}, B: {found.name_b}: {found.verdict}",
        subtitle="; ".join([*found.differences, found.reason]),
        names=(f"A: {found.name_a}", f"B: {found.name_b}"),
        a=figure_spec(a),
        b=replace(figure_spec(b), marks=_marks(a.study.phases, b.study.phases)),
        marks=_marks(a.study.phases, b.study.phases),
        kinds=tuple(kind[row] for row in rows),
        letters=tuple(letter[row] for row in rows),
    )


def _cells(found: Comparison) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    """Return the kind of difference and the letters of every point of the aligned grid (P,)."""
    n = len(list(found.diagram_a.study.points()))
    marks = _marks(found.diagram_a.study.phases, found.diagram_b.study.phases)
    kind, letter = np.full(n, ALONE, dtype=object), np.full(n, "", dtype=object)
    for point, row in found.points.iterrows():
        place: Any = point
        a, b = marks[row["subphase_a"]].letter, marks[row["subphase_b"]].letter
        letter[place] = f"{a}→{b}" if row["changed"] else ""
        kind[place] = (BEYOND if row["beyond_noise"] else WITHIN) if row["changed"] else SAME
    return kind, letter


def _marks(a: PhaseRule, b: PhaseRule) -> dict[str, Mark]:
    """Return the marks of both runs' labels: A's where both have them."""
    return {**marks_of(a), **{name: mark for name, mark in marks_of(b).items() if name not in marks_of(a)}}


def draw_difference(spec: DifferenceSpec) -> Figure:
    """Draw the three columns with one legend."""
    n, nx, ny = len(spec.a.panels), len(spec.a.x.ticks), len(spec.a.y.ticks) if spec.a.y else 1
    width, height = min(max(0.3 * nx, 2.0), 3.6), min(max(0.3 * ny, 0.5), 3.2)
    cell = (72 * width / nx, 72 * height / ny)
    with in_style():
        handles = _handles(spec)
        tall = max(n * (height + 0.5) + 1.3, 0.22 * len(handles) + 1.0)
        figure = Figure(figsize=(3 * (width + 0.3) + 2.6, tall), layout="constrained")
        grid = figure.subplots(n, 3, squeeze=False, sharex=True, sharey=True)
        for row, axes in enumerate(grid):
            draw_panel(axes[0], spec.a, spec.a.panels[row], cell)
            draw_panel(axes[1], spec.b, spec.b.panels[row], cell)
            _draw_cells(axes[2], spec, row, cell)
            for ax, name in zip(axes, (*spec.names, "difference"), strict=True):
                ax.set_title("\n".join(filter(None, [name if row == 0 else "", spec.a.panels[row].title])))
                ax.set_xlabel(spec.a.x.label if row == n - 1 else "")
            axes[0].set_ylabel(spec.a.y.label if spec.a.y else "")
        write_title(figure, spec.title, spec.subtitle)
        add_legend(figure, handles, None)
    return figure


def _draw_cells(ax: Axes, spec: DifferenceSpec, row: int, cell: tuple[float, float]) -> None:
    """Draw one panel of differences, with A's frontiers thin and grey below B's."""
    x, y = spec.a.x, spec.a.y
    y_edges, y_scale = (y.edges, y.scale) if y else (STRIP_EDGES, "ordinal")
    for kind, colour in COLOURS.items():
        cells = np.argwhere(spec.kinds[row] == kind)
        if len(cells):
            fill_cells(ax, x.edges, y_edges, cells, facecolor=colour, hatch="////" if kind == ALONE else "")
    size = min(8.0, 0.33 * min(cell))
    for j, i in np.argwhere(spec.letters[row] != ""):
        place = inside(x.scale, x.edges[i : i + 2], 0.5), inside(y_scale, y_edges[j : j + 2], 0.5)
        ax.text(*place, spec.letters[row][j, i], ha="center", va="center", fontsize=size, zorder=6)
    for one, colour, line_width in ((spec.a, "#666666", 1.0), (spec.b, "black", 1.8)):
        for line in one.panels[row].lines:
            style = next(style for kind, _, style in one.frontiers if kind == line.kind)
            ax.plot(*line.points.T, color=colour, linewidth=line_width, linestyle=style)
    set_up_axes(ax, spec.a, "", cell)


def _handles(spec: DifferenceSpec) -> list[Any]:
    """List the labels of both runs, the kinds of difference with counts, and the lines."""
    names = {entry.mark.name for one in (spec.a, spec.b) for entry in one.legend}
    handles: list[Any] = [label_handle(mark) for name, mark in spec.marks.items() if name in names]
    counts = Counter(kind for cells in spec.kinds for kind in cells.ravel().tolist())
    handles += [
        Patch(facecolor=colour, edgecolor=FRAME, linewidth=0.4, label=f"{kind} ({counts[kind]})")
        for kind, colour in COLOURS.items()
        if counts[kind]
    ]
    frontiers = {frontier[0]: frontier for one in (spec.b, spec.a) for frontier in one.frontiers}
    handles += frontier_handles(frontiers.values())
    if spec.a.frontiers:
        handles.append(Line2D([], [], color="#666666", linewidth=1.0, label="thin: those of A"))
    return handles
