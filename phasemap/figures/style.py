"""What all figures have: their style and sizes, a title, and a legend beside or below the panels.

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

from phasemap.figures import SIZES
from phasemap.figures.spec import wrapped
from phasemap.study.errors import UserError

STYLE_FILE = Path(__file__).with_name("phasemap.mplstyle")
INCHES = dict(zip(SIZES, (3.4, 7.0), strict=True))
"""The width of a figure for one or two columns of a page."""
FONT_SIZES = dict(zip(SIZES, (7.0, 8.0), strict=True))


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


LETTERS_AN_INCH = 135  # of a title, times its size in points
LEGEND_INCHES = 1.6  # the width of a legend's column below the panels


def write_title(figure: Figure, title: str, subtitle: str) -> None:
    """Write the title, and below it what all panels share, at the upper left."""
    characters = int(figure.get_figwidth() * LETTERS_AN_INCH / mpl.rcParams["font.size"])
    figure.suptitle(f"{title}\n" + wrapped(subtitle, characters), x=0.01, ha="left")


def below_inches(page: float, n_handles: int) -> float:
    """Return the height that title, axis labels and a legend below the panels need."""
    return 1.0 + 0.24 * -(-n_handles // _legend_columns(page))


def add_legend(figure: Figure, handles: Sequence[Any], page: float | None, handle_length: float = 1.6) -> None:
    """Add the legend: to the right, or below where the figure's width is given."""
    if page is None:
        figure.legend(handles=handles, loc="outside right center", handlelength=handle_length)
    else:
        columns = _legend_columns(page)
        figure.legend(
            handles=handles, loc="outside lower left", ncols=columns, handlelength=handle_length, columnspacing=1.0
        )


def _legend_columns(page: float) -> int:
    return max(1, int(page // LEGEND_INCHES))
