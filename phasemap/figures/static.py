"""Draw figures with matplotlib: png, svg or pdf."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from phasemap.diagram.frontier import Floats
from phasemap.figures.chart import Chart
from phasemap.figures.lines import draw_chart
from phasemap.figures.palette import MARKS, Mark
from phasemap.figures.spec import AxisSpec, FigureSpec, PanelSpec, readable, wrapped
from phasemap.results.folder import write_whole
from phasemap.study.problems import UnreachableError, UserError

FORMATS = (".png", ".svg", ".pdf")
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.5,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "phasemap",
    "figure.dpi": 100,
    "savefig.dpi": 150,
}
CELL_INCHES = 0.34
MOST_TICKS = 12
NOTES = {
    "split": (".", "seeds disagree"),
    "lost": ("x", "some seeds failed or diverged"),
    "partial": ("o", "some seeds not trained yet"),
}
"""The sign in a cell's corner and what it says."""
SMALLEST_LETTER = 2.5  # points


def check_format(path: Path) -> None:
    """UserError unless a figure can be written under this name."""
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"{path} has the ending '{path.suffix}'; allowed: {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise UnreachableError(f"the folder {path.parent} does not exist")


def save_figure(spec: FigureSpec | Chart, path: Path) -> None:
    """Draw a figure into a file, whole or not at all; the format is told by the file's ending."""
    check_format(path)
    with mpl.rc_context(STYLE):
        figure = draw_any(spec)
        metadata = {"Creator": "phasemap"} if path.suffix != ".png" else {"Software": "phasemap"}
        try:
            write_whole(path, lambda temporary: figure.savefig(temporary, metadata=metadata))
        except OSError as error:
            raise UnreachableError(f"{path} can't be written: {error.strerror}") from None


def draw_any(spec: FigureSpec | Chart) -> Figure:
    """Draw a phase diagram or a chart in the project's style."""
    with mpl.rc_context(STYLE):
        return draw_chart(spec) if isinstance(spec, Chart) else draw(spec)


def draw(spec: FigureSpec) -> Figure:
    """Draw all panels of a figure with one legend."""
    rows = -(-len(spec.panels) // spec.columns)
    nx, ny = len(spec.x.ticks), len(spec.y.ticks) if spec.y else 1
    width = min(max(CELL_INCHES * nx, 2.2), 5.2)
    height = min(max(CELL_INCHES * ny, 0.5), 4.6)
    handles = _handles(spec)
    tall = max(rows * (height + 0.42) + 1.15, 0.24 * len(handles) + 1.0)
    figure = Figure(figsize=(spec.columns * (width + 0.35) + 2.9, tall), layout="constrained")
    grid = figure.subplots(rows, spec.columns, squeeze=False, sharex=True, sharey=True)
    image: Any = None
    for place, ax in enumerate(grid.flat):
        if place >= len(spec.panels):
            ax.set_axis_off()
            continue
        cell_points = 72 * min(width / nx, height / ny)
        image = draw_panel(ax, spec, spec.panels[place], cell_points)
        ax.set_xlabel(spec.x.label if place + spec.columns >= len(spec.panels) else "")
        ax.xaxis.set_tick_params(labelbottom=place + spec.columns >= len(spec.panels))
        ax.set_ylabel(spec.y.label if spec.y and place % spec.columns == 0 else "")
    characters = int(figure.get_figwidth() * 15)
    figure.suptitle(f"{spec.title}\n" + wrapped(spec.subtitle, characters), fontsize=8.5, x=0.01, ha="left")
    if image is not None and spec.panels[0].values is not None:
        figure.colorbar(image, ax=grid, label=readable(spec.metric), shrink=0.8, pad=0.015)
    figure.legend(handles=handles, loc="outside right center", frameon=False, fontsize=8.5, handlelength=1.6)
    return figure


def draw_into(ax: Axes, spec: FigureSpec) -> Axes:
    """Draw a figure of one panel into axes, with its legend beside them; UserError for several panels."""
    if len(spec.panels) != 1:
        raise UserError(f"the diagram has {len(spec.panels)} panels; allowed in one axes: 1 (fix the other axes)")
    box = ax.get_window_extent().transformed(ax.figure.dpi_scale_trans.inverted())
    rows, columns = spec.panels[0].marks.shape
    draw_panel(ax, spec, spec.panels[0], 72 * min(box.width / columns, box.height / rows))
    ax.set_xlabel(spec.x.label)
    ax.set_ylabel(spec.y.label if spec.y else "")
    ax.legend(handles=_handles(spec), loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False, fontsize="small")
    return ax


def draw_panel(ax: Axes, spec: FigureSpec, panel: PanelSpec, cell_points: float) -> Any:
    """Draw one map into axes and return its image, if its cells show a quantity."""
    y_edges = spec.y.edges if spec.y else np.asarray([-0.5, 0.5])
    image = None
    if panel.values is not None:
        limits = (0.0, 1.0) if "accuracy" in spec.metric or "corruption" in spec.metric else _limits(spec)
        shown = np.ma.masked_invalid(panel.values)
        image = ax.pcolormesh(
            spec.x.edges, y_edges, shown, vmin=limits[0], vmax=limits[1], cmap="viridis", rasterized=True
        )
    _draw_cells(ax, spec, panel, y_edges, min(9.0, 0.52 * cell_points))
    for line in panel.lines:
        style = next(style for kind, _, style in spec.frontiers if kind == line.kind)
        ax.plot(
            line.points[:, 0],
            line.points[:, 1],
            color="black",
            linewidth=1.8,
            linestyle=style,
            path_effects=[withStroke(linewidth=3.6, foreground="white")],
            zorder=5,
        )
    _dress(ax, spec, panel, y_edges)
    return image


def _dress(ax: Axes, spec: FigureSpec, panel: PanelSpec, y_edges: Any) -> None:
    if spec.x.scale == "log":
        ax.set_xscale("log")
    if spec.y and spec.y.scale == "log":
        ax.set_yscale("log")
    ax.set_xlim(spec.x.edges[0], spec.x.edges[-1])
    ax.set_ylim(y_edges[0], y_edges[-1])
    _ticks(ax.xaxis, spec.x)
    if spec.y:
        _ticks(ax.yaxis, spec.y)
    else:
        ax.set_yticks([])
    if max(map(len, spec.x.tick_labels)) > 5 and len(spec.x.tick_labels) > 5:
        ax.tick_params(axis="x", labelrotation=45)
    ax.set_title(panel.title)


def _ticks(axis: Any, spec: AxisSpec) -> None:
    every = -(-len(spec.ticks) // MOST_TICKS)
    axis.set_ticks(spec.ticks[::every], labels=spec.tick_labels[::every])
    axis.set_ticks([], minor=True)


def _draw_cells(ax: Axes, spec: FigureSpec, panel: PanelSpec, y_edges: Any, size: float) -> None:
    """Draw all cells that show a label, and the signs in their corners: one artist a kind, for maps of many cells."""
    shown = np.ones(panel.marks.shape, dtype=bool) if panel.values is None else np.isnan(panel.values)
    scales = (spec.x.scale, spec.y.scale if spec.y else "ordinal")
    for name in dict.fromkeys(panel.marks[shown].tolist()):
        mark = MARKS[str(name)]
        rows, columns = np.nonzero(shown & (panel.marks == name))
        cells = _Cells(rows=rows, columns=columns, x_edges=spec.x.edges, y_edges=y_edges, scales=scales)
        _draw_mark(ax, cells, mark, size)
        for note, (sign, _) in NOTES.items() if panel.values is None else ():
            noted = cells.only(panel.notes == note)
            ax.plot(
                *noted.at(0.85, 0.85),
                linestyle="",
                marker=sign,
                color=mark.ink,
                markersize=size * 0.4,
                fillstyle="none" if sign == "o" else "full",
                markeredgewidth=0.7,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cells:
    """The rectangles of n points, in the numbers that are drawn."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    x_edges: Floats
    y_edges: Floats
    scales: tuple[str, str]

    def only(self, wanted: NDArray[np.bool_]) -> _Cells:
        """Return those cells where ``wanted`` (ny, nx) is true."""
        kept = wanted[self.rows, self.columns]
        return replace(self, rows=self.rows[kept], columns=self.columns[kept])

    def at(self, across: float, up: float) -> tuple[Floats, Floats]:
        """Return the places that stand these shares of the way through each cell, on its scales."""
        return (
            _inside(self.scales[0], self.x_edges[self.columns], self.x_edges[self.columns + 1], across),
            _inside(self.scales[1], self.y_edges[self.rows], self.y_edges[self.rows + 1], up),
        )

    def corners(self) -> Floats:
        """Return the corners (n, 4, 2)."""
        return np.stack([np.stack(self.at(*corner), axis=1) for corner in ((0, 0), (1, 0), (1, 1), (0, 1))], axis=1)


def _draw_mark(ax: Axes, cells: _Cells, mark: Mark, size: float) -> None:
    """Fill cells with a label's colour or hatch, and write its letter."""
    edge = "#8a8a8a" if mark.hatch else "white"
    ax.add_collection(
        PolyCollection(
            list(cells.corners()), facecolor=mark.colour, edgecolor=edge, linewidth=0.4, hatch=mark.hatch, zorder=1
        ),
        autolim=False,
    )
    if mark.letter and size >= SMALLEST_LETTER:
        effects = [withStroke(linewidth=2.5, foreground="white")] if mark.hatch else None
        for x, y in zip(*cells.at(0.5, 0.5), strict=True):
            ax.text(
                x,
                y,
                mark.letter,
                ha="center",
                va="center",
                fontsize=size,
                color=mark.ink,
                path_effects=effects,
                clip_on=True,
            )


def _inside(scale: str, start: Floats, end: Floats, share: float) -> Floats:
    return start * (end / start) ** share if scale == "log" else start + share * (end - start)


def _limits(spec: FigureSpec) -> tuple[float, float]:
    values = np.concatenate([p.values.ravel() for p in spec.panels if p.values is not None])
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)


def _handles(spec: FigureSpec) -> list[Any]:
    labelled = spec.panels[0].values is None
    handles: list[Any] = []
    for entry in spec.legend:
        if labelled or entry.mark.hatch:
            text = f"{entry.mark.letter or ' '}  {entry.mark.title} ({entry.count})"
            handles.append(
                Patch(
                    facecolor=entry.mark.colour,
                    edgecolor="#8a8a8a",
                    hatch=entry.mark.hatch,
                    label=text,
                    linewidth=0.4,
                )
            )
    notes = {note for panel in spec.panels for note in panel.notes.ravel() if note} if labelled else set()
    for note, (sign, text) in NOTES.items():
        if note in notes:
            fill: Any = "none" if sign == "o" else "full"
            handles.append(
                Line2D([], [], color="black", marker=sign, markersize=4, fillstyle=fill, linestyle="", label=text)
            )
    for _, meaning, style in spec.frontiers:
        line = Line2D([], [], color="black", linewidth=1.8, label=wrapped(meaning, 22))
        line.set_linestyle(style)
        handles.append(line)
    return handles
