"""Schedules: from which step of a training on a setting has which value, as one line of text such as ``800: 0``.

Text, because a schedule is one value of a setting: of an axis, in a column of a table and in a trial's id.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BeforeValidator, TypeAdapter, WithJsonSchema

from phasemap.study.values import Count, Real, Worded, describe

COSINE = "cosine"


def _schedule_of(*, zero: bool) -> Callable[[Any], str]:
    def read(found: Any) -> str:
        """Return a schedule as it is stored; ValueError where a mapping or a text is none."""
        if found == COSINE:
            return COSINE
        if isinstance(found, str):
            found = dict(part.split(":") for part in found.split(","))
        if not isinstance(found, dict) or not found:
            raise ValueError(f"{describe(found)} is not a schedule")
        given = sorted((_COUNT.validate_python(step), _REAL.validate_python(value)) for step, value in found.items())
        if len({step for step, _ in given}) < len(given) or not all(
            value > 0 or (zero and value == 0) for _, value in given
        ):
            raise ValueError(f"{found} is not a schedule")
        return ", ".join(f"{step}: {value:.12g}" for step, value in given)

    return read


_COUNT, _REAL = TypeAdapter(Count), TypeAdapter(Real)


def _annotated(words: str, *, zero: bool) -> Any:
    numbers = {"type": "object", "additionalProperties": {"type": "number"}, "minProperties": 1}
    schema = {"anyOf": [{"type": "string"}, numbers]}
    return Annotated[str, BeforeValidator(_schedule_of(zero=zero)), Worded(words), WithJsonSchema(schema)]


_FORM = f"{COSINE}, or a mapping of steps to values, such as {{800: 0.5}}, with values"
DecaySchedule = _annotated(f"{_FORM} >= 0", zero=True)
RateSchedule = _annotated(f"{_FORM} > 0", zero=False)


@lru_cache(maxsize=4096)
def stages(schedule: str) -> tuple[tuple[int, float], ...]:
    """Return the steps after which a schedule has a new value, rising, with these values; of a cosine, none."""
    if schedule == COSINE:
        return ()
    parts = (part.split(":") for part in schedule.split(","))
    return tuple((int(step), float(value)) for step, value in parts)


def scheduled_value(schedule: str, first: float, step: int, horizon: int) -> float:
    """Return a setting's value at a step, counted from 1, of ``horizon``; ``first`` is its value at the first step.

    A cosine is that of torch.optim's CosineAnnealingLR, down to zero after the last step.
    """
    if schedule == COSINE:
        return first * (1 + math.cos(math.pi * (step - 1) / horizon)) / 2
    passed = [value for at, value in stages(schedule) if at < step]
    return passed[-1] if passed else first
