"""Draw charts with matplotlib: lines with bands, histograms, dots, and one legend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from phasemap.figures.captions import wrapped
from phasemap.figures.chart import Bars, Chart, ChartPanel, Event, Series
from phasemap.figures.style import add_legend, below_inches, write_title
from phasemap.phases.strokes import Stroke

LEGEND_INCHES = 2.1
FEW_PANELS = 4  # that have room for minor ticks
LEGEND_CHARACTERS = 26
LETTER_GAP = 0.05  # of the panel's width: letters of close events are moved apart
MARKERS_A_LINE = 6


def draw_chart(chart: Chart, page: float | None = None) -> Figure:
    """Draw all panels of a chart with one legend: beside them, or below where the figure's width is given."""
    rows = math.ceil(len(chart.panels) / chart.columns)
    handles = _handles(chart)
    width, height = _panel_inches(chart, page)
    titles = _titles(chart, width)
    lines = max(title.count("\n") + 1 for title in titles)
    across, around = chart.columns * (width + 0.35) + LEGEND_INCHES, 0.9
    if page is not None:
        across, around = page, below_inches(page, len(handles))
    size = (across, rows * (height + 0.17 * lines + 0.35) + around)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, chart.columns, squeeze=False, sharex=chart.shared, sharey=chart.shared)
    for place, ax in enumerate(grid.flat):
        if place >= len(chart.panels):
            ax.set_axis_off()
            continue
        panel = chart.panels[place]
        _draw_panel(ax, panel)
        if len(chart.panels) > FEW_PANELS:
            ax.minorticks_off()  # too dense in small panels, and half of the time of drawing them
        ax.set_title(titles[place], pad=14 if any(event.letter for event in panel.events) else 6)
        lowest = not chart.shared or place + chart.columns >= len(chart.panels)
        ax.set_xlabel(panel.x_label if lowest else "")
        ax.xaxis.set_tick_params(labelbottom=lowest)
        ax.set_ylabel(panel.y_label if not chart.shared or place % chart.columns == 0 else "")
    for ax, panel in zip(grid.flat, chart.panels, strict=False):
        _write_letters(ax, panel.events)
    write_title(figure, chart.title, chart.subtitle)
    add_legend(figure, handles, page, handle_length=3.0)
    return figure


def _panel_inches(chart: Chart, page: float | None) -> tuple[float, float]:
    """Return the size of a panel: what the page's width leaves, else smaller where there are many."""
    if page is not None:
        width = page / chart.columns - 0.35
        return width, 0.72 * width
    if chart.columns <= 2:
        return 3.4, 2.4
    return (2.4, 1.8) if chart.columns <= 6 else (1.9, 1.4)


def _titles(chart: Chart, width: float) -> list[str]:
    """Break the titles to the panels' width, between axes rather than within one."""
    most = int(width * 15)
    return ["\n".join(_broken(line, most) for line in panel.title.splitlines()) for panel in chart.panels]


def _broken(line: str, most: int) -> str:
    if len(line) <= most:
        return line
    return "\n".join(wrapped(part, most) for part in line.replace(" (", "\n(").replace(", ", ",\n").splitlines())


def _draw_panel(ax: Axes, panel: ChartPanel) -> None:
    for bars in panel.bars:
        _draw_bars(ax, bars)
    for number, series in enumerate(panel.series):
        _draw_series(ax, series, number)
    for dots in panel.dots:
        ax.plot(dots.x, dots.y, linestyle="", **_marker(dots.stroke), zorder=4)
    ax.set_xscale(panel.x_scale)
    ax.set_yscale(panel.y_scale)
    if panel.y_limits:
        ax.set_ylim(panel.y_limits)
    if panel.x_ticks:
        ax.xaxis.set_major_locator(FixedLocator(panel.x_ticks))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if panel.note:
        ax.text(
            0.5,
            0.04 if panel.series or panel.bars else 0.5,
            panel.note,
            ha="center",
            fontsize=8,
            transform=ax.transAxes,
        )
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
    ax.stairs(
        bars.heights, bars.edges, fill=True, facecolor=bars.colour, alpha=0.55, hatch=bars.hatch, edgecolor="white"
    )
    ax.stairs(bars.heights, bars.edges, color=bars.colour, linewidth=1.2)


def _write_letters(ax: Axes, events: Sequence[Event]) -> None:
    """Write the events' letters above the frame, once its limits are known; close ones are moved apart."""
    last = -math.inf
    for event in sorted((event for event in events if event.letter), key=lambda event: event.x):
        across = ax.transAxes.inverted().transform(ax.transData.transform((event.x, 1.0)))[0]
        last = max(float(across), last + LETTER_GAP)
        ax.text(last, 1.01, event.letter, ha="center", va="bottom", fontsize=8, transform=ax.transAxes)


def _handles(chart: Chart) -> list[Any]:
    """Return one legend entry a label, in the order of the panels; vertical lines come last."""
    found: dict[str, Any] = {}
    for panel in chart.panels:
        found |= {bars.label: _patch(bars) for bars in panel.bars}
        found |= {series.stroke.label: _line(series.stroke, series.stroke.style) for series in panel.series}
        found |= {dots.stroke.label: _line(dots.stroke, "") for dots in panel.dots}
    for event in (event for panel in chart.panels for event in panel.events):
        handle = _line(event.stroke, event.stroke.style)
        handle.set(linewidth=1.0, label=wrapped(f"{event.letter}  {event.stroke.label}".strip(), LEGEND_CHARACTERS))
        found[event.stroke.label] = handle
    return list(found.values())


def _patch(bars: Bars) -> Patch:
    label = wrapped(bars.label, LEGEND_CHARACTERS)
    return Patch(facecolor=bars.colour, edgecolor="white", alpha=0.7, hatch=bars.hatch, label=label)


def _line(stroke: Stroke, style: Any) -> Line2D:
    label = wrapped(stroke.label, LEGEND_CHARACTERS)
    return Line2D([], [], linestyle=style, linewidth=1.5, label=label, **_marker(stroke))
