"""How the page shows what was found: small charts as SVG that needs no script, tables, and numbers."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from phasemap.phases.marks import MARKS

WIDTH, HEIGHT = 560, 260
LEFT, RIGHT, TOP, BOTTOM = 60, 28, 10, 44
TICKS = 5
STEPS = (1, 2, 5, 10, 20)  # between marks of percent
DASHES = {"solid": "", "dashed": "6 4", "dotted": "2 3"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a chart: points from left to right, with the ends of their intervals."""

    label: str
    colour: str
    style: str  # solid | dashed | dotted
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    band: bool = False  # the intervals as a band, not as bars


def line_chart(
    lines: Sequence[Line], *, x_label: str, y_label: str, log_x: bool = False, percent_x: bool = False
) -> str:
    """Draw lines over a common x; y is in percent."""
    xs = [math.log10(x) if log_x else x for line in lines for x in line.x]
    ys = [value for line in lines for value in (*line.low, *line.high, *line.y)]
    step = next((s for s in STEPS if max(ys) - min(ys) <= s * (TICKS - 1)), STEPS[-1])
    bottom = max(0.0, math.floor(min(ys) / step) * step)
    top = min(100.0, math.ceil(max(ys) / step) * step)
    frame = _Frame(min(xs), max(xs), bottom, max(top, bottom + step), step, log_x)
    parts = [frame.axes(x_label, y_label, percent_x=percent_x), *(_line(line, frame) for line in lines)]
    title = html.escape(f"{y_label} / {x_label}: " + ", ".join(line.label for line in lines))
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">{"".join(parts)}</svg>{_legend(lines)}'


def stacked_bar(parts: Sequence[tuple[str, str, float]]) -> str:
    """Draw one bar from 0 to 100 of parts (label, colour, percent), with a legend that names their sizes."""
    x, pieces = 0.0, []
    for _, colour, size in parts:
        width = max(size, 0.0) * WIDTH / 100
        pieces.append(f'<rect x="{x:.1f}" y="0" width="{width:.1f}" height="28" fill="{colour}"/>')
        x += width
    labels = "".join(
        f'<li><span class="key" style="--c:{colour}"></span>{html.escape(label)}: {size:.1f}</li>'
        for label, colour, size in parts
    )
    title = html.escape(", ".join(f"{label} {size:.1f}" for label, _, size in parts))
    return (
        f'<svg viewBox="0 0 {WIDTH} 28" role="img" aria-label="{title}"><rect width="{WIDTH}" height="28" '
        f'class="empty"/>{"".join(pieces)}</svg><ul class="legend">{labels}</ul>'
    )


@dataclass(frozen=True, slots=True)
class _Frame:
    x_low: float
    x_high: float
    y_low: float
    y_high: float
    y_step: float
    log_x: bool

    def x(self, value: float) -> float:
        at = math.log10(value) if self.log_x else value
        share = (at - self.x_low) / ((self.x_high - self.x_low) or 1)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        share = (value - self.y_low) / (self.y_high - self.y_low)
        return TOP + (1 - share) * (HEIGHT - TOP - BOTTOM)

    def axes(self, x_label: str, y_label: str, *, percent_x: bool) -> str:
        parts = []
        for i in range(int((self.y_high - self.y_low) / self.y_step + 1.5)):
            value = min(self.y_low + i * self.y_step, self.y_high)
            y = self.y(value)
            parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
            parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" class="right">{value:.3g}</text>')
        for i in range(TICKS):
            at = self.x_low + i * (self.x_high - self.x_low) / (TICKS - 1)
            number = 10**at if self.log_x else at
            text = f"{100 * number:.0f} %" if percent_x else f"{number:.0f}"
            parts.append(f'<text x="{self.x(number):.1f}" y="{HEIGHT - BOTTOM + 18}" class="middle">{text}</text>')
        middle = (TOP + HEIGHT - BOTTOM) / 2
        parts.append(f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 5}" class="middle">{html.escape(x_label)}</text>')
        parts.append(
            f'<text transform="translate(14 {middle}) rotate(-90)" class="middle">{html.escape(y_label)}</text>'
        )
        return "".join(parts)


def _line(line: Line, frame: _Frame) -> str:
    points = [(frame.x(x), frame.y(y)) for x, y in zip(line.x, line.y, strict=True)]
    ends = [(frame.x(x), frame.y(a), frame.y(b)) for x, a, b in zip(line.x, line.low, line.high, strict=True)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dash = f' stroke-dasharray="{DASHES[line.style]}"' if DASHES[line.style] else ""
    drawn = f'<polyline points="{path}" fill="none" stroke="{line.colour}" stroke-width="2"{dash}/>'
    if line.band:
        around = " ".join(f"{x:.1f},{a:.1f}" for x, a, _ in ends) + " "
        around += " ".join(f"{x:.1f},{b:.1f}" for x, _, b in reversed(ends))
        return f'<polygon points="{around}" fill="{line.colour}" opacity="0.2"/>{drawn}'
    bars = "".join(
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{a:.1f}" y2="{b:.1f}" stroke="{line.colour}" stroke-width="1.5"/>'
        for x, a, b in ends
    )
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{line.colour}"/>' for x, y in points)
    return bars + drawn + dots


def _legend(lines: Sequence[Line]) -> str:
    items = "".join(
        f'<li><svg viewBox="0 0 24 8" class="key-line" aria-hidden="true"><line x1="0" x2="24" y1="4" y2="4" '
        f'stroke="{line.colour}" stroke-width="2" stroke-dasharray="{DASHES[line.style]}"/></svg>'
        f"{html.escape(line.label)}</li>"
        for line in lines
    )
    return f'<ul class="legend">{items}</ul>'


def line_of(
    label: str,
    colour: str,
    style: str,
    x: Sequence[float],
    y: Sequence[Mapping[str, float | None]],
    *,
    band: bool = False,
) -> Line:
    """Return a line of estimates, in percent."""

    def percents(name: str) -> list[float]:
        return [100 * (one[name] if one[name] is not None else one["value"] or 0.0) for one in y]  # type: ignore[operator]

    return Line(
        label=label, colour=colour, style=style, x=x, y=percents("value"), low=percents("low"), high=percents("high"),
        band=band,
    )  # fmt: skip


def phase_cell(cell: Mapping[str, Any]) -> str:
    """Return a cell of the phase map: its letter and its held-out accuracy, on its colour."""
    mark = MARKS.get(cell["subphase"] or "missing", MARKS["missing"])
    accuracy = "" if cell["test_accuracy"] is None else f"{100 * cell['test_accuracy']:.0f}"
    return f'<td style="--c:{mark.colour};--i:{mark.ink}" title="{mark.title}">{mark.letter} {accuracy}</td>'


def table_of(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of text."""
    head = f"<tr>{''.join(f'<th scope=col>{html.escape(text)}</th>' for text in heads)}</tr>" if heads else ""
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table>{head}{body}</table></div>'


def in_points(value: float | None) -> str:
    """Write a difference of accuracies in points."""
    if value is None:
        return "?"
    text = f"{100 * value:.1f}"
    return "0.0" if text == "-0.0" else text


def percent(value: float | None) -> str:
    """Write a share in percent."""
    return "?" if value is None else f"{100 * value:.1f} %"


def money(value: float | None) -> str:
    """Write a sum of money."""
    return "?" if value is None else f"{value:,.0f}"


def with_interval(estimate: Mapping[str, float | None], scale: float = 100, digits: int = 1) -> str:
    """Write a value with its interval, in percent unless told otherwise."""
    if estimate["value"] is None:
        return "?"
    value, low, high = (None if estimate[n] is None else scale * estimate[n] for n in ("value", "low", "high"))  # type: ignore[operator]
    if low is None or high is None:
        return f"{value:,.{digits}f}"
    return f"{value:,.{digits}f} ({low:,.{digits}f} – {high:,.{digits}f})"
