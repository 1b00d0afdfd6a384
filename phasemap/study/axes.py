"""Axes: a named trial setting with its values, from a list or a linear or logarithmic range."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from phasemap.study.values import Count, Real, is_number, rounded

Scale = Literal["linear", "log", "ordinal"]


class AxisRange(BaseModel):
    """``num`` values from ``start`` to ``stop``, both included."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: Real
    stop: Real
    num: Annotated[Count, Field(le=10_000)]
    scale: Literal["linear", "log"] = "linear"

    def values(self) -> list[float]:
        """Return the values, rounded to 12 significant digits; ValueError where the scale can't have them."""
        if self.scale == "log" and not (self.start > 0 and self.stop > 0):
            raise ValueError("a log range must start and stop above 0")
        if self.num == 1:
            if self.start != self.stop:
                raise ValueError("num is 1, but start and stop differ")
            return [self.start]
        fractions = [i / (self.num - 1) for i in range(self.num)]
        if self.scale == "linear":
            return [rounded(self.start + (self.stop - self.start) * f) for f in fractions]
        ratio = math.log(self.stop / self.start)
        return [rounded(self.start * math.exp(ratio * f)) for f in fractions]


def log(start: float, stop: float, num: int) -> dict[str, float | str]:
    """Return an axis of ``num`` values from ``start`` to ``stop``, evenly spaced on a logarithmic scale."""
    return {"start": start, "stop": stop, "num": num, "scale": "log"}


def linear(start: float, stop: float, num: int) -> dict[str, float | str]:
    """Return the axis of ``num`` evenly spaced values from ``start`` to ``stop``."""
    return {"start": start, "stop": stop, "num": num, "scale": "linear"}


class Axis(BaseModel):
    """An axis as it is used: distinct values in the file's order, and the scale that they lie on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    values: tuple[Any, ...]
    source: AxisRange | None = None
    drawn: Scale | None = None  # of values that lie on no grid: the scale to draw them on

    @property
    def scale(self) -> Scale:
        """``linear`` or ``log`` where the values are evenly spaced on that scale, else ``ordinal``."""
        return self.drawn or (self.source.scale if self.source else spacing(self.values))

    @property
    def categorical(self) -> bool:
        """Whether the values have no order of their own: not all of them are numbers."""
        return not all(map(is_number, self.values))


def spacing(values: Sequence[Any]) -> Scale:
    """Tell on which scale a list of values is evenly spaced.

    Two numbers count as linear. Text, booleans and unevenly spaced numbers are ``ordinal``: they are drawn as
    equal steps, so that no cell of a list like 0, 1, 3, 10, 30 is drawn too thin to read.
    """
    if not all(map(is_number, values)):
        return "ordinal"
    ordered = sorted(values)
    if _even([b - a for a, b in pairwise(ordered)]):
        return "linear"
    if ordered[0] > 0 and _even([math.log(b / a) for a, b in pairwise(ordered)]):
        return "log"
    return "ordinal"


def _even(gaps: Sequence[float]) -> bool:
    return not gaps or max(gaps) - min(gaps) <= 1e-6 * max(gaps)
