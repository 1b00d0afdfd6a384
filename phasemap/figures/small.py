"""Maps without matplotlib: letters in a terminal, and a picture of a few kilobytes for lists."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.text import Text

from phasemap.diagram.diagram import Diagram
from phasemap.diagram.frontier import Floats
from phasemap.figures.page import scale_of
from phasemap.figures.regions import rectangles, regions_of
from phasemap.figures.spec import STATE_COLUMNS, FigureSpec, PanelSpec, cell_marks, first_metric, label_states
from phasemap.phases.marks import Mark, marks_of
from phasemap.phases.strokes import readable, shade
from phasemap.study.axes import Axis
from phasemap.study.spec import Study

CELLS = (5, 4, 3, 1)  # widths of a cell, the first that fits and holds its tick label with a space
GAP = 3  # between panels that stand side by side


def terminal_figure(spec: FigureSpec, width: int = 80) -> Text:
    """Return all panels and then the legend with counts, in lines of at most ``width``.

    Panels stand side by side where they fit; cells narrow and a wide map is cut into blocks of columns below one
    another; tick labels that have no room are left out.
    """
    label = min(max((len(text) for text in spec.y.tick_labels), default=0), width // 3)
    cell = _cell_width(spec, width - label - 1)
    block = max(1, min(len(spec.x.ticks), (width - label - 1) // cell))
    text = Text(no_wrap=True, overflow="crop")
    if not spec.strip:
        text.append_text(_cut(Text(f"{spec.y.label} (up), {spec.x.label} (right)", style="dim"), width))
        text.append("\n")
    for start in range(0, len(spec.x.ticks), block):
        columns = range(start, min(start + block, len(spec.x.ticks)))
        pieces = [_panel_lines(spec, panel, columns, label, cell) for panel in spec.panels]
        size = max(label + 1 + cell * len(columns), *(len(panel.title) for panel in spec.panels))
        abreast = max(1, (width + GAP) // (size + GAP))
        for first in range(0, len(pieces), abreast):
            for lines in zip(*pieces[first : first + abreast], strict=True):
                text.append_text(_side_by_side(lines, size, width))
                text.append("\n")
    text.append_text(_legend(spec, width))
    return text


def _cell_width(spec: FigureSpec, room: int) -> int:
    """Return the width of a cell: what its tick labels want, or what the window leaves."""
    wanted = max(len(text) for text in spec.x.tick_labels) + 1
    fits = room // len(spec.x.ticks)
    return next((size for size in CELLS if size <= min(fits, max(wanted, 3))), 1)


def _letters(spec: FigureSpec, panel: PanelSpec, columns: Sequence[int], cell: int) -> list[str]:
    """Return what stands in the rows of a block: each cell's letter, and regions' names over some of them."""
    marks, inferred = panel.marks[:, list(columns)], panel.inferred[:, list(columns)]
    lines = []
    for row in range(len(marks)):
        signs = [spec.marks[name].letter or "·" for name in marks[row]]
        cells = [sign.lower() if guess else sign for sign, guess in zip(signs, inferred[row], strict=True)]
        lines.append("".join(f"{sign:^{cell}}" for sign in cells))
    if panel.values is not None or inferred.any() or spec.cells:
        return lines
    for region in regions_of(marks):
        name = f" {spec.marks[region.mark].title} "
        fits = (block for block in _rows(region.cells) if cell * (block[3] - block[2]) >= len(name))
        if (block := next(fits, None)) is not None:
            row, _, left, right = block
            start = cell * left + (cell * (right - left) - len(name)) // 2
            lines[row] = lines[row][:start] + name + lines[row][start + len(name) :]
    return lines


def _rows(cells: NDArray[np.bool_]) -> list[tuple[int, int, int, int]]:
    """Return the unbroken rows of a region's cells, those in its middle first."""
    middle = np.flatnonzero(cells.any(axis=1)).mean()
    rows = [block for block in rectangles(cells) if block[1] == block[0] + 1]
    return sorted(rows, key=lambda block: abs(block[0] - middle))


def _panel_lines(spec: FigureSpec, panel: PanelSpec, columns: Sequence[int], label: int, cell: int) -> list[Text]:
    """Return one block of a panel: its title, its rows with the largest value on top, and the tick labels."""
    lines = [Text(panel.title, style="bold")] if panel.title else []
    letters, scale = _letters(spec, panel, columns, cell), scale_of(spec.metric_kind, spec.values)
    for row in reversed(range(panel.marks.shape[0])):
        name = "" if spec.strip else spec.y.tick_labels[row][:label]
        line = Text(f"{name:>{label}} ")
        for column in columns:
            mark = spec.marks[panel.marks[row, column]]
            if panel.values is not None and np.isfinite(value := panel.values[row, column]):
                share = float(scale.shares(np.asarray(value)))
                line.append(f"{_tenth(share):^{cell}}", style=_hidden(share))
                continue
            start = cell * (column - columns[0])
            look = _style(mark, inferred=bool(panel.inferred[row, column]))
            line.append(letters[row][start : start + cell], style=look)
        lines.append(line)
    ticks = _ticks([spec.x.tick_labels[column] for column in columns], cell)
    return [*lines, Text(" " * (label + 1) + ticks), Text(spec.x.label if spec.strip else "")]


def _ticks(names: Sequence[str], cell: int) -> str:
    """Write the axis values below their cells, as many as fit whole and with a space between."""
    line, room = "", cell * len(names)
    for column, name in enumerate(names):
        start = column * cell
        if start >= len(line) + (1 if line else 0) and start + len(name) <= room:
            line = f"{line:<{start}}{name}"
    return line


def _side_by_side(lines: Sequence[Text], size: int, width: int) -> Text:
    """Join one line of each panel of a row."""
    joined = Text()
    for number, line in enumerate(lines):
        last = number == len(lines) - 1
        joined.append_text(_cut(line, width if last and not number else size, pad=not last))
        joined.append("" if last else " " * GAP)
    return joined


def _tenth(share: float) -> str:
    """Write a share of the scale as a digit, which is what is left of it where nothing has a colour."""
    return str(min(int(10 * share), 9))


def _hidden(share: float) -> str:
    return f"{shade(share)} on {shade(share)}"


def _legend(spec: FigureSpec, width: int) -> Text:
    """Return the legend, as many entries a line as fit; of a quantity its ends."""
    text, used = Text(), 0
    if spec.panels[0].values is not None:
        scale = scale_of(spec.metric_kind, spec.values)
        for share, value in ((0.0, scale.low), (1.0, scale.high)):
            text.append(f" {_tenth(share)} ", style=_hidden(share)).append(f" {readable(spec.metric)} {value:.3g}  ")
        return text.append("\n")
    for entry in spec.legend:
        words = f" {entry.mark.title} {entry.count}"
        size = 3 + len(words) + 2
        if used and used + size > width:
            text.append("\n")
            used = 0
        text.append(f" {entry.mark.letter or ' '} ", style=_style(entry.mark))
        text.append_text(_cut(Text(words), width - 3))
        text.append("  " if used + size <= width else "")
        used += size
    inferred = sum(entry.inferred for entry in spec.legend)
    if inferred:
        text.append_text(_cut(Text(f"\nsmall letters: {inferred} points inferred by the search, not measured"), width))
    return text.append("\n")


def _cut(text: Text, width: int, *, pad: bool = False) -> Text:
    short = text.copy()
    short.truncate(width, pad=pad)
    return short


def _style(mark: Mark, *, inferred: bool = False) -> str:
    return f"#000000 on {mark.light}" if inferred else f"{mark.ink} on {mark.colour}"


WIDTH, HEIGHT, STRIP_HEIGHT = 120.0, 84.0, 24.0
PLAIN = {"missing": "#e3e3e3", "failed": "#ff9a83", "diverged": "#ffffff", "unlabelled": "#ffffff"}
"""The colours of points without a label: a hatch can't be seen at this size."""


def thumbnail_svg(diagram: Diagram) -> str:
    """Draw the first panel, each cell at its place on the axes; cells of one colour in a row are one rectangle."""
    fills = _fills(diagram)
    height = STRIP_HEIGHT if diagram.strip else HEIGHT
    xs = _places(diagram.x.edges, WIDTH)
    ys = [height - place for place in _places(diagram.y.edges, height)]
    parts = []
    for row, colours in enumerate(fills):
        for fill, group in groupby(range(len(colours)), key=lambda column: str(colours[column])):
            columns = list(group)
            x, right, y = xs[columns[0]], xs[columns[-1] + 1], ys[row + 1]
            parts.append(f'<path fill="{fill}" d="M{x:.1f} {y:.1f}H{right:.1f}V{ys[row]:.1f}H{x:.1f}z"/>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH:g}" height="{height:g}" '
        f'viewBox="0 0 {WIDTH:g} {height:g}" shape-rendering="crispEdges">{"".join(parts)}</svg>'
    )


def scatter_thumbnail(study: Study, points: pd.DataFrame) -> str:
    """Draw points that lie on no grid as dots, over the first two axes."""
    marks = marks_of(study.phases)
    labels = label_states({name: points[name].to_numpy() for name in STATE_COLUMNS}, "subphase")
    fills = [PLAIN.get(name, marks[name].colour) for name in labels]
    if not study.phases.labels:
        metric = first_metric(study)
        values = points[metric].to_numpy(dtype=float)
        shares = scale_of(study.recorded.quantities[metric], values).shares(values)
        fills = [shade(share) if np.isfinite(value) else "#e3e3e3" for share, value in zip(shares, values, strict=True)]
    left, below = [*(_along(axis, points[axis.name]) for axis in study.axes[:2]), np.full(len(points), 0.5)][:2]
    dots = "".join(
        f'<circle fill="{fill}" cx="{4 + x * (WIDTH - 8):.1f}" cy="{HEIGHT - 4 - y * (HEIGHT - 8):.1f}" r="2.5"/>'
        for x, y, fill in zip(left, below, fills, strict=True)
    )
    size = f'width="{WIDTH:g}" height="{HEIGHT:g}" viewBox="0 0 {WIDTH:g} {HEIGHT:g}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{dots}</svg>'


def _along(axis: Axis, values: pd.Series) -> Floats:
    """Return how far values lie between the least and the greatest of an axis, on its scale."""
    at = values.map(axis.values.index) if axis.categorical else values
    on = np.log(at.astype(float)) if axis.scale == "log" else at.astype(float)
    return np.asarray((on - on.min()) / ((on.max() - on.min()) or 1.0), dtype=float)


def _fills(diagram: Diagram) -> NDArray[np.object_]:
    """Return the colour (ny, nx) of each cell: its label's, or of a study without labels that of its first quantity."""
    panel, study = diagram.panels[0], diagram.study
    colours = {name: PLAIN.get(name, mark.colour) for name, mark in marks_of(study.phases).items()}
    fills = np.vectorize(colours.__getitem__, otypes=[object])(cell_marks(panel, "subphase"))
    if study.phases.labels:
        return np.asarray(fills)
    metric = first_metric(study)
    values = panel.grid[metric].astype(float)
    shares = scale_of(study.recorded.quantities[metric], values).shares(values)
    shades = np.vectorize(shade, otypes=[object])(shares)
    return np.asarray(np.where(np.isfinite(values), shades, fills), dtype=object)


def _places(edges: Floats, length: float) -> list[float]:
    """Return the borders of the cells (n + 1,) in pixels from the low end."""
    borders: list[float] = ((edges - edges[0]) / (edges[-1] - edges[0]) * length).tolist()
    return borders
