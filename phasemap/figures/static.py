"""Draw figures with matplotlib: png, svg or pdf."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from phasemap._version import __version__
from phasemap.figures.chart import Chart
from phasemap.figures.lines import draw_chart
from phasemap.figures.panel import draw_panel, map_handles
from phasemap.figures.scatter import ScatterSpec, draw_scatter
from phasemap.figures.spec import FigureSpec
from phasemap.figures.style import add_legend, below_inches, in_style, width_inches, write_title
from phasemap.phases.strokes import readable
from phasemap.results.folder import write_whole, written
from phasemap.study.errors import UnreachableError, UserError

FORMATS = (".png", ".svg", ".pdf")
CELL_INCHES = 0.34
MOST_COLUMNS_IN_WIDTH = {3.4: 2, 7.0: 4}


def check_format(path: Path, formats: tuple[str, ...] = FORMATS) -> None:
    """UserError unless a figure can be written under this name."""
    if path.suffix.lower() not in formats:
        raise UserError(f"{path} has the ending '{path.suffix}'; allowed: {', '.join(formats)}")
    if not path.parent.is_dir():
        raise UnreachableError(f"the folder {path.parent} does not exist")


def save_figure(spec: FigureSpec | ScatterSpec | Chart, path: Path, size: str | None = None) -> None:
    """Draw a figure into a file, whole or not at all; the format is told by the file's ending."""
    check_format(path)
    with in_style(size):
        write_figure(draw_any(spec, size), path, spec.title, spec.source)


def write_figure(figure: Figure, path: Path, title: str, source: str) -> None:
    """Write a figure with its title, what it was drawn from, and the version that drew it; no date."""
    maker, kind = f"phasemap {__version__}", path.suffix.lower()
    metadata: dict[str, Any] = {"Title": title}
    if kind == ".png":
        metadata |= {"Software": maker, "Description": source}
    elif kind == ".svg":
        metadata |= {"Creator": maker, "Description": source, "Date": None}
    else:
        metadata |= {"Creator": maker, "Subject": source, "CreationDate": None}
    with written(path):
        write_whole(path, lambda temporary: figure.savefig(temporary, metadata=metadata))


def png_of(spec: FigureSpec | ScatterSpec | Chart) -> bytes:
    """Draw a figure as a PNG in memory, as notebooks show it."""
    buffer = BytesIO()
    with in_style(None):
        draw_any(spec).savefig(buffer, format="png")
    return buffer.getvalue()


def draw_any(spec: FigureSpec | ScatterSpec | Chart, size: str | None = None) -> Figure:
    """Draw a phase diagram or a chart in the project's style, or in what the user has set instead."""
    width = width_inches(size)
    with in_style(size):
        if isinstance(spec, ScatterSpec):
            return draw_scatter(spec, width)
        return draw_chart(spec, width) if isinstance(spec, Chart) else draw(spec, width)


def draw(spec: FigureSpec, page: float | None = None) -> Figure:
    """Draw all panels of a figure with one legend: beside them, or below where the figure's width is given."""
    if page is not None:
        spec = replace(spec, columns=min(spec.columns, MOST_COLUMNS_IN_WIDTH[page]))
    rows = -(-len(spec.panels) // spec.columns)
    nx, ny = len(spec.x.ticks), len(spec.y.ticks) if spec.y else 1
    handles = map_handles(spec)
    if page is None:
        width = min(max(CELL_INCHES * nx, 2.2), 5.2)
        height = min(max(CELL_INCHES * ny, 0.5), 4.6)
        tall = max(rows * (height + 0.42) + 1.15, 0.24 * len(handles) + 1.0)
        figure = Figure(figsize=(spec.columns * (width + 0.35) + 2.9, tall), layout="constrained")
    else:
        width = (page - 0.55) / spec.columns - 0.1
        height = min(max(width / nx * ny, 0.3), 1.1 * width)
        figure = Figure(figsize=(page, rows * (height + 0.3) + below_inches(page, len(handles))), layout="constrained")
    shown = 0.8 * width if page and spec.panels[0].values is not None else width  # the colour bar takes the rest
    grid = figure.subplots(rows, spec.columns, squeeze=False, sharex=True, sharey=True)
    image: Any = None
    for place, ax in enumerate(grid.flat):
        if place >= len(spec.panels):
            ax.set_axis_off()
            continue
        image = draw_panel(ax, spec, spec.panels[place], (72 * shown / nx, 72 * height / ny))
        ax.set_xlabel(spec.x.label if place + spec.columns >= len(spec.panels) else "")
        ax.xaxis.set_tick_params(labelbottom=place + spec.columns >= len(spec.panels))
        ax.set_ylabel(spec.y.label if spec.y and place % spec.columns == 0 else "")
    write_title(figure, spec.title, spec.subtitle)
    if image is not None and spec.panels[0].values is not None:
        figure.colorbar(image, ax=grid, label=readable(spec.metric), shrink=0.8, pad=0.015)
    add_legend(figure, handles, page)
    return figure


def draw_into(ax: Axes, spec: FigureSpec) -> Axes:
    """Draw a figure of one panel into axes, with its legend beside them; UserError for several panels."""
    if len(spec.panels) != 1:
        raise UserError(f"the diagram has {len(spec.panels)} panels; allowed in one axes: 1 (fix the other axes)")
    box = ax.get_window_extent().transformed(ax.figure.dpi_scale_trans.inverted())
    rows, columns = spec.panels[0].marks.shape
    draw_panel(ax, spec, spec.panels[0], (72 * box.width / columns, 72 * box.height / rows))
    ax.set_xlabel(spec.x.label)
    ax.set_ylabel(spec.y.label if spec.y else "")
    handles = map_handles(spec)
    ax.legend(handles=handles, loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False, fontsize="small")
    return ax
