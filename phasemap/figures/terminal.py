"""Draw a phase diagram in the terminal: a letter on a coloured ground per point, within the window's width."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from phasemap.figures.spec import FigureSpec, PanelSpec
from phasemap.phases.marks import Mark

CELLS = (5, 4, 3, 1)  # widths of a cell, the first that fits and holds its tick label with a space
GAP = 3  # between panels that stand side by side


def terminal_figure(spec: FigureSpec, width: int = 80) -> Text:
    """Return all panels and then the legend with counts, in lines of at most ``width``.

    Panels stand side by side where they fit; cells narrow and a wide map is cut into blocks of columns below one
    another; tick labels that have no room are left out.
    """
    label = _label_width(spec, width)
    cell = _cell_width(spec, width - label - 1)
    block = max(1, min(len(spec.x.ticks), (width - label - 1) // cell))
    text = Text(no_wrap=True, overflow="crop")
    if spec.y:
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


def _label_width(spec: FigureSpec, width: int) -> int:
    longest = max((len(text) for text in spec.y.tick_labels), default=0) if spec.y else 0
    return min(longest, width // 3)


def _cell_width(spec: FigureSpec, room: int) -> int:
    """Return the width of a cell: what its tick labels want, or what the window leaves."""
    wanted = max(len(text) for text in spec.x.tick_labels) + 1
    fits = room // len(spec.x.ticks)
    return next((size for size in CELLS if size <= min(fits, max(wanted, 3))), 1)


def _panel_lines(spec: FigureSpec, panel: PanelSpec, columns: Sequence[int], label: int, cell: int) -> list[Text]:
    """Return one block of a panel: its title, its rows with the largest value on top, and the tick labels."""
    lines = [Text(panel.title, style="bold")] if panel.title else []
    for row in reversed(range(panel.marks.shape[0])):
        name = spec.y.tick_labels[row][:label] if spec.y else ""
        line = Text(f"{name:>{label}} ")
        for column in columns:
            mark = spec.marks[panel.marks[row, column]]
            inferred = bool(panel.inferred[row, column])
            letter = mark.letter.lower() if inferred else mark.letter
            line.append(f"{letter or '·':^{cell}}", style=_style(mark, inferred=inferred))
        lines.append(line)
    ticks = _ticks([spec.x.tick_labels[column] for column in columns], cell)
    return [*lines, Text(" " * (label + 1) + ticks), Text("" if spec.y else spec.x.label)]


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


def _legend(spec: FigureSpec, width: int) -> Text:
    """Return the legend, as many entries a line as fit."""
    text, used = Text(), 0
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
