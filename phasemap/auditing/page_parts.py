"""How a page writes numbers, tables and lines."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from phasemap.auditing.charts import Line
from phasemap.figures.palette import MARKS


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
