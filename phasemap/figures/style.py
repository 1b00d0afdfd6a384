"""What all figures have: their style and sizes, the measure of texts, a title, and a legend beside or below the panels.

Whose style wins: phasemap's (phasemap.mplstyle) sets only parameters that still have matplotlib's default. What you
have set before, by ``matplotlib.style.use``, ``rcParams`` or a matplotlibrc, stays. (A parameter that you set to its
default can't be told from one that you left alone.) The colours of the phases are fixed.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from unicodedata import east_asian_width

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

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
WIDE_FONTS = ("Noto Sans CJK JP", "IPAexGothic", "IPAGothic", "Hiragino Sans", "Yu Gothic", "Noto Sans CJK SC")
MOST_COLUMNS_IN_WIDTH = {3.4: 2, 7.0: 8}
PAGE = 7.1  # inches: a wider figure could not be read when it is printed on a page
GAP, EDGE = 9.0, 8.0  # points between panels, and around all
FEW_DECADES = 20.0  # of less than that many times the lowest value, also ticks between powers of ten are labelled
MOST_DECADES = 5  # powers of ten with a tick, and one more
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
NARROWEST = 300.0  # points: the width of a figure that fits its content, at least


@contextmanager
def in_style(size: str | None = None, drawn: object = "") -> Iterator[None]:
    """Draw in phasemap's style inside this context, as far as the user has not set another.

    Where what is ``drawn`` has Chinese, Japanese or Korean letters, fonts that have them are used, if there are any.
    """
    wanted: dict[Any, Any] = dict(mpl.rc_params_from_file(STYLE_FILE, use_default_template=False))
    if any(east_asian_width(letter) in "WF" for letter in set(str(drawn))):
        wanted["font.family"] = [*mpl.rcParamsDefault["font.family"], *_wide_fonts()]
    if size is not None:
        wanted |= {"font.size": FONT_SIZES[size], "axes.linewidth": 0.6}
    default = mpl.rcParamsDefault
    unset = {name: value for name, value in wanted.items() if mpl.rcParams[name] == default[name]}
    with mpl.rc_context(unset), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # one for each letter; the boxes can be seen
        yield


@lru_cache
def _wide_fonts() -> list[str]:
    """Return those of WIDE_FONTS that are installed."""
    there = {font.name for font in fontManager.ttflist}
    return [name for name in WIDE_FONTS if name in there]


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


def shortened(text: str, most: float, size: float) -> str:
    """Cut a text to at most ``most`` points."""
    if text_width(text, size) <= most:
        return text
    fits = (text[:n] + "…" for n in range(len(text) - 1, 0, -1))
    return next((short for short in fits if text_width(short, size) <= most), "…")


def shortened_inside(text: str, most: float, size: float) -> str:
    """Cut a text in its middle to at most ``most`` points: names often differ at their ends."""
    if text_width(text, size) <= most:
        return text
    fits = (f"{text[:n]}…{text[-n:]}" for n in range((len(text) - 1) // 2, 0, -1))
    return next((short for short in fits if text_width(short, size) <= most), "…")


def fitted(text: str, width: float, size: float) -> str:
    """Break a text into lines of at most ``width`` points; a longer word is cut."""
    lines: list[str] = []
    for word in text.split():
        if lines and text_width(f"{lines[-1]} {word}", size) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(shortened(line, width, size) for line in lines)


def label_log(axis: Any) -> None:
    """Label a logarithmic axis so that it needs no typesetting: 0.01, 1, 100, 10⁵; of a short one also 0.2 and 0.5."""
    low, high = sorted(axis.get_view_interval())
    if low <= 0:
        return
    locator: Any = LogLocator(numticks=MOST_DECADES)
    if high / low < FEW_DECADES:
        locator = LogLocator(subs=(1, 2, 5))
        if sum(low <= tick <= high for tick in locator.tick_values(low, high)) < 3:
            locator = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10])
        axis.set_minor_locator(NullLocator())
    axis.set_major_locator(locator)
    axis.set_major_formatter(FuncFormatter(power))
    axis.set_minor_formatter(NullFormatter())


def power(value: float, _place: int = 0) -> str:
    """Write a tick of a logarithmic axis: small and large values by a power of ten; nothing where there is no place."""
    if value <= 0:
        return ""
    exponent = math.floor(math.log10(value) + 1e-9)
    if -3 <= exponent <= 4:
        return f"{value:g}"
    times = f"{value / 10**exponent:.4g}×"
    return f"{'' if times == '1×' else times}10{str(exponent).translate(SUPERSCRIPTS)}"


def heading(title: str, subtitle: str, width: float) -> tuple[list[str], float]:
    """Break a title, and what is said below it, to at most ``width`` points; return both, and their height."""
    lines = [fitted(title, width, font_size()), fitted(subtitle, width, font_size(SMALL))]
    return lines, text_height(lines[0], font_size()) + text_height(lines[1], font_size(SMALL))


def text_height(text: str, size: float) -> float:
    """Return the height of a text with its line spacing, in points; none of an empty one."""
    return LINE * size * (text.count("\n") + 1) if text else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Legend:
    """The entries of a figure, in columns below the panels or beside them; sizes in points, 0 where it is not."""

    handles: Sequence[Any]
    columns: int
    beside: float
    below: float
    handle: float  # the length of a sample, in font sizes

    @property
    def height(self) -> float:
        """The height of a legend beside the panels."""
        return _rows_height(self.handles, 1) if self.beside else 0.0

    @classmethod
    def of(
        cls, handles: Sequence[Any], across: float, page: float | None, handle: float = 1.6, left: float = 0.0
    ) -> Legend:
        """Choose where a legend stands: beside panels that leave room on a page, else below, from ``left`` on.

        Below, labels that are wider than the figure are broken into lines.
        """
        if not handles:
            return cls(handles=(), columns=1, beside=0.0, below=0.0, handle=handle)
        wide = max(text_width(handle.get_label(), font_size()) for handle in handles) + (1.8 + handle) * font_size()
        if page is None and across + wide <= 72 * PAGE:
            return cls(handles=handles, columns=1, beside=wide + GAP, below=0.0, handle=handle)
        columns = max(1, min(len(handles), int((across - EDGE) / wide)))
        room = (72 * page if page else max(across, NARROWEST)) - left - EDGE - (1.8 + handle) * font_size()
        for one in handles:
            if text_width(one.get_label(), font_size()) > room:
                one.set_label(fitted(one.get_label(), room, font_size()))
        below = _rows_height(handles, columns) + GAP
        return cls(handles=handles, columns=columns, beside=0.0, below=below, handle=handle)

    def add(self, figure: Figure, left: float, right: float, top: float) -> None:
        """Write the legend: below from the left, or beside from the top."""
        if not self.handles:
            return
        wide, high = 72 * figure.get_figwidth(), 72 * figure.get_figheight()
        corner = (right / wide, top / high) if self.beside else (left / wide, (self.below + 2) / high)
        look: dict[str, Any] = {
            "borderpad": 0.0,
            "borderaxespad": 0.0,
            "handlelength": self.handle,
            "columnspacing": 1.2,
        }
        look |= {"loc": "upper left", "bbox_to_anchor": corner, "ncols": self.columns}
        written = figure.legend(handles=self.handles, **look)
        for text in written.get_texts():
            text.set_parse_math(False)


def _rows_height(handles: Sequence[Any], columns: int) -> float:
    """Return the height of a legend, which fills its columns one after the other."""
    rows = -(-len(handles) // columns)
    lines = [handle.get_label().count("\n") + 1 for handle in handles]
    highest = max(sum(lines[start : start + rows]) for start in range(0, len(lines), rows))
    return (highest + 0.2 * rows) * LINE * font_size()


LEGEND_INCHES = 1.6  # the width of a legend's column below the panels


def write_title(figure: Figure, title: str, subtitle: str) -> None:
    """Write the title, and below it what all panels share, at the upper left, above a constrained layout."""
    lines, high = heading(title, subtitle, 72 * (figure.get_figwidth() - 0.2))
    above = (high + 8) / 72 / figure.get_figheight()
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


def add_legend(figure: Figure, handles: Sequence[Any], page: float | None) -> None:
    """Add the legend: to the right, or below where the figure's width is given."""
    if not handles:
        return
    look: dict[str, Any] = {"handles": handles, "handlelength": 1.6}
    if page is None:
        figure.legend(loc="outside right center", **look)
    else:
        figure.legend(loc="outside lower left", ncols=_legend_columns(page), columnspacing=1.0, **look)


def _legend_columns(page: float) -> int:
    return max(1, int(page // LEGEND_INCHES))
