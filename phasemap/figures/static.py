"""Draw figures with matplotlib: the layout of maps, and files as png, svg or pdf."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from phasemap._version import __version__
from phasemap.figures.captions import sentences
from phasemap.figures.chart import Chart
from phasemap.figures.chart_drawing import draw_chart
from phasemap.figures.panel import (
    Size,
    add_colour_bar,
    colour_scale,
    draw_panel,
    map_handles,
    overhang,
    placed_names,
    slants,
)
from phasemap.figures.scatter import ScatterSpec, draw_scatter
from phasemap.figures.spec import AxisSpec, FigureSpec
from phasemap.figures.style import (
    EDGE,
    GAP,
    LINE,
    MOST_COLUMNS_IN_WIDTH,
    NARROWEST,
    PAGE,
    SMALL,
    Legend,
    fitted,
    font_size,
    heading,
    in_style,
    shortened,
    text_height,
    text_width,
    width_inches,
    write_lines,
)
from phasemap.phases.strokes import readable
from phasemap.results.folder import write_whole, written
from phasemap.study.errors import UnreachableError, UserError

FORMATS = (".png", ".svg", ".pdf")
CELL = (36.0, 33.0)  # points: the size of a map's cells, where there is room
BAR = (9.0, 260.0)  # points: the width of a colour bar, and its height at most
LABEL_SHARE = 0.35  # of a figure's width, at most, that the labels of an axis take
LARGEST, SMALLEST = (390.0, 300.0), (150.0, 36.0)  # points: of a panel


def check_format(path: Path, formats: tuple[str, ...] = FORMATS) -> None:
    """UserError unless a figure can be written under this name."""
    if path.suffix.lower() not in formats:
        raise UserError(f"{path} has the ending '{path.suffix}'; allowed: {', '.join(formats)}")
    if not path.parent.is_dir():
        raise UnreachableError(f"the folder {path.parent} does not exist")


def save_figure(spec: FigureSpec | ScatterSpec | Chart, path: Path, size: str | None = None) -> None:
    """Draw a figure into a file, whole or not at all; the format is told by the file's ending."""
    check_format(path)
    with in_style(size, spec):
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
    with in_style(size, spec):
        if isinstance(spec, ScatterSpec):
            return draw_scatter(spec, width)
        return draw_chart(spec, width) if isinstance(spec, Chart) else draw(spec, width)


@dataclass(frozen=True, slots=True, kw_only=True)
class Margins:
    """What stands around the panels, in points: ticks and labels, heads, a colour bar."""

    left: float
    right: float
    bottom: float
    head: float  # above the first row of panels
    gap: float  # between rows


def draw(spec: FigureSpec, page: float | None = None) -> Figure:
    """Draw all panels of a figure; its labels have a legend where not all regions bear their names."""
    if page is not None and spec.columns > MOST_COLUMNS_IN_WIDTH[page]:
        spec = replace(spec, columns=MOST_COLUMNS_IN_WIDTH[page], heads=((), ()))
    longest = LABEL_SHARE * 72 * (page or PAGE)
    spec = replace(spec, x=_shortened(spec.x, longest), y=_shortened(spec.y, longest))
    size = panel_size(spec, page)
    margins = margins_of(spec, size)
    names = [placed_names(spec, panel, size) for panel in spec.panels]
    across = margins.left + spec.columns * (size[0] + GAP) - GAP + margins.right
    legend = Legend.of(map_handles(spec, names), across, page, left=margins.left)
    width = 72 * page if page else max(across + legend.beside, NARROWEST)
    room = width - margins.left - EDGE
    told, told_height = heading(spec.title, spec.subtitle, room)
    key = fitted(sentences("; ".join(spec.key)), room, font_size(SMALL))
    above = EDGE + told_height + margins.head + 2
    noted = text_height(key, font_size(SMALL))
    rows = -(-len(spec.panels) // spec.columns)
    high = rows * (size[1] + margins.gap) - margins.gap
    height = above + high + margins.bottom + noted + legend.below + EDGE
    figure = Figure(figsize=(width / 72, height / 72))
    write_lines(figure, told, margins.left, height - EDGE)
    write_lines(figure, ["", key], margins.left, EDGE + legend.below + noted)
    corner = (margins.left, height - above)
    axes = [_add_axes(figure, spec, number, size, margins, corner) for number in range(len(spec.panels))]
    for ax, panel, placed in zip(axes, spec.panels, names, strict=True):
        image = draw_panel(ax, spec, panel, size, placed)
    _label_axes(figure, spec, axes, size, margins)
    if image is not None:
        _add_colours(figure, spec, image, (across - margins.right + _head_width(spec) + GAP, corner[1]), high)
    legend.add(figure, margins.left, across + GAP, corner[1])
    return figure


def _shortened(axis: AxisSpec, most: float) -> AxisSpec:
    """Cut an axis's labels to a width in points."""
    return replace(axis, tick_labels=tuple(shortened(label, most, font_size()) for label in axis.tick_labels))


def panel_size(spec: FigureSpec, page: float | None) -> Size:
    """Return the size of a panel: what the figure's width leaves, or smaller where the cells need no more."""
    nx, ny = len(spec.x.edges) - 1, len(spec.y.edges) - 1
    margins = margins_of(spec, (LARGEST[0] / spec.columns, LARGEST[1]))
    room = (72 * (page or PAGE) - margins.left - margins.right + GAP) / spec.columns - GAP
    width = min(max(CELL[0] * nx, SMALLEST[0]), LARGEST[0], room) if page is None else room
    height = width / nx * ny * CELL[1] / CELL[0]
    return width, min(max(height, CELL[1] if spec.strip else SMALLEST[1]), LARGEST[1], 1.05 * width)


def margins_of(spec: FigureSpec, size: Size) -> Margins:
    """Measure what stands around panels of a size."""
    line = LINE * font_size()
    labels = max((text_width(label, font_size()) for label in spec.y.tick_labels), default=0.0)
    longest = max(text_width(label, font_size()) for label in spec.x.tick_labels)
    slanted = slants(spec.x, size[0])
    ticks = 0.75 * longest + line if slanted else line
    title = max(text_height(head, font_size()) for head in _titles(spec, size))
    title += 2 if title else 0
    bar = _bar_width(spec) if spec.panels[0].values is not None else 0.0
    return Margins(
        left=EDGE + max(labels + (0.0 if spec.strip else 8 + line), overhang(spec.x, size[0]) if slanted else 0.0),
        right=EDGE + _head_width(spec) + max(bar, 0.5 * text_width(spec.x.tick_labels[-1], font_size()) - 4),
        bottom=ticks + line + 8,
        head=title,
        gap=GAP + (0.0 if spec.heads[1] else title),
    )


def _titles(spec: FigureSpec, size: Size) -> list[str]:
    """Return what stands above each panel, broken to its width: its title, or above the first row a facet's value."""
    titles = [panel.title for panel in spec.panels]
    if spec.heads[1]:
        titles = [*spec.heads[1], *[""] * (len(titles) - len(spec.heads[1]))]
    return [fitted(title, size[0] + GAP - 4, font_size()) for title in titles]


def _head_width(spec: FigureSpec) -> float:
    return LINE * font_size() + 3 if spec.heads[0] else 0.0


def _add_axes(
    figure: Figure, spec: FigureSpec, number: int, size: Size, margins: Margins, corner: tuple[float, float]
) -> Axes:
    """Add one panel's axes; ``corner`` is the upper left one of the first panel."""
    row, column = divmod(number, spec.columns)
    wide, high = 72 * figure.get_figwidth(), 72 * figure.get_figheight()
    left = corner[0] + column * (size[0] + GAP)
    bottom = corner[1] - row * (size[1] + margins.gap) - size[1]
    return figure.add_axes((left / wide, bottom / high, size[0] / wide, size[1] / high))


def _label_axes(figure: Figure, spec: FigureSpec, axes: Sequence[Axes], size: Size, margins: Margins) -> None:
    """Label ticks at the left and at the bottom only, and the axes and the values of two facets once."""
    rows, titles = spec.heads[0], _titles(spec, size)
    for number, ax in enumerate(axes):
        lowest = number + spec.columns >= len(axes)
        ax.tick_params(labelbottom=lowest, labelleft=number % spec.columns == 0)
        if titles[number]:
            ax.set_title(titles[number], pad=3, parse_math=False)
        if rows and number % spec.columns == spec.columns - 1:
            look: dict[str, Any] = {"rotation": -90, "ha": "left", "va": "center", "parse_math": False}
            head = shortened(rows[number // spec.columns], size[1] + GAP, font_size())
            ax.text(1 + 3 / size[0], 0.5, head, transform=ax.transAxes, **look)
    if len(axes) == 1:
        axes[0].set_xlabel(spec.x.label)
        axes[0].set_ylabel(spec.y.label)
        return
    boxes = [ax.get_position() for ax in axes]
    middle = (min(box.x0 for box in boxes) + max(box.x1 for box in boxes)) / 2
    lowest_edge = min(box.y0 for box in boxes)
    below = (margins.bottom - 4) / 72 / figure.get_figheight()
    figure.text(middle, lowest_edge - below, spec.x.label, ha="center", va="bottom")
    centre = (lowest_edge + max(box.y1 for box in boxes)) / 2
    left = EDGE / 72 / figure.get_figwidth()
    figure.text(left, centre, spec.y.label, rotation=90, ha="left", va="center")


def _bar_width(spec: FigureSpec) -> float:
    """Return the width of a colour bar with its labels, in points."""
    figure = Figure(figsize=(1.0, BAR[1] / 72))
    image = ScalarMappable(colour_scale(spec.metric_kind, spec.values))
    axis = add_colour_bar(figure, image, "", cax=figure.add_axes((0.0, 0.0, 0.1, 1.0)))
    labels = axis.get_major_formatter().format_ticks(axis.get_majorticklocs())
    widest = max((text_width(label, font_size()) for label in labels), default=0.0)
    return max(5.5 * font_size() + 14, GAP + BAR[0] + widest + LINE * font_size() + 11)  # 11: tick and pads


def _add_colours(figure: Figure, spec: FigureSpec, image: Any, corner: tuple[float, float], high: float) -> None:
    """Add a colour bar to the right of the panels; ``corner`` is its upper left one."""
    wide, tall = 72 * figure.get_figwidth(), 72 * figure.get_figheight()
    length = min(max(high, 60.0), BAR[1])
    box = (corner[0] / wide, (corner[1] - length) / tall, BAR[0] / wide, length / tall)
    add_colour_bar(figure, image, readable(spec.metric), cax=figure.add_axes(box))


def draw_into(ax: Axes, spec: FigureSpec) -> Axes:
    """Draw a figure of one panel into axes, with a legend beside them if needed; UserError for several panels."""
    if len(spec.panels) != 1:
        raise UserError(f"the diagram has {len(spec.panels)} panels; allowed in one axes: 1 (fix the other axes)")
    box = ax.get_window_extent().transformed(ax.figure.dpi_scale_trans.inverted())
    size = (72 * box.width, 72 * box.height)
    names = placed_names(spec, spec.panels[0], size)
    draw_panel(ax, spec, spec.panels[0], size, names)
    ax.set_xlabel(spec.x.label)
    ax.set_ylabel(spec.y.label)
    if handles := map_handles(spec, [names]):
        ax.legend(handles=handles, loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False, fontsize="small")
    return ax
