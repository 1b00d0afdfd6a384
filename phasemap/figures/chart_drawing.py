"""Draw charts with matplotlib: lines with bands, histograms, dots, and one legend.

The layout is computed from measured texts, as that of maps is: solving for it would draw everything twice.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from phasemap.figures.captions import wrapped
from phasemap.figures.chart import Bars, Chart, ChartPanel, Event, Series
from phasemap.figures.style import (
    EDGE,
    LINE,
    MOST_COLUMNS_IN_WIDTH,
    MOST_DECADES,
    PAGE,
    Legend,
    fitted,
    font_size,
    heading,
    label_log,
    text_height,
    text_width,
    write_lines,
)
from phasemap.phases.strokes import Stroke

PANEL = 216.0, 0.74  # points: the width of a panel that has room, and its height as a share of the width
MOST_COLUMNS = 6  # that a page has room for; more make a wider figure
NARROW = 120.0  # points: a panel of a figure that is wider than a page
GAP = 11.0  # points between panels that share their axes
LEGEND_CHARACTERS = 26
LETTER_GAP = 7.0  # points: letters of close events are moved apart
MARKERS_A_LINE = 6
HANDLE = 3.0  # font sizes: the length of a line in the legend
MATHS = re.compile(r"\\mathdefault|[${}^\\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Margins:
    """What stands around the panels, in points."""

    left: float  # of the first column
    below: float  # the last row
    head: float  # above a row: titles, and letters of events
    across: float  # between columns
    down: float  # between rows, without heads


def draw_chart(chart: Chart, page: float | None = None) -> Figure:
    """Draw all panels of a chart with one legend, beside them where a page has room for it, else below."""
    if page is not None and chart.columns > MOST_COLUMNS_IN_WIDTH[page]:
        chart = replace(chart, columns=MOST_COLUMNS_IN_WIDTH[page])
    rows = math.ceil(len(chart.panels) / chart.columns)
    figure = Figure()
    axes: list[Axes] = []
    for panel in chart.panels:
        shared: dict[str, Any] = {"sharex": axes[0], "sharey": axes[0]} if axes and chart.shared else {}
        axes.append(figure.add_axes((0.0, 0.0, 1.0, 1.0), label=str(len(axes)), **shared))
        _draw_panel(axes[-1], panel)
        if len(chart.panels) > 1:
            axes[-1].minorticks_off()  # too dense in small panels, and half of the time of drawing them
    handles = _handles(chart)
    margins = _margins(chart, axes, [])
    beside = Legend.of(handles, 0.0, None, HANDLE).beside
    width = _panel_width(chart, margins, page, beside)
    for ax in axes[:1] if chart.shared else axes:
        _thin_decades(ax.xaxis, width)
    titles = _titles(chart, width)
    margins = _margins(chart, axes, titles)
    high = PANEL[1] * width
    across = margins.left + chart.columns * (width + margins.across) - margins.across + EDGE
    legend = Legend.of(handles, across, page, HANDLE, margins.left)
    whole = 72 * page if page else across + legend.beside
    told, told_height = heading(chart.title, chart.subtitle, whole - 2 * EDGE)
    top = EDGE + told_height + 4
    panels = rows * (margins.head + high + margins.down) - margins.down + margins.below
    height = max(top + panels, top + legend.height) + legend.below + EDGE
    figure.set_size_inches(whole / 72, height / 72)
    write_lines(figure, told, EDGE, height - EDGE + 3)
    for number, (ax, panel) in enumerate(zip(axes, chart.panels, strict=True)):
        row, column = divmod(number, chart.columns)
        left = margins.left + column * (width + margins.across)
        bottom = height - top - row * (margins.head + high + margins.down) - margins.head - high
        ax.set_position((left / whole, bottom / height, width / whole, high / height))
        letters = any(event.letter for event in panel.events)
        ax.set_title(titles[number], pad=font_size() + 4 if letters else 4, parse_math=False)
        _label(ax, chart, number)
        _write_letters(ax, panel.events, width)
    if chart.shared and chart.columns > 1:
        middle = (margins.left + across - EDGE) / 2
        foot = height - top - panels + 2
        figure.text(middle / whole, foot / height, chart.panels[0].x_label, ha="center", va="bottom")
    legend.add(figure, margins.left, across, height - top - margins.head)
    return figure


def _label(ax: Axes, chart: Chart, number: int) -> None:
    """Label a panel's axes: of shared ones those at the border only, and several columns together."""
    panel = chart.panels[number]
    lowest = not chart.shared or number + chart.columns >= len(chart.panels)
    first = not chart.shared or number % chart.columns == 0
    ax.set_xlabel(panel.x_label if not chart.shared or chart.columns == 1 else "", labelpad=2)
    ax.set_ylabel(panel.y_label if first else "", labelpad=2)
    ax.tick_params(labelbottom=lowest, labelleft=first)


def _panel_width(chart: Chart, margins: Margins, page: float | None, legend: float) -> float:
    """Return the width of a panel in points: what a page's width leaves, at most what a panel needs."""
    if page is None and chart.columns > MOST_COLUMNS:
        return NARROW
    rest = margins.left + EDGE + (chart.columns - 1) * margins.across
    room = 72 * (page or PAGE) - rest
    if page is None and chart.columns * PANEL[0] + legend <= room:
        return PANEL[0]
    return room / chart.columns if page else min(PANEL[0], room / chart.columns)


def _margins(chart: Chart, axes: Sequence[Axes], titles: Sequence[str]) -> Margins:
    """Measure what stands around the panels: labels of ticks and axes, and titles."""
    line = LINE * font_size()
    some = axes[:1] if chart.shared else axes
    left = 12 + line + max(text_width(text, font_size()) for ax in some for text in _tick_labels(ax.yaxis))
    ends = [text_width(text, font_size()) for text in _tick_labels(axes[0].xaxis)]
    letters = font_size() if any(event.letter for panel in chart.panels for event in panel.events) else 0.0
    lines = max((text_height(title, font_size()) for title in titles), default=0.0)
    below = 2 * line + 8
    return Margins(
        left=left,
        below=below,
        head=lines + letters + 6,
        across=max(GAP, max(ends) + 4) if chart.shared else left,
        down=4.0 if chart.shared else below,
    )


def _tick_labels(axis: Any) -> list[str]:
    """Return the labels of an axis as they are read."""
    numbers = axis.get_majorticklocs()
    return ["0", *(MATHS.sub("", text) for text in axis.get_major_formatter().format_ticks(numbers))]


def _thin_decades(axis: Any, width: float) -> None:
    """Label fewer powers of ten where those of an axis would touch."""
    low, high = axis.get_view_interval()
    if low <= 0 or not isinstance(axis.get_major_locator(), LogLocator):
        return
    a_decade = width / max(math.log10(high / low), 1e-9)
    widest = max(text_width(text, font_size()) for text in _tick_labels(axis)) + 4
    if a_decade < widest:
        axis.set_major_locator(LogLocator(base=10.0 ** math.ceil(widest / a_decade), numticks=MOST_DECADES))


def _titles(chart: Chart, width: float) -> list[str]:
    """Break the titles to the panels' width, between axes rather than within one."""
    return ["\n".join(_broken(line, width) for line in panel.title.splitlines()) for panel in chart.panels]


def _broken(line: str, width: float) -> str:
    if text_width(line, font_size()) <= width:
        return line
    parts = line.replace(" (", "\n(").replace(", ", ",\n").splitlines()
    return "\n".join(fitted(part, width, font_size()) for part in parts)


def _draw_panel(ax: Axes, panel: ChartPanel) -> None:
    for bars in panel.bars:
        _draw_bars(ax, bars)
    for number, series in enumerate(panel.series):
        _draw_series(ax, series, number)
    for dots in panel.dots:
        ax.plot(dots.x, dots.y, linestyle="", **_marker(dots.stroke), zorder=4)
    for axis, scale in ((ax.xaxis, panel.x_scale), (ax.yaxis, panel.y_scale)):
        if scale == "log":
            ax.set(**{f"{axis.axis_name}scale": "log"})
            label_log(axis)
    if panel.y_limits:
        ax.set_ylim(panel.y_limits)
    if panel.series and panel.x_scale == "linear" and all((series.x % 1 == 0).all() for series in panel.series):
        ax.locator_params(axis="x", integer=True)
    if panel.x_ticks:
        ax.xaxis.set_major_locator(FixedLocator(panel.x_ticks))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if panel.note:
        up = 0.04 if panel.series or panel.bars else 0.5
        ax.text(0.5, up, panel.note, ha="center", fontsize=8, transform=ax.transAxes)
    for event in panel.events:
        ax.axvline(event.x, color=event.stroke.colour, linewidth=1.0, linestyle=event.stroke.style, zorder=1.5)


def _draw_series(ax: Axes, series: Series, number: int) -> None:
    stroke = series.stroke
    every = max(1, len(series.x) // MARKERS_A_LINE)
    ax.plot(
        series.x,
        series.y,
        linewidth=0.8 if series.thin else 1.5,
        linestyle=stroke.style,
        markevery=(number * every // MARKERS_A_LINE % every, every),
        **_marker(stroke),
    )
    if series.low is not None and series.high is not None:
        ax.fill_between(series.x, series.low, series.high, color=stroke.colour, alpha=0.18, linewidth=0)


def _marker(stroke: Stroke) -> dict[str, Any]:
    """Return a stroke's colour and marker; markers are small and hollow, so that lines below them stay visible."""
    return {"color": stroke.colour, "marker": stroke.marker, "markersize": 3.8, "markerfacecolor": "white"}


def _draw_bars(ax: Axes, bars: Bars) -> None:
    """Fill a histogram, and outline it so that one behind another stays visible."""
    look: dict[str, Any] = {"facecolor": bars.colour, "hatch": bars.hatch, "edgecolor": "white"}
    ax.stairs(bars.heights, bars.edges, fill=True, alpha=0.55, **look)
    ax.stairs(bars.heights, bars.edges, color=[0.7 * share for share in to_rgb(bars.colour)], linewidth=1.0)


def _write_letters(ax: Axes, events: Sequence[Event], width: float) -> None:
    """Write the events' letters above the frame, once its limits are known; close ones are moved apart."""
    last = -math.inf
    for event in sorted((event for event in events if event.letter), key=lambda event: event.x):
        across = ax.transAxes.inverted().transform(ax.transData.transform((event.x, 1.0)))[0]
        last = max(float(across), last + LETTER_GAP / width)
        ax.text(last, 1.01, event.letter, ha="center", va="bottom", fontsize=8, transform=ax.transAxes)


def _handles(chart: Chart) -> list[Any]:
    """Return one legend entry a label, in the order of the panels; vertical lines come last."""
    handles: dict[str, Any] = {}
    for panel in chart.panels:
        handles |= {bars.label: _patch(bars) for bars in panel.bars}
        handles |= {series.stroke.label: _line(series.stroke, series.stroke.style) for series in panel.series}
        handles |= {dots.stroke.label: _line(dots.stroke, "") for dots in panel.dots}
    for event in (event for panel in chart.panels for event in panel.events):
        handle = _line(event.stroke, event.stroke.style)
        handle.set(linewidth=1.0, label=wrapped(f"{event.letter}  {event.stroke.label}".strip(), LEGEND_CHARACTERS))
        handles[event.stroke.label] = handle
    return list(handles.values())


def _patch(bars: Bars) -> Patch:
    label = wrapped(bars.label, LEGEND_CHARACTERS)
    return Patch(facecolor=bars.colour, edgecolor="white", alpha=0.7, hatch=bars.hatch, label=label)


def _line(stroke: Stroke, style: Any) -> Line2D:
    label = wrapped(stroke.label, LEGEND_CHARACTERS)
    return Line2D([], [], linestyle=style, linewidth=1.5, label=label, **_marker(stroke))
