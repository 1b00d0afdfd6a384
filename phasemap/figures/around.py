"""What all figures have around their panels: a title, and a legend beside or below them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from phasemap.figures.spec import wrapped

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
