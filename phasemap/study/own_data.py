"""A user's own data: what ``load(**settings)`` returns, checked as a file of arrays is, and hashed by content."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemap.study.data_files import wrong_features, wrong_labels, wrong_lengths
from phasemap.study.own_code import code_of
from phasemap.study.own_parts import DataSize, Part
from phasemap.study.program_source import ProgramError, last_line

Values = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OwnData:
    """The content of own data, as networks use it."""

    inputs: NDArray[np.float32] | NDArray[np.int64]  # (M, F), or tokens (M, T)
    shape: tuple[int, ...]  # of one example
    labels: NDArray[np.int64]  # (M,) in 0..n_classes - 1
    n_classes: int
    groups: NDArray[np.int64] | None
    digest: str  # of all of it

    @property
    def tokens(self) -> bool:
        """Whether the inputs are tokens: signed whole numbers in 0..n_classes - 1."""
        return self.inputs.dtype == np.int64

    def size(self, values: Values) -> DataSize:
        """Return how large they are."""
        return DataSize(
            values=values,
            n_examples=len(self.labels),
            shape=self.shape,
            n_classes=self.n_classes,
            tokens=self.tokens,
            digest=self.digest,
        )


@lru_cache(maxsize=8)
def load_own(part: Part, values: Values) -> OwnData:
    """Call a user's function for some settings, once; ProgramError with all that is wrong with what it returns."""
    return own_data(code_of(part), dict(values))


def own_data(load: Callable[..., Any], values: dict[str, Any]) -> OwnData:
    """Call a user's function and check what it returns; ProgramError with all that is wrong with it."""
    called = f"({', '.join(f'{name}={value!r}' for name, value in values.items())})"
    try:
        found = load(**values)
    except Exception as error:
        raise ProgramError(f"{called} fails: {last_line(error)}") from None
    if not isinstance(found, tuple | list) or len(found) not in (2, 3):
        what = f"{len(found)} values" if isinstance(found, tuple | list) else type(found).__name__
        raise ProgramError(f"{called} returns {what}; allowed: X, y or X, y, groups")
    x, y = np.asarray(found[0]), np.asarray(found[1])
    groups = np.asarray(found[2]) if len(found) == 3 else None
    messages = [*wrong_features(x), *wrong_labels(y)]
    if x.ndim and y.ndim == 1:
        messages += wrong_lengths(len(x), len(y))
    if groups is not None and (groups.ndim != 1 or groups.dtype.kind not in "iubUS" or len(groups) != len(y)):
        messages.append(
            f"groups has {groups.dtype} and the shape {groups.shape}; allowed: a whole number or text for each label"
        )
    if x.dtype.kind == "i" and x.size and x.min() < 0:
        messages.append(f"X holds the token {x.min()}; allowed: whole numbers >= 0, or features in floating point")
    if messages:
        raise ProgramError(f"{called}: {'; '.join(messages)}")
    return _checked(x, y, groups)


def _checked(x: NDArray[Any], y: NDArray[Any], groups: NDArray[Any] | None) -> OwnData:
    tokens = x.dtype.kind == "i"  # unsigned ones are pixels
    flat = x.reshape(len(x), -1)
    inputs: NDArray[np.float32] | NDArray[np.int64] = np.ascontiguousarray(flat, dtype=np.float32)
    if tokens:
        inputs = np.ascontiguousarray(flat, dtype=np.int64)
    classes, codes = np.unique(y, return_inverse=True)
    n_classes = max(len(classes), int(x.max()) + 1 if tokens else 0)
    numbered = None if groups is None else np.unique(groups, return_inverse=True)[1].astype(np.int64)
    digest = hashlib.sha256(repr((inputs.dtype, x.shape, n_classes)).encode())
    for part in (inputs, codes.astype(np.int64), numbered):
        digest.update(b"" if part is None else part.tobytes())
    return OwnData(
        inputs=inputs,
        shape=x.shape[1:] or (1,),
        labels=codes.astype(np.int64),
        n_classes=n_classes,
        groups=numbered,
        digest=digest.hexdigest()[:16],
    )
