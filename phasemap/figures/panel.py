"""Draw one map of a phase diagram: its cells, bands and frontiers, and the legend's entries."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path as Outline
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from phasemap.diagram.frontier import Floats
from phasemap.figures.spec import AxisSpec, BandSpec, Dots, FigureSpec, PanelSpec, wrapped
from phasemap.phases.marks import Mark
from phasemap.study.conditions import Kind

MOST_TICKS = 12
NOTES = {
    "split": (".", "seeds disagree"),
    "lost": ("x", "some seeds failed or diverged"),
    "partial": ("o", "some seeds not trained yet"),
}
"""The sign in a cell's corner and what it says."""
SMALLEST_LETTER = 2.5  # points
DOT = 14.0  # area of a measured point in square points
LINES, ABOVE_LINES = 5, 6  # what is drawn over what
SMALLEST_IN_GAP = 8.0  # points: for smaller letters too little would be left of a frontier, and it runs below them
FRAME = "#8a8a8a"
INFERRED_INK = "#444444"
STRIP_EDGES = np.asarray([-0.5, 0.5])
BAND: dict[str, Any] = {"facecolor": "white", "alpha": 0.5, "edgecolor": "none"}


def draw_panel(ax: Axes, spec: FigureSpec, panel: PanelSpec, cell: tuple[float, float]) -> Any:
    """Draw one map into axes, with cells of about so many points, and return its image if its cells show a quantity."""
    y_edges = spec.y.edges if spec.y else STRIP_EDGES
    image = _draw_values(ax, spec, panel.values, y_edges) if panel.values is not None else None
    bare = _bare(panel)
    size = min(9.0, 0.52 * min(cell))
    for name, mark in spec.marks.items():
        for inferred, look in ((False, {"facecolor": mark.colour, "hatch": mark.hatch}), (True, inferred_look(mark))):
            cells = np.argwhere(bare & (panel.marks == name) & (panel.inferred == inferred))
            if len(cells):
                fill_cells(ax, spec.x.edges, y_edges, cells, **look)
    for row, column in np.argwhere(bare):
        mark, inferred = spec.marks[str(panel.marks[row, column])], bool(panel.inferred[row, column])
        _write_letter(ax, _inside_cell(spec, y_edges, row, column, 0.5), mark, size, inferred=inferred)
    if panel.values is None:
        _draw_notes(ax, spec, panel, y_edges, size)
    for band in panel.bands:
        _draw_band(ax, spec, band, y_edges)
    lettered = bare & np.vectorize(lambda name: bool(spec.marks[name].letter) and size >= SMALLEST_IN_GAP)(panel.marks)
    scales = (spec.x.scale, _y_scale(spec))
    for line in panel.lines:
        style = next(style for kind, _, style in spec.frontiers if kind == line.kind)
        halo = [withStroke(linewidth=3.6, foreground="white")]
        drawn = with_gaps(line.points, scales, (spec.x.edges, y_edges), lettered, cell, 0.5 * size + 1)
        ax.plot(*drawn.T, color="black", linewidth=1.8, linestyle=style, path_effects=halo, zorder=LINES)
    if panel.dots is not None:
        _draw_dots(ax, spec, panel.dots)
    set_up_axes(ax, spec, panel.title, cell)
    return image


def _draw_dots(ax: Axes, spec: FigureSpec, dots: Dots) -> None:
    """Draw points that were measured beside the cells, in full colours."""
    look: dict[str, Any] = {"s": DOT, "edgecolors": "black", "linewidths": 0.6, "zorder": ABOVE_LINES}
    if dots.values is not None:
        norm = colour_scale(spec.metric_kind, [panel.values for panel in spec.panels if panel.values is not None])
        ax.scatter(dots.x, dots.y, c=dots.values, norm=norm, **look)
        return
    ax.scatter(dots.x, dots.y, c=[spec.marks[name].colour for name in dots.marks], **look)


def _bare(panel: PanelSpec) -> NDArray[np.bool_]:
    """Tell which cells (ny, nx) show their mark, and not a quantity."""
    return np.ones(panel.marks.shape, dtype=bool) if panel.values is None else np.isnan(panel.values)


def _draw_values(ax: Axes, spec: FigureSpec, values: Floats, y_edges: Any) -> Any:
    """Colour the cells by a quantity; as a picture, so that vector files stay small."""
    shown = np.ma.masked_invalid(values)
    norm = colour_scale(spec.metric_kind, [panel.values for panel in spec.panels if panel.values is not None])
    return ax.pcolormesh(spec.x.edges, y_edges, shown, norm=norm, rasterized=True)


def fill_cells(ax: Axes, x_edges: Any, y_edges: Any, cells: Any, **look: Any) -> None:
    """Fill cells (n, 2) of (row, column) as one outline, so that vector files stay small."""
    outlines = [_box(x_edges[i : i + 2], y_edges[j : j + 2]) for j, i in cells]
    look = {"edgecolor": FRAME if look.get("hatch") else "white", "linewidth": 0.4, **look}
    ax.add_patch(PathPatch(Outline.make_compound_path(*outlines), **look))


def inferred_look(mark: Mark) -> dict[str, Any]:
    """Return how points that were inferred are filled: lighter, and hatched in their own colour."""
    return {"facecolor": mark.light, "edgecolor": mark.colour, "hatch": "//", "linewidth": 0.0, "hatch_linewidth": 0.5}


def _box(across: Any, up: Any) -> Outline:
    (left, right), (bottom, top) = across, up
    return Outline([(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)], closed=True)


def inside(scale: str, ends: Floats, share: float) -> float:
    """Return the place that stands this share of the way between two ends on a scale."""
    start, end = ends
    return float(start * (end / start) ** share) if scale == "log" else float(start + share * (end - start))


def _inside_cell(spec: FigureSpec, y_edges: Any, row: int, column: int, share: float) -> tuple[float, float]:
    across = inside(spec.x.scale, spec.x.edges[column : column + 2], share)
    return across, inside(_y_scale(spec), y_edges[row : row + 2], share)


def _y_scale(spec: FigureSpec) -> str:
    return spec.y.scale if spec.y else "ordinal"


def _write_letter(ax: Axes, place: tuple[float, float], mark: Mark, size: float, *, inferred: bool) -> None:
    if not mark.letter or size < SMALLEST_LETTER:
        return
    behind = mark.light if inferred else "white"
    halo = [withStroke(linewidth=2.5, foreground=behind)] if mark.hatch or inferred else None
    family = FontProperties().get_name()  # svg files name every family of a list, in every letter
    look: dict[str, Any] = {
        "family": family,
        "fontsize": size,
        "color": INFERRED_INK if inferred else mark.ink,
        "path_effects": halo,
        "clip_on": True,
        "zorder": ABOVE_LINES,
    }
    ax.text(*place, mark.letter.lower() if inferred else mark.letter, ha="center", va="center", **look)


def _draw_notes(ax: Axes, spec: FigureSpec, panel: PanelSpec, y_edges: Any, size: float) -> None:
    """Put a sign into the corner of cells whose seeds disagree or are not all there, one line of markers a sign."""
    inks = np.vectorize(lambda name: spec.marks[name].ink)(panel.marks)
    for note, (sign, _) in NOTES.items():
        for ink in np.unique(inks):
            cells = np.argwhere((panel.notes == note) & (inks == ink))
            if len(cells):
                places = np.asarray([_inside_cell(spec, y_edges, row, column, 0.85) for row, column in cells])
                ax.plot(*places.T, linestyle="", color=ink, markeredgewidth=0.7, **_sign(sign, size * 0.4))


def _sign(sign: str, size: float) -> dict[str, Any]:
    return {"marker": sign, "markersize": size, "fillstyle": "none" if sign == "o" else "full"}


def _draw_band(ax: Axes, spec: FigureSpec, band: BandSpec, y_edges: Any) -> None:
    """Lighten what a frontier's band covers in each row (or column) that it crosses."""
    boxes = []
    for row, low, high in zip(band.row, band.low, band.high, strict=True):
        across: Any = (low, high) if band.along == "x" else spec.x.edges[row : row + 2]
        up: Any = y_edges[row : row + 2] if band.along == "x" else (low, high)
        boxes.append(_box(across, up))
    ax.add_patch(PathPatch(Outline.make_compound_path(*boxes), zorder=2.5, **BAND))


def set_up_axes(ax: Axes, spec: FigureSpec, title: str, cell: tuple[float, float]) -> None:
    """Set a map's scales, limits, ticks and title."""
    if spec.x.scale == "log":
        ax.set_xscale("log")
    if spec.y and spec.y.scale == "log":
        ax.set_yscale("log")
    ax.set_xlim(spec.x.edges[0], spec.x.edges[-1])
    y_edges = spec.y.edges if spec.y else STRIP_EDGES
    ax.set_ylim(y_edges[0], y_edges[-1])
    longest = max(map(len, spec.x.tick_labels))
    slanted = longest > 5 and len(spec.x.tick_labels) > 5
    letters = mpl.rcParams["font.size"] * (1.3 if slanted else 0.55 * longest + 0.4)
    _ticks(ax.xaxis, spec.x, letters / cell[0])
    if slanted:
        ax.tick_params(axis="x", labelrotation=45)
    if spec.y:
        _ticks(ax.yaxis, spec.y, 1.2 * mpl.rcParams["font.size"] / cell[1])
    else:
        ax.set_yticks([])
    ax.set_title(title)


def _ticks(axis: Any, spec: AxisSpec, cells_a_label: float) -> None:
    """Label as many cells as have room, at most about MOST_TICKS."""
    every = max(-(-len(spec.ticks) // MOST_TICKS), math.ceil(cells_a_label))
    axis.set_ticks(spec.ticks[::every], labels=spec.tick_labels[::every])
    axis.set_ticks([], minor=True)


def colour_scale(kind: Kind, maps: Sequence[Floats]) -> Normalize:
    """Return how values become colours: accuracies from 0 to 1, losses by their logarithm, numbers as they are."""
    values = np.concatenate([one.ravel() for one in maps])
    finite = values[np.isfinite(values)]
    if kind == "accuracy" or not len(finite):
        return Normalize(0.0, 1.0)
    if kind == "loss" and finite.max() > 0:
        positive = finite[finite > 0]
        return LogNorm(float(positive.min()), float(positive.max()), clip=True)
    return Normalize(float(finite.min()), float(finite.max()))


def map_handles(spec: FigureSpec) -> list[Any]:
    """Return the legend's entries: labels with counts, signs, frontiers and their band."""
    labelled = spec.panels[0].values is None
    seen = {name for panel in spec.panels for name in panel.marks[_bare(panel)].tolist()}
    handles: list[Any] = [
        label_handle(entry.mark, f" ({entry.count})") for entry in spec.legend if entry.mark.name in seen
    ]
    inferred = sum(entry.inferred for entry in spec.legend)
    if inferred and labelled:
        most = max(spec.legend, key=lambda entry: entry.inferred).mark
        handles.append(Patch(label=f"    inferred ({inferred})", **inferred_look(most)))
    notes = {note for panel in spec.panels for note in panel.notes.ravel() if note} if labelled else set()
    for note, (sign, text) in NOTES.items():
        if note in notes:
            handles.append(Line2D([], [], color="black", linestyle="", label=text, **_sign(sign, 4)))
    handles += frontier_handles(spec.frontiers)
    if any(panel.dots is not None for panel in spec.panels):
        dot: dict[str, Any] = {"marker": "o", "markersize": DOT**0.5, "color": "white", "markeredgecolor": "black"}
        handles.append(Line2D([], [], linestyle="", label="measured there", **dot))
    if any(panel.bands for panel in spec.panels):
        handles.append(Patch(facecolor="#dddddd", edgecolor=FRAME, linewidth=0.4, label=wrapped(spec.band_words, 22)))
    return handles


def label_handle(mark: Mark, count: str = "") -> Patch:
    """Return the legend's entry of one label."""
    text = f"{mark.letter or ' '}  {mark.title}{count}"
    return Patch(facecolor=mark.colour, edgecolor=FRAME, hatch=mark.hatch, label=text, linewidth=0.4)


def _whole_sides(meaning: str) -> str:
    """Break a frontier's meaning, but not between the two sides that are equal on it."""
    return wrapped(meaning.replace(" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}"), 22)


def frontier_handles(frontiers: Iterable[tuple[str, str, Any]]) -> list[Line2D]:
    """Return the legend's entries of frontiers."""
    return [
        Line2D([], [], color="black", linewidth=1.8, linestyle=style, label=_whole_sides(meaning))
        for _, meaning, style in frontiers
    ]


SAMPLES = 32  # of a line within a cell's width


def with_gaps(
    points: Floats,
    scales: tuple[str, str],
    edges: tuple[Floats, Floats],
    lettered: NDArray[np.bool_],
    cell: tuple[float, float],
    radius: float,
) -> Floats:
    """Return a line (n, 2) that is broken, by NaN, where it would come nearer than ``radius`` points to a letter.

    ``lettered`` (ny, nx) are the cells with a letter in their middle, ``cell`` their size in points, ``scales`` and
    ``edges`` those of x and y. What is drawn stays on the line: straight on each axis's own scale.
    """
    placed = np.column_stack([_on(scale, values) for scale, values in zip(scales, points.T, strict=True)])
    x_edges, y_edges = (_on(scale, values) for scale, values in zip(scales, edges, strict=True))
    widths = np.array([np.diff(x_edges).min(), np.diff(y_edges).min()])
    pieces = []
    for start, end in pairwise(placed):
        cells = np.nan_to_num(np.abs((end - start) / widths)).max()
        dense = start + np.linspace(0, 1, 2 + int(SAMPLES * cells))[:, None] * (end - start)
        (columns, across), (rows, up) = _in_cells(x_edges, dense[:, 0]), _in_cells(y_edges, dense[:, 1])
        near = lettered[rows, columns] & (np.hypot(across * cell[0], up * cell[1]) < radius)
        ends = np.flatnonzero(near[1:] != near[:-1])
        dense[near] = np.nan
        pieces.append(dense[np.unique([0, *ends, *(ends + 1), len(dense) - 1])])
    broken = np.concatenate(pieces or [placed])
    return np.column_stack([_off(scale, values) for scale, values in zip(scales, broken.T, strict=True)])


def _on(scale: str, values: Floats) -> Floats:
    return np.log(values) if scale == "log" else np.asarray(values, dtype=float)


def _off(scale: str, values: Floats) -> Floats:
    return np.exp(values) if scale == "log" else values


def _in_cells(edges: Floats, values: Floats) -> tuple[NDArray[np.intp], Floats]:
    """Return the nearest cell of each value (n,), and how far from its middle it lies, in widths of the cell."""
    cells = np.clip(np.searchsorted(edges, values) - 1, 0, len(edges) - 2)
    return cells, (values - edges[cells]) / np.diff(edges)[cells] - 0.5
