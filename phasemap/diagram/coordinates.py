"""Where the values of an axis stand in a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemap.study.axes import Axis, Scale

Floats = NDArray[np.float64]
LONGEST_TEXT = 40  # of a value that is a text, where it is shown


@dataclass(frozen=True, slots=True)
class Coordinates:
    """The positions of an axis's values: the value itself (linear), its logarithm (log) or its rank (ordinal).

    Numbers stand in rising order, other values in the order of the study. Neighbours are one cell apart, unless
    unevenly spaced numbers are drawn true to scale (``by_value``).
    """

    axis: Axis
    by_value: bool = False

    @property
    def scale(self) -> Scale:
        """The scale on which the values are drawn."""
        uneven = self.axis.scale == "ordinal" and not self.axis.categorical
        return "linear" if self.by_value and uneven and len(self.axis.values) > 1 else self.axis.scale

    @property
    def values(self) -> tuple[Any, ...]:
        """The values in the order of the picture."""
        return self.axis.values if self.axis.categorical else tuple(sorted(self.axis.values))

    @property
    def positions(self) -> Floats:
        """The positions (n,) of the values."""
        if self.scale == "linear":
            return np.asarray(self.values, dtype=float)
        if self.scale == "log":
            return np.log10(np.asarray(self.values, dtype=float))
        return np.arange(len(self.values), dtype=float)

    @property
    def edges(self) -> Floats:
        """The borders (n + 1,) of the cells around the positions."""
        centers = self.positions
        if len(centers) == 1:
            half = 0.5 if self.scale == "ordinal" or centers[0] == 0 else 0.05 * abs(centers[0])
            return np.asarray([centers[0] - half, centers[0] + half])
        middles = (centers[1:] + centers[:-1]) / 2
        return np.concatenate([[2 * centers[0] - middles[0]], middles, [2 * centers[-1] - middles[-1]]])

    def to_values(self, positions: Floats) -> Floats:
        """Turn positions into values of the axis; of a categorical one the rank is returned."""
        if self.scale == "linear":
            return positions
        if self.scale == "log":
            return np.asarray(10**positions)
        if not self.axis.categorical:
            return np.interp(positions, np.arange(len(self.values)), np.asarray(self.values, dtype=float))
        return positions

    def at(self, numbers: Floats) -> Floats:
        """Return the positions (n,) of any numbers on the axis's scale; NaN where it has no place for one."""
        if self.axis.scale == "linear":
            return numbers
        if self.axis.scale == "log":
            return np.log10(np.where(numbers > 0, numbers, np.nan))
        return np.interp(numbers, np.asarray(self.values, dtype=float), np.arange(len(self.values)))

    def index(self, value: Any) -> int:
        """Return the place of a value; ValueError if the axis lacks it."""
        return self.values.index(value)


def show_value(value: Any) -> str:
    """Write an axis value for a tick or a title: a file by its name, a matrix by its size, a long text cut.

    What is no number or text is spelled as in a study or a claim: true, false, none.
    """
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        name = Path(value).name if Path(value).is_absolute() else value
        if not name.strip():
            return repr(name)
        return name if len(name) <= LONGEST_TEXT else f"{name[: LONGEST_TEXT - 3]}..."
    if isinstance(value, Sequence) and value and isinstance(value[0], Sequence):
        return f"{len(value)} x {len(value[0])} matrix"
    return str(list(value)) if isinstance(value, Sequence) else str(value)
