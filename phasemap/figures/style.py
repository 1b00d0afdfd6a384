"""What all figures have: their style and sizes, the measure of texts, a title, and a legend beside or below the panels.

Whose style wins: phasemap's (phasemap.mplstyle) sets only parameters that still have matplotlib's default. What you
have set before, by ``matplotlib.style.use``, ``rcParams`` or a matplotlibrc, stays. (A parameter that you set to its
default can't be told from one that you left alone.) The colours of the phases are fixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from phasemap.figures import SIZES
from phasemap.study.errors import UserError

STYLE_FILE = Path(__file__).with_name("phasemap.mplstyle")
INCHES = dict(zip(SIZES, (3.4, 7.0), strict=True))
"""The width of a figure for one or two columns of a page."""
FONT_SIZES = dict(zip(SIZES, (7.0, 8.0), strict=True))
HINTED = 1.07  # how much wider letters get that are moved to whole pixels (100 dots an inch, 7 to 9 points)
LINE = 1.3  # the height of a line of text, in font sizes
SMALL = 0.85  # the size of what is said below a title
QUIET = "#555555"


def in_style(size: str | None = None) -> AbstractContextManager[None]:
    """Draw in phasemap's style inside this context, as far as the user has not set another."""
    wanted: dict[Any, Any] = dict(mpl.rc_params_from_file(STYLE_FILE, use_default_template=False))
    if size is not None:
        wanted |= {"font.size": FONT_SIZES[size], "axes.linewidth": 0.6}
    default = mpl.rcParamsDefault
    unset = {name: value for name, value in wanted.items() if mpl.rcParams[name] == default[name]}
    return mpl.rc_context(unset)


def width_inches(size: str | None) -> float | None:
    """Return the width of a figure of a named size, None for the size that fits its content; UserError if unknown."""
    if size is None:
        return None
    if size not in INCHES:
        raise UserError(f"--size {size} is unknown; allowed: {', '.join(INCHES)}")
    return INCHES[size]


def font_size(share: float = 1.0) -> float:
    """Return a share of the usual font size, in points."""
    return float(mpl.rcParams["font.size"]) * share


def text_width(text: str, size: float) -> float:
    """Return the width of a text's longest line, in points, as wide as a coarse raster makes it."""
    font = FontProperties(size=size)
    lines = [float(text_to_path.get_text_width_height_descent(line, font, False)[0]) for line in text.split("\n")]
    return HINTED * max(lines)


def fitted(text: str, width: float, size: float) -> str:
    """Break a text into lines of at most ``width`` points; a longer word stays whole."""
    lines: list[str] = []
    for word in text.split():
        if lines and text_width(f"{lines[-1]} {word}", size) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines)


def text_height(text: str, size: float) -> float:
    """Return the height of a text with its line spacing, in points; none of an empty one."""
    return LINE * size * (text.count("\n") + 1) if text else 0.0


LEGEND_INCHES = 1.6  # the width of a legend's column below the panels


def write_title(figure: Figure, title: str, subtitle: str) -> None:
    """Write the title, and below it what all panels share, at the upper left, above a constrained layout."""
    width = 72 * (figure.get_figwidth() - 0.2)
    lines = [fitted(title, width, font_size()), fitted(subtitle, width, font_size(SMALL))]
    high = [text_height(line, size) for line, size in zip(lines, (font_size(), font_size(SMALL)), strict=True)]
    above = (sum(high) + 8) / 72 / figure.get_figheight()
    layout: Any = figure.get_layout_engine()
    layout.set(rect=(0, 0, 1, 1 - above))
    write_lines(figure, lines, 8.0, 72 * figure.get_figheight() - 5)


def write_lines(figure: Figure, lines: Sequence[str], left: float, top: float) -> None:
    """Write a title and what is said below it, from a place in points down."""
    wide, high = 72 * figure.get_figwidth(), 72 * figure.get_figheight()
    for number, line in enumerate(lines):
        size, colour = (font_size(SMALL), QUIET) if number else (font_size(), "black")
        look: dict[str, Any] = {"fontsize": size, "color": colour, "linespacing": LINE / 1.2, "parse_math": False}
        figure.text(left / wide, top / high, line, ha="left", va="top", **look)
        top -= text_height(line, size)


def below_inches(page: float, n_handles: int) -> float:
    """Return the height that title, axis labels and a legend below the panels need."""
    return 1.0 + 0.24 * -(-n_handles // _legend_columns(page))


def add_legend(figure: Figure, handles: Sequence[Any], page: float | None, handle_length: float = 1.6) -> None:
    """Add the legend: to the right, or below where the figure's width is given."""
    if not handles:
        return
    if page is None:
        figure.legend(handles=handles, loc="outside right center", handlelength=handle_length)
    else:
        columns = _legend_columns(page)
        figure.legend(
            handles=handles, loc="outside lower left", ncols=columns, handlelength=handle_length, columnspacing=1.0
        )


def _legend_columns(page: float) -> int:
    return max(1, int(page // LEGEND_INCHES))
