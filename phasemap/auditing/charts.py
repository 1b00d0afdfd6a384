"""The charts of the page, as shapes that a template draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

WIDTH, HEIGHT = 560, 260
LEFT, RIGHT, TOP, BOTTOM = 60, WIDTH - 28, 10, HEIGHT - 44
TICKS = 5
SLACK = 1e-9  # of a number that is an end of the range
STEPS = (1, 2, 5, 10, 20)  # between marks of percent
ROUND = "{:.0f}".format
DASHES = {"solid": "", "dashed": "6 4", "dotted": "2 3"}

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a chart: points from left to right, with the ends of their intervals."""

    label: str
    colour: str
    dash: str
    points: Points
    lower: Points
    upper: Points
    band: bool = False  # the intervals as a band, not as bars


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Lines over a common x, with marks on both axes, in the units of the picture."""

    title: str
    x_label: str
    y_label: str
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]
    lines: Sequence[Line]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = RIGHT
    top: int = TOP
    bottom: int = BOTTOM


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar of parts (colour, where it starts, width), and a key of their sizes."""

    title: str
    pieces: Sequence[tuple[str, float, float]]
    keys: Sequence[tuple[str, str]]
    width: int = WIDTH


def line_chart(
    lines: Sequence[Line], *, x_label: str, y_label: str, log_x: bool = False, x_text: Callable[[float], str] = ROUND
) -> Chart:
    """Lay out lines in the units of what is shown over a common x; y is in percent."""

    def scaled(x: float) -> float:
        return math.log10(x) if log_x else x

    xs = [scaled(x) for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in (*line.lower, *line.upper, *line.points)]
    step = next((s for s in STEPS if max(ys) - min(ys) <= s * (TICKS - 1)), STEPS[-1])
    x_low, x_high = min(xs), max(xs)
    y_low = max(0.0, math.floor(min(ys) / step) * step)
    y_high = max(min(100.0, math.ceil(max(ys) / step) * step), y_low + step)

    def across(at: float) -> float:
        return LEFT + (at - x_low) / ((x_high - x_low) or 1) * (RIGHT - LEFT)

    def up(y: float) -> float:
        return TOP + (1 - (y - y_low) / (y_high - y_low)) * (BOTTOM - TOP)

    def laid(points: Points) -> Points:
        return [(across(scaled(x)), up(y)) for x, y in points]

    marks = [min(y_low + i * step, y_high) for i in range(int((y_high - y_low) / step + 1.5))]
    numbers = [x_low + i * (x_high - x_low) / (TICKS - 1) for i in range(TICKS)]
    if log_x:
        numbers = round_numbers(10**x_low, 10**x_high)
    return Chart(
        title=f"{y_label} / {x_label}: " + ", ".join(line.label for line in lines),
        x_label=x_label,
        y_label=y_label,
        x_ticks=[(across(scaled(number)), x_text(number)) for number in numbers],
        y_ticks=[(up(mark), f"{mark:.3g}") for mark in marks],
        lines=[
            replace(line, points=laid(line.points), lower=laid(line.lower), upper=laid(line.upper)) for line in lines
        ],
    )


def round_numbers(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times powers of ten from ``low`` to ``high``; or both ends, where these are fewer than two."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    numbers = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    within = [number for number in numbers if low * (1 - SLACK) <= number <= high * (1 + SLACK)]
    return within if len(within) > 1 else sorted({low, high})


def stacked_bar(parts: Sequence[tuple[str, str, float]]) -> Bar:
    """Lay out one bar from 0 to 100 of parts: each with a text that tells its size, a colour, and the size."""
    x, pieces = 0.0, []
    for _, colour, size in parts:
        width = max(size, 0.0) * WIDTH / 100
        pieces.append((colour, x, width))
        x += width
    keys = [(colour, text) for text, colour, _ in parts]
    return Bar(title=", ".join(text for text, _, _ in parts), pieces=pieces, keys=keys)


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

    def percents(name: str) -> Points:
        values = [100 * (one[name] if one[name] is not None else one["value"] or 0.0) for one in y]  # type: ignore[operator]
        return list(zip(x, values, strict=True))

    return Line(
        label=label, colour=colour, dash=DASHES[style], points=percents("value"), lower=percents("low"),
        upper=percents("high"), band=band,
    )  # fmt: skip
