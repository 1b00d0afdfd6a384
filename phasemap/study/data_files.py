"""Read the files that a study names: arrays (.npz with X and y) and transition matrices (.csv, .npy)."""

from __future__ import annotations

import csv
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemap.study.errors import BadFileError
from phasemap.study.values import as_number, rounded

Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arrays:
    """Data of a user, of a file or loaded by code, as networks use them."""

    inputs: NDArray[np.float32] | NDArray[np.int64]  # (M, F), or tokens (M, T)
    labels: NDArray[np.int64]  # (M,) in 0..n_classes - 1, in the order of np.unique(y)
    n_classes: int
    groups: NDArray[np.int64] | None = None  # (M,) in 0..n_groups - 1
    shape: tuple[int, ...] = ()  # of one example before it was flattened


def absolute(folder: Path, path: str) -> str:
    """Resolve a path of a study file against that file's folder."""
    return str((folder / path).resolve())


def read_arrays(path: str) -> Arrays:
    """Read X (M, ...), y (M,) and maybe groups (M,) from an .npz; X is flattened to (M, F) float32 and used as given.

    A file is read once, until it changes. BadFileError names everything that is wrong with it.
    """
    try:
        state = Path(path).stat()
    except OSError as error:
        raise BadFileError(path, [f"can't be read: {error.strerror}"]) from None
    return _read_arrays(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4)
def _read_arrays(path: str, changed: int, size: int) -> Arrays:
    x, y = (_array(path, name) for name in ("X", "y"))
    messages = [array for array in (x, y) if isinstance(array, str)]
    features, labels = (None if isinstance(array, str) else array for array in (x, y))
    if features is not None:
        messages += wrong_features(features)
    if labels is not None:
        messages += wrong_labels(labels)
    if features is not None and labels is not None and features.ndim and labels.ndim == 1:
        messages += wrong_lengths(len(features), len(labels))
    groups = _groups(path, 0 if labels is None else len(labels))
    if isinstance(groups, str):
        messages.append(groups)
    if messages or features is None or labels is None or isinstance(groups, str):
        raise BadFileError(path, list(dict.fromkeys(messages)))
    classes, codes = np.unique(labels, return_inverse=True)
    return Arrays(
        inputs=np.ascontiguousarray(features.reshape(len(features), -1), dtype=np.float32),
        labels=codes.astype(np.int64),
        n_classes=len(classes),
        groups=groups,
        shape=features.shape[1:],
    )


def _groups(path: str, n_labels: int) -> NDArray[np.int64] | str | None:
    """Return the numbers of the examples' groups, what is wrong with them, or None where there are none."""
    with suppress(Exception), Path(path).open("rb") as file:
        if "groups" not in np.load(file, allow_pickle=False).files:
            return None
    groups = _array(path, "groups")
    if isinstance(groups, str):
        return groups
    return "".join(wrong_groups(groups, n_labels)) or np.unique(groups, return_inverse=True)[1].astype(np.int64)


def _array(path: str, name: str) -> NDArray[Any] | str:
    """Return one array of an .npz, or what is wrong."""
    try:
        with Path(path).open("rb") as file:
            content = np.load(file, allow_pickle=False)
            if not isinstance(content, np.lib.npyio.NpzFile):
                return "holds one array; allowed: an .npz with X and y (numpy.savez)"
            if name not in content.files:
                return f"has no {name}; it holds {', '.join(content.files) or 'nothing'}; allowed: X and y"
            try:
                return np.asarray(content[name])
            except ValueError as error:
                objects = "pickle" in str(error)
                return f"{name} holds Python objects; allowed: numbers or text" if objects else f"{name}: {error}"
    except Exception as error:  # whatever a damaged file may raise
        if isinstance(error, OSError) and error.strerror:
            return f"can't be read: {error.strerror}"
        return "is not an .npz file, or a damaged one; allowed: an .npz with X and y (numpy.savez)"


def wrong_features(x: NDArray[Any]) -> list[str]:
    """Say what is wrong with inputs."""
    if x.dtype.kind not in "fiub":
        return [f"X holds {x.dtype}; allowed: real numbers"]
    if x.ndim == 0 or x.size == 0:
        return [f"X has the shape {x.shape}; allowed: (examples, ...), none of them 0"]
    with np.errstate(over="ignore"):
        bad = ~np.isfinite(x.astype(np.float32))
    if not bad.any():
        return []
    first = ", ".join(str(int(i)) for i in np.unravel_index(bad.argmax(), x.shape))
    return [f"X has {bad.sum()} values that are NaN or infinite in float32, the first is X[{first}]"]


def wrong_labels(y: NDArray[Any]) -> list[str]:
    """Say what is wrong with labels."""
    if y.ndim != 1:
        return [f"y has the shape {y.shape}; allowed: one label an example, (examples,)"]
    if y.dtype.kind not in "fiubUS":
        return [f"y holds {y.dtype}; allowed: whole numbers or text"]
    if y.dtype.kind == "f":
        bad = ~np.isfinite(y) | (y != np.floor(y))
        if bad.any():
            first = int(bad.argmax())
            return [
                f"y has {bad.sum()} labels that are not whole numbers, the first is y[{first}] = {y[first]:g}; "
                "allowed: whole numbers or text"
            ]
    classes = len(np.unique(y))
    return [f"y has {classes} {'class' if classes == 1 else 'classes'}; allowed: at least 2"] if classes < 2 else []


def wrong_lengths(n_features: int, n_labels: int) -> list[str]:
    """Say that there are not as many labels as inputs."""
    if n_features == n_labels:
        return []
    return [f"X has {n_features} examples, y has {n_labels} labels; allowed: equally many"]


def wrong_groups(groups: NDArray[Any], n_labels: int) -> list[str]:
    """Say what is wrong with the groups of examples."""
    if groups.ndim == 1 and groups.dtype.kind in "iubUS" and len(groups) == n_labels:
        return []
    return [f"groups has {groups.dtype} and the shape {groups.shape}; allowed: a whole number or text for each label"]


def read_matrix(path: str) -> Matrix:
    """Read rows of numbers from a .csv (commas, no header) or .npy file, rounded as numbers of a study file are.

    Rows may differ in length here; BadFileError if the file can't be read or holds anything but numbers.
    """
    try:
        rows = _npy_rows(path) if path.lower().endswith(".npy") else _csv_rows(path)
    except UnicodeDecodeError:
        raise BadFileError(path, ["is not text; allowed: a .csv or .npy file"]) from None
    except OSError as error:
        raise BadFileError(path, [f"can't be read: {error.strerror or error}"]) from None
    return tuple(tuple(rounded(value) for value in row) for row in rows)


def _npy_rows(path: str) -> list[list[float]]:
    try:
        rows = np.load(path, allow_pickle=False)
    except (ValueError, EOFError):
        raise BadFileError(path, ["is not a .npy file of numbers"]) from None
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.dtype.kind not in "fiub":
        raise BadFileError(path, ["is not a matrix of numbers; allowed: an array (classes, classes)"])
    return [[float(value) for value in row] for row in rows]


def _csv_rows(path: str) -> list[list[float]]:
    rows = []
    with Path(path).open(newline="", encoding="utf-8-sig") as file:
        for line, cells in enumerate(csv.reader(file), start=1):
            try:
                if cells:
                    rows.append([float(cell) for cell in cells])
            except ValueError:
                wrong = next(cell for cell in cells if as_number(cell) is None)
                raise BadFileError(path, [f"line {line} holds '{wrong[:40]}'; allowed: numbers"]) from None
    return rows
