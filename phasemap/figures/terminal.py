"""Draw a phase diagram in the terminal: a letter on a coloured ground per point."""

from __future__ import annotations

from rich.text import Text

from phasemap.figures.palette import MARKS
from phasemap.figures.spec import FigureSpec, PanelSpec

CELLS = (5, 4, 3, 1)  # widths of a cell, the first that fits and holds its tick label with a space


def terminal_figure(spec: FigureSpec, width: int = 80) -> Text:
    """Return all panels below one another, then the legend with counts; cells narrow when the map is wide."""
    label = max((len(text) for text in spec.y.tick_labels), default=0) if spec.y else 0
    room = (width - label - 1) // len(spec.x.ticks)
    wanted = max(len(text) for text in spec.x.tick_labels) + 1
    cell = next((size for size in CELLS if size <= min(room, max(wanted, 3))), 1)
    text = Text(no_wrap=True, overflow="crop")
    for panel in spec.panels:
        if panel.title:
            text.append(f"{panel.title}\n", style="bold")
        _append_panel(text, spec, panel, label, cell)
        text.append("\n")
    for entry in spec.legend:
        text.append(f" {entry.mark.letter or ' '} ", style=_style(entry.mark.name))
        text.append(f" {entry.mark.title} {entry.count}\n")
    return text


def _append_panel(text: Text, spec: FigureSpec, panel: PanelSpec, label: int, cell: int) -> None:
    if spec.y:
        text.append(f"{spec.y.label} (up), {spec.x.label} (right)\n", style="dim")
    for row in reversed(range(panel.marks.shape[0])):
        name = spec.y.tick_labels[row] if spec.y else ""
        text.append(f"{name:>{label}} ")
        for column in range(panel.marks.shape[1]):
            mark = MARKS[panel.marks[row, column]]
            text.append(f"{mark.letter or '·':^{cell}}", style=_style(mark.name))
        text.append("\n")
    text.append(" " * (label + 1) + _ticks(spec, cell) + ("" if spec.y else f"  {spec.x.label}") + "\n")


def _ticks(spec: FigureSpec, cell: int) -> str:
    """Write the axis values below their cells, as many as fit with a space between."""
    line = ""
    for column, name in enumerate(spec.x.tick_labels):
        start = column * cell
        if start >= len(line) + (1 if line else 0):
            line = f"{line:<{start}}{name}"
    return line


def _style(name: str) -> str:
    mark = MARKS[name]
    return f"{mark.ink} on {mark.colour}"
