"""Draw one map of a phase diagram: its cells, ribbons and frontiers, the names of its regions, and its ticks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path as Outline
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from phasemap.diagram.frontier import Floats
from phasemap.figures.regions import Form, Placed, dense, place_names, regions_of
from phasemap.figures.spec import NOTHING, AxisSpec, Dots, FigureSpec, PanelSpec
from phasemap.figures.style import LINE, font_size, label_log, text_width
from phasemap.phases.marks import Mark, contrast
from phasemap.phases.strokes import LineStyle, dashes
from phasemap.study.conditions import Kind

MOST_TICKS = 40  # of an axis; of more values every n-th has one
SIGNS = {"split": ".", "lost": "x", "partial": "o"}
BRIGHT_FROM = 0.62  # of a quantity's scale: black is read over its colours from there
SMALLEST_LETTER, SMALLEST_NAME = 2.5, 6.0  # points
DOT = 14.0  # area of a measured point in square points
NAMES, LINES, ABOVE_LINES = 4, 5, 6  # what is drawn over what
LINE_WIDTH = 1.5
FRAME = "#8a8a8a"
SLANTED: Mapping[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
GRID_FROM = 5.0  # points: smaller cells have no border
RIBBON: dict[str, Any] = {"facecolor": "white", "alpha": 0.55, "edgecolor": "none", "zorder": 2.5}
MEASURED: dict[str, Any] = {"marker": ".", "markersize": 2.6, "color": "#222222", "linestyle": "", "markeredgewidth": 0}

Size = tuple[float, float]
"""The width and height of a panel, in points."""


def draw_panel(ax: Axes, spec: FigureSpec, panel: PanelSpec, size: Size, names: Sequence[Placed]) -> Any:
    """Draw one map into axes of a size, with its names, and return its image if its cells show a quantity."""
    image = _draw_values(ax, spec, panel.values) if panel.values is not None else None
    if panel.values is not None and panel.dots is None:
        _hatch_inferred(ax, spec, panel, panel.values)
    bare = _bare(panel)
    cell = min(size[0] / (len(spec.x.edges) - 1), size[1] / (len(spec.y.edges) - 1))
    border = {"linewidth": 0.6 if cell >= GRID_FROM else 0.0}
    for name, mark in spec.marks.items():
        for inferred, look in ((False, {"facecolor": mark.colour, "hatch": mark.hatch}), (True, inferred_look(mark))):
            cells = np.argwhere(bare & (panel.marks == name) & (panel.inferred == inferred))
            if len(cells):
                fill_cells(ax, spec, cells, **{**border, **look})
    if panel.values is None:
        _draw_signs(ax, spec, panel, cell)
    for band in panel.bands:
        ax.add_patch(PathPatch(Outline(band.points), **RIBBON))
    draw_lines(ax, spec, panel, {"path_effects": [withStroke(linewidth=2.8, foreground="white")]} if image else {})
    if panel.dots is not None:
        _draw_dots(ax, spec, panel.dots)
    for placed in names:
        _write_name(ax, spec, panel, placed, size)
    set_up_axes(ax, spec, size)
    return image


def draw_lines(ax: Axes, spec: FigureSpec, panel: PanelSpec, look: dict[str, Any]) -> None:
    """Draw a panel's frontiers."""
    for line in panel.lines:
        style = next(style for kind, _, style in spec.frontiers if kind == line.kind)
        look = {"color": "black", "linewidth": LINE_WIDTH, "zorder": LINES, **look}
        ax.plot(*line.points.T, linestyle=line_style(style), label=line.kind, **look)


def line_style(style: LineStyle) -> Any:
    """Return a style as matplotlib has it."""
    return (0, dashes(style)) if dashes(style) else "solid"


def _draw_dots(ax: Axes, spec: FigureSpec, dots: Dots) -> None:
    """Draw points that were measured beside the cells, in full colours."""
    look: dict[str, Any] = {"s": DOT, "edgecolors": "black", "linewidths": 0.6, "zorder": ABOVE_LINES}
    if dots.values is not None:
        ax.scatter(dots.x, dots.y, c=dots.values, norm=colour_scale(spec.metric_kind, spec.values), **look)
        return
    ax.scatter(dots.x, dots.y, c=[spec.marks[name].colour for name in dots.marks], **look)


def _bare(panel: PanelSpec) -> NDArray[np.bool_]:
    """Tell which cells (ny, nx) show their mark, and not a quantity."""
    return np.ones(panel.marks.shape, dtype=bool) if panel.values is None else np.isnan(panel.values)


def _draw_values(ax: Axes, spec: FigureSpec, values: Floats) -> Any:
    """Colour the cells by a quantity; as a picture, so that vector files stay small."""
    shown = np.ma.masked_invalid(values)
    norm = colour_scale(spec.metric_kind, spec.values)
    return ax.pcolormesh(spec.x.edges, spec.y.edges, shown, norm=norm, rasterized=True)


def _hatch_inferred(ax: Axes, spec: FigureSpec, panel: PanelSpec, values: Floats) -> None:
    """Hatch the cells whose quantity was inferred, in white over dark colours and in black over bright ones."""
    known = panel.inferred & np.isfinite(values)
    bright = np.ma.filled(colour_scale(spec.metric_kind, spec.values)(values), 0) > BRIGHT_FROM
    for colour, where in (("white", known & ~bright), ("black", known & bright)):
        cells = np.argwhere(where)
        if len(cells):
            look = {"facecolor": "none", "edgecolor": colour, "hatch": "/", "linewidth": 0.0, "hatch_linewidth": 0.5}
            fill_cells(ax, spec, cells, alpha=0.7, **look)


def fill_cells(ax: Axes, spec: FigureSpec, cells: Any, **look: Any) -> None:
    """Fill cells (n, 2) of (row, column) as one outline, so that vector files stay small."""
    outlines = [_box(*spec.x.edges[i : i + 2], *spec.y.edges[j : j + 2]) for j, i in cells]
    look = {"edgecolor": FRAME if look.get("hatch") else "white", "linewidth": 0.4, **look}
    ax.add_patch(PathPatch(Outline.make_compound_path(*outlines), **look))


def inferred_look(mark: Mark) -> dict[str, Any]:
    """Return how points that were inferred are filled: lighter, and sparsely hatched in their own colour."""
    return {"facecolor": mark.light, "edgecolor": mark.colour, "hatch": "/", "linewidth": 0.0, "hatch_linewidth": 0.5}


def _box(left: float, right: float, bottom: float, top: float) -> Outline:
    return Outline([(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)], closed=True)


def inside(scale: str, ends: Floats, share: float) -> float:
    """Return the place that stands this share of the way between two ends on a scale."""
    start, end = ends
    return float(start * (end / start) ** share) if scale == "log" else float(start + share * (end - start))


def inside_cell(spec: FigureSpec, row: int, column: int, share: float) -> tuple[float, float]:
    """Return the place that stands this share of the way through a cell, to the right and up."""
    across = inside(spec.x.scale, spec.x.edges[column : column + 2], share)
    return across, inside(spec.y.scale, spec.y.edges[row : row + 2], share)


def _draw_signs(ax: Axes, spec: FigureSpec, panel: PanelSpec, cell: float) -> None:
    """Put a quiet sign into the corner of cells whose seeds disagree or are not all there; a dot where measured."""
    inks = np.vectorize(lambda name: spec.marks[name].ink)(panel.marks)
    size = min(2.4, 0.2 * cell)
    for note, sign in SIGNS.items():
        for ink in np.unique(inks):
            cells = np.argwhere((panel.notes == note) & (inks == ink))
            if len(cells):
                places = np.asarray([inside_cell(spec, row, column, 0.86) for row, column in cells])
                wide, fill = size * (1.9 if sign == "." else 1.2), "none" if sign == "o" else "full"
                look: dict[str, Any] = {"color": ink, "marker": sign, "markersize": wide, "fillstyle": fill}
                ax.plot(*places.T, linestyle="", alpha=0.75, markeredgewidth=0.6, zorder=3, **look)
    if len(cells := _measured(panel)):
        places = np.asarray([inside_cell(spec, row, column, 0.5) for row, column in cells])
        ax.plot(*places.T, **{**MEASURED, "markersize": min(2.6, 0.3 * cell)})


def placed_names(spec: FigureSpec, panel: PanelSpec, size: Size) -> list[Placed]:
    """Place what is written into a panel of a size: each region's name, or each cell's letter."""
    across, up = _in_points(spec.x, size[0], spec.x.edges), _in_points(spec.y, size[1], spec.y.edges)
    bare = _bare(panel)
    if spec.cells:
        return [
            _letter(spec.marks[panel.marks[row, column]], across[column : column + 2], up[row : row + 2],
                    inferred=bool(panel.inferred[row, column]))
            for row, column in np.argwhere(bare)
        ]  # fmt: skip
    lines = [_places_in_points(spec, line.points, size) for line in panel.lines if np.isfinite(line.points).all()]
    none = np.empty((0, 2), dtype=int)
    signs = np.argwhere(panel.notes != "") if panel.values is None else none
    dots = _measured(panel) if panel.values is None else none
    busy = np.concatenate([*map(dense, lines), _at(signs, across, up, 0.86), _at(dots, across, up, 0.5)])
    if panel.dots is not None:
        between = np.stack([panel.dots.x, panel.dots.y], axis=1)
        busy = np.concatenate([busy, _places_in_points(spec, between, size)])
    regions = [region for region in regions_of(np.where(bare, panel.marks, "")) if region.mark]
    return place_names(regions, (across, up), lambda name: _forms(spec.marks[name]), busy)


def _measured(panel: PanelSpec) -> NDArray[np.int64]:
    """Return the cells (n, 2) of (row, column) that bear the dot of a measured point: those beside inferred ones."""
    cells = np.argwhere(~panel.inferred & ~np.isin(panel.marks, ["missing", NOTHING.name]))
    return cells if panel.inferred.any() else cells[:0]


def _at(cells: NDArray[np.int64], across: Floats, up: Floats, share: float) -> Floats:
    """Return places (n, 2) this share of the way through cells (n, 2) of (row, column)."""
    rows, columns = cells.T
    wide, high = np.diff(across)[columns], np.diff(up)[rows]
    return np.stack([across[columns] + share * wide, up[rows] + share * high], axis=1)


def _in_points(axis: AxisSpec, length: float, values: Floats) -> Floats:
    """Return where values lie on an axis of a length."""
    on = np.log if axis.scale == "log" else np.asarray
    low, high = on(axis.edges[[0, -1]])
    return np.asarray((on(values) - low) / (high - low) * length)


def _places_in_points(spec: FigureSpec, line: Floats, size: Size) -> Floats:
    return np.stack([_in_points(spec.x, size[0], line[:, 0]), _in_points(spec.y, size[1], line[:, 1])], axis=1)


def _letter(mark: Mark, across: Floats, up: Floats, *, inferred: bool) -> Placed:
    least = min(across[1] - across[0], up[1] - up[0])
    letter = mark.letter.lower() if inferred else mark.letter
    share = min(9.0, 0.52 * least) / font_size()
    text = letter if share * font_size() >= SMALLEST_LETTER else ""
    form = Form(text=text, width=0, height=0, share=share, whole=False)
    return Placed(mark=mark.name, form=form, x=float(across.mean()), y=float(up.mean()))


def _forms(mark: Mark) -> list[Form]:
    """Return the ways to write a label: its name in one line or more, also a little smaller, else its letter."""
    words = mark.title.split()
    halves = [" ".join(words[:at]) + "\n" + " ".join(words[at:]) for at in range(1, len(words))]
    splits = [" ".join(words), *halves, "\n".join(words)]
    texts = sorted(dict.fromkeys(splits), key=lambda text: text.count("\n"))
    forms = []
    for share in (1.0, 0.85):
        if font_size(share) >= SMALLEST_NAME:
            forms += [_form(text, share) for text in texts]
    return forms + ([_form(mark.letter, 1.0, whole=False)] if mark.letter else [])


def _form(text: str, share: float, *, whole: bool = True) -> Form:
    size = font_size(share)
    height = size * (1.0 + 1.1 * text.count("\n"))
    return Form(text=text, width=text_width(text, size), height=height, share=share, whole=whole)


def _write_name(ax: Axes, spec: FigureSpec, panel: PanelSpec, placed: Placed, size: Size) -> None:
    if not placed.form.text:
        return
    mark = spec.marks[placed.mark]
    lighter = bool((panel.inferred & (panel.marks == placed.mark)).any())
    look: dict[str, Any] = {
        "family": FontProperties().get_name(),  # svg files name every family of a list, in every letter
        "fontsize": font_size(placed.form.share),
        "linespacing": 0.95,
        "color": _ink([mark.colour, mark.light] if lighter else [mark.colour]),
        "zorder": NAMES,
        "bbox": None if lighter else {"facecolor": mark.colour, "edgecolor": "none", "pad": 0.5},  # over borders
    }
    where = placed.x / size[0], placed.y / size[1]
    ax.text(*where, placed.form.text, ha="center", va="center", transform=ax.transAxes, **look)


def _ink(grounds: Sequence[str]) -> str:
    """Return black or white, whichever is readable on all grounds."""
    return max(("#000000", "#ffffff"), key=lambda ink: min(contrast(ink, ground) for ground in grounds))


def set_up_axes(ax: Axes, spec: FigureSpec, size: Size) -> None:
    """Set a map's scales, limits, frame and ticks."""
    if spec.x.scale == "log":
        ax.set_xscale("log")
    if spec.y.scale == "log":
        ax.set_yscale("log")
    ax.set_xlim(spec.x.edges[0], spec.x.edges[-1])
    ax.set_ylim(spec.y.edges[0], spec.y.edges[-1])
    ax.spines[:].set_visible(True)
    ax.spines[:].set_zorder(ABOVE_LINES)
    if slants(spec.x, size[0]):
        _ticks(ax.xaxis, spec.x, size[0], [1.2 * font_size()] * len(spec.x.ticks), SLANTED)
    else:
        _ticks(ax.xaxis, spec.x, size[0], _label_widths(spec.x))
    if spec.strip:
        ax.set_yticks([])
    else:
        _ticks(ax.yaxis, spec.y, size[1], [LINE * font_size()] * len(spec.y.ticks))


def slants(axis: AxisSpec, length: float) -> bool:
    """Tell whether the labels of an axis to the right are slanted: texts that don't fit side by side."""
    numbers = all(label.replace(".", "").replace("-", "").replace("e", "").isdigit() for label in axis.tick_labels)
    return not numbers and sum(_label_widths(axis)) + 4 * len(axis.ticks) > length


def _label_widths(axis: AxisSpec) -> list[float]:
    return [text_width(label, font_size()) + 4 for label in axis.tick_labels]


def overhang(axis: AxisSpec, length: float) -> float:
    """Return how far slanted labels reach to the left of an axis of a length, in points."""
    at = _in_points(axis, length, axis.ticks)
    return max(0.75 * text_width(label, font_size()) - x for label, x in zip(axis.tick_labels, at, strict=True))


def _ticks(
    axis: Any, spec: AxisSpec, length: float, widths: Sequence[float], look: Mapping[str, Any] | None = None
) -> None:
    """Mark the values, and label those that have room."""
    at = _in_points(spec, length, spec.ticks)
    every = -(-len(at) // MOST_TICKS)
    if len(at) > 1 and np.ptp(np.diff(at)) < 0.02 * length / len(at):  # evenly spaced labels stay evenly spaced
        every = max(every, math.ceil(max(widths) / (at[1] - at[0])))
        shown = set(range(0, len(at), every))
    else:
        shown = set(_without_overlap(at, widths))
    labels = [label if number in shown else "" for number, label in enumerate(spec.tick_labels)]
    kept = [number for number in range(len(at)) if number in shown or len(at) <= MOST_TICKS]
    axis.set_ticks(spec.ticks[kept], labels=[labels[number] for number in kept], parse_math=False, **look or {})
    axis.set_ticks(spec.minor if len(spec.minor) and length / len(spec.minor) > 2 else [], minor=True)


def _without_overlap(at: Floats, widths: Sequence[float]) -> list[int]:
    """Return which labels are written: the last value's, then from the first on all that touch no other."""
    last, shown = len(at) - 1, []
    end = -math.inf
    for number in range(last):
        free = at[number] - widths[number] / 2 >= end and at[number] + widths[number] / 2 <= at[last] - widths[last] / 2
        if free:
            shown.append(number)
            end = at[number] + widths[number] / 2
    return [*shown, last]


def colour_scale(kind: Kind, values: Floats) -> Normalize:
    """Return how values become colours: accuracies between tenths, losses by their logarithm, numbers as they are."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return Normalize(0.0, 1.0)
    if kind == "accuracy":
        low, high = min(np.floor(10 * finite.min()) / 10, 0.9), np.ceil(10 * finite.max()) / 10
        return Normalize(float(low), float(max(high, low + 0.1)))
    if kind == "loss" and finite.max() > 0:
        positive = finite[finite > 0]
        return LogNorm(float(positive.min()), float(positive.max()), clip=True)
    return Normalize(float(finite.min()), float(finite.max()))


def add_colour_bar(figure: Figure, image: ScalarMappable, name: str, **place: Any) -> Any:
    """Add the bar that says which value each colour means, and return its vertical axis."""
    axis = figure.colorbar(image, label=name, **place).ax.yaxis
    if isinstance(image.norm, LogNorm):
        label_log(axis)
    return axis


def map_handles(spec: FigureSpec, names: Sequence[Sequence[Placed]]) -> list[Any]:
    """Return the legend's entries: labels, unless each is named in full in the figure, and measured points."""
    seen = {name for panel in spec.panels for name in panel.marks[_bare(panel)].tolist()}
    named = {placed.mark for one in names for placed in one if placed.form.whole}
    labels = [] if seen <= named else [label_handle(entry.mark) for entry in spec.legend if entry.mark.name in seen]
    if any(panel.dots is not None for panel in spec.panels):
        dot: dict[str, Any] = {"marker": "o", "markersize": DOT**0.5, "color": "white", "markeredgecolor": "black"}
        return [*labels, Line2D([], [], linestyle="", label="measured", **dot)]
    return labels


def label_handle(mark: Mark) -> Patch:
    """Return the legend's entry of one label."""
    text = f"{mark.letter}  {mark.title}".strip()
    look = {"edgecolor": FRAME, "hatch": mark.hatch, "linewidth": 0.4}
    return Patch(facecolor=mark.colour, label=text, **look)  # type: ignore[arg-type]
