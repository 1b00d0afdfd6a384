"""Islands: blocks of cells in which nothing was trained, and the points that leave the fewest of them."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from phasemap.search.target import Floats, Target

ISLAND = 3  # cells along each axis that has a scale


def island_shape(target: Target) -> tuple[int, ...]:
    """Return the cells of an island along each axis; of names, which have no neighbours, each is one by itself."""
    return tuple(min(ISLAND, len(axis)) if axis.scaled else 1 for axis in target.axes)


def island_risk(target: Target, trained: NDArray[np.bool_]) -> float:
    """Return the share of all places of an island at which no point (n,) was trained.

    It is the probability that an island is missed, if it is as likely to lie at one place as at any other.
    """
    return float(_bare(_in_order(target, trained), island_shape(target)).mean())


def covering(target: Target, trained: NDArray[np.bool_], n: int, random: np.random.Generator) -> list[int]:
    """Return up to n points that lie, one after the other, in most places of an island without any; ties at random."""
    shape, numbers = island_shape(target), _in_order(target, np.arange(len(target)))
    left, chosen = _in_order(target, trained).copy(), list[int]()
    tie = 0.5 * random.random(left.shape)
    while len(chosen) < n and (bare := _bare(left, shape)).any():
        around = np.pad(bare, [(size - 1, size - 1) for size in shape])
        best = np.unravel_index(np.argmax(_windows(around, shape).sum(axis=_last(shape)) + tie), left.shape)
        left[best] = True
        chosen.append(int(numbers[best]))
    return chosen


def _in_order(target: Target, values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return values (n,) on the grid, each axis from its lowest to its highest value."""
    return values.reshape(target.shape)[np.ix_(*(axis.order for axis in target.axes))]


def _bare(trained: NDArray[np.generic], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    return np.asarray(~_windows(trained, shape).any(axis=_last(shape)))


def _windows(values: NDArray[np.generic], shape: tuple[int, ...]) -> Floats:
    return sliding_window_view(values, shape)


def _last(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(range(-len(shape), 0))
