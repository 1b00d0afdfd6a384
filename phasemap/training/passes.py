"""The passes over hidden units that the fused kernel takes, compiled by numba: one thread, no array in between.

Each computes what the steps of ``explicit`` do with an array after each: rows are gathered, added, passed through phi
and stored at once, and on the way back h = U e_m + V e_n is computed anew instead of being kept. Every unit of every
example is a number of its own, added in the order of the rows, so no result depends on how the loops are vectorized;
nothing is reordered (no ``fastmath``), and what is not finite in a unit that is kept stays so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numba
import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
Ints: TypeAlias = NDArray[np.int64]
Masks: TypeAlias = NDArray[np.bool_]

TABLE, TOKENS, MASKS = "float32[:, ::1]", "int64[:, ::1]", "boolean[:, ::1]"


def _compiled(*parameters: str) -> Callable[[Callable[..., None]], Any]:
    """Compile a pass for parameters of the given types; kept on disk for later processes where that can be written."""
    signature = f"void({', '.join(parameters)})"

    def compiled(function: Callable[..., None]) -> Any:
        try:
            return numba.njit(signature, nogil=True, cache=True)(function)
        except (RuntimeError, OSError):  # nowhere to keep it: each process compiles again, in about two seconds
            return numba.njit(signature, nogil=True)(function)

    return compiled


@_compiled(TABLE, TOKENS, TABLE, "boolean")
def activate(embedding: Floats, tokens: Ints, active: Floats, square: bool) -> None:
    """Fill active (R, N) with phi(h) for the rows of U and V in one table that tokens (R, 2) name."""
    for row in range(len(tokens)):
        first, second, out = embedding[tokens[row, 0]], embedding[tokens[row, 1]], active[row]
        for unit in range(out.size):
            hidden = first[unit] + second[unit]
            if square:
                out[unit] = hidden * hidden
            else:
                out[unit] = np.float32(0) if hidden <= 0 else hidden  # NaN stays NaN


@_compiled(TABLE, TOKENS, TABLE, "boolean", MASKS)
def activate_kept(embedding: Floats, tokens: Ints, active: Floats, square: bool, kept: Masks) -> None:
    """Do the same with dropout: units that are not kept (R, N) become zero."""
    for row in range(len(tokens)):
        first, second, out = embedding[tokens[row, 0]], embedding[tokens[row, 1]], active[row]
        keep = kept[row]
        for unit in range(out.size):
            hidden = first[unit] + second[unit]
            if square:
                out[unit] = hidden * hidden if keep[unit] else np.float32(0)
            else:
                positive = np.float32(0) if hidden <= 0 else hidden
                out[unit] = positive if keep[unit] else np.float32(0)


@_compiled(TABLE, TOKENS, TABLE, "boolean", TABLE)
def add_gradients(embedding: Floats, tokens: Ints, back: Floats, square: bool, gradient: Floats) -> None:
    """Add back (R, N) times phi'(h), halved for the square, to the gradients of both tokens' rows."""
    for row in range(len(tokens)):
        first, second, given = embedding[tokens[row, 0]], embedding[tokens[row, 1]], back[row]
        to_first, to_second = gradient[tokens[row, 0]], gradient[tokens[row, 1]]
        for unit in range(given.size):
            hidden = first[unit] + second[unit]
            change = hidden * given[unit] if square else given[unit] if hidden > 0 else np.float32(0)
            to_first[unit] += change
            to_second[unit] += change


@_compiled(TABLE, TOKENS, TABLE, "boolean", TABLE, MASKS)
def add_gradients_kept(
    embedding: Floats, tokens: Ints, back: Floats, square: bool, gradient: Floats, kept: Masks
) -> None:
    """Do the same with dropout: units that were not kept (R, N) add nothing."""
    for row in range(len(tokens)):
        first, second, given = embedding[tokens[row, 0]], embedding[tokens[row, 1]], back[row]
        to_first, to_second = gradient[tokens[row, 0]], gradient[tokens[row, 1]]
        keep = kept[row]
        for unit in range(given.size):
            hidden = first[unit] + second[unit]
            if square:
                change = hidden * given[unit] if keep[unit] else np.float32(0)
            else:
                change = given[unit] if hidden > 0 and keep[unit] else np.float32(0)
            to_first[unit] += change
            to_second[unit] += change


@_compiled("uint64[::1]", "int16", "int64[::1]", MASKS)
def draw_masks(state: NDArray[np.uint64], least: int, places: Ints, kept: Masks) -> None:
    """Draw a step's masks: of example i, which units are kept goes into row places[i] of kept (M, N).

    The words are those that numpy's SFC64 (Chris Doty-Humphrey, PractRand) draws from its state (a, b, c, counter).
    Each is four numbers, and a unit is kept if its number is at least ``least``; four rows take N words, whatever N is.
    """
    a, b, c, counter = state
    n_rows, width = kept.shape
    words = np.empty(width, dtype=np.uint64)
    numbers = words.view(np.int16).reshape((4, width))
    for start in range(0, n_rows, 4):
        for place in range(width):
            word = a + b + counter
            counter += np.uint64(1)
            a = b ^ (b >> np.uint64(11))
            b = c + (c << np.uint64(3))
            c = ((c << np.uint64(24)) | (c >> np.uint64(40))) + word
            words[place] = word
        for row in range(start, min(start + 4, n_rows)):
            out, drawn = kept[places[row]], numbers[row - start]
            for unit in range(width):
                out[unit] = drawn[unit] >= least
