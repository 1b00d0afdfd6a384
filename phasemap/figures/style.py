"""The figures' style and sizes.

Whose style wins: phasemap's (phasemap.mplstyle) sets only parameters that still have matplotlib's default. What you
have set before, by ``matplotlib.style.use``, ``rcParams`` or a matplotlibrc, stays. (A parameter that you set to its
default can't be told from one that you left alone.) The colours of the phases are fixed.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib as mpl

from phasemap.figures.kinds import SIZES
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
