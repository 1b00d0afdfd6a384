"""The code of a user's parts: read as signatures, imported again where it trains, and the data that it loads."""

from __future__ import annotations

import hashlib
import inspect
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemap.study.data_files import Arrays, wrong_features, wrong_groups, wrong_labels, wrong_lengths
from phasemap.study.errors import UnreachableError
from phasemap.study.own_parts import HEARD, DataSize, Part, Parts
from phasemap.study.program_source import (
    ProgramError,
    code_hash,
    file_of,
    import_program,
    last_line,
    place_of,
    source_hash,
    staying_here,
)
from phasemap.study.signature import SignatureError, parameters_of, unreadable

FIRST: Mapping[str, tuple[str, ...]] = {
    "task": (),
    "model": ("features", "classes"),
    "optimizer": ("params",),
    "loss": ("scores", "targets"),
}
"""What a part's code is called with by position, before its settings."""


def is_reference(value: Any) -> bool:
    """Whether a setting's value means code of a user, and no kind of phasemap's."""
    return isinstance(value, str) and (":" in value or value.endswith(".py"))


def imported_part(role: str, reference: str, folder: Path) -> Part:
    """Import a part's code and read its signature; ProgramError and SignatureError where it can't be one."""
    place = place_of(reference)
    with staying_here():
        function = import_program(place, folder)
    given = (*HEARD[role], *(_left(function) if role == "optimizer" else ()))
    parameters = parameters_of(_checked(role, function), first=len(FIRST[role]), given=given)
    hears = tuple((name, setting) for name, setting in HEARD[role].items() if name in _names(function))
    return Part(
        role=role,
        reference=reference,
        folder=str(folder.resolve()) if place.in_file else "",
        source=code_hash(place, folder, function),
        parameters=parameters,
        hears=hears,
    )


def _left(function: Any) -> tuple[str, ...]:
    """Return what of one of torch's own optimizers stays at its default: parameters of types that no setting has."""
    return unreadable(function) if getattr(function, "__module__", "").startswith("torch.optim") else ()


def _names(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


def _checked(role: str, function: Any) -> Callable[..., Any]:
    """Return what a part names if it is of the right kind; SignatureError where it isn't."""
    if not callable(function):
        raise SignatureError([f"is {type(function).__name__}; allowed: a function or a class"])
    first = FIRST[role]
    if role == "optimizer" and not _is_optimizer(function):
        raise SignatureError(["is not a class of optimizers; allowed: a subclass of torch.optim.Optimizer"])
    if role == "optimizer":
        closure = list(inspect.signature(function.step).parameters.values())[1:]
        if any(one.default is inspect.Parameter.empty and one.kind is one.POSITIONAL_OR_KEYWORD for one in closure):
            raise SignatureError(
                [f"needs {closure[0].name} in its step; allowed: an optimizer whose step() needs none"]
            )
    positional = [one for one in inspect.signature(function).parameters.values() if one.kind in (0, 1)]
    if len(positional) < len(first):
        names = ", ".join(_names(function)) or "none"
        raise SignatureError(
            [f"has the parameters {names}; allowed: {' and '.join(first)} first, its settings as keyword parameters"]
        )
    if role in ("task", "loss") and inspect.isclass(function):
        raise SignatureError(["is a class; allowed: a function"])
    return function


def _is_optimizer(function: Any) -> bool:
    """Tell it by the names of its classes, so that torch need not be imported here."""
    return inspect.isclass(function) and any(
        one.__name__ == "Optimizer" and one.__module__.startswith("torch.optim") for one in function.__mro__
    )


@lru_cache(maxsize=32)
def code_of(part: Part) -> Callable[..., Any]:
    """Import a part's code where it is used; UnreachableError where it is not here, or is another."""
    place, host = part.place, socket.gethostname()
    try:
        folder = part.folder_here()
    except ProgramError as error:
        raise UnreachableError(str(error)) from None
    try:
        if place.in_file and source_hash(path := file_of(place, folder)) != part.source:
            raise UnreachableError(
                f"{path} on {host} is not the code that the run was started with; needed: start the run again"
            )
        with staying_here():
            return import_program(place, folder)
    except ProgramError as error:
        raise UnreachableError(f"{host}: {part.key} {error}") from None


def present_parts(parts: Parts) -> Parts:
    """Return parts with the hashes that their files have now, where these are still there."""
    return replace(parts, parts=tuple(replace(one, source=one.present_source() or one.source) for one in parts.parts))


Values = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OwnData(Arrays):
    """Own data with the hash of all of them."""

    digest: str

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
        returned = load(**values)
    except (Exception, SystemExit) as error:
        raise ProgramError(f"{called} fails: {last_line(error)}") from None
    if not isinstance(returned, tuple | list) or len(returned) not in (2, 3):
        what = f"{len(returned)} values" if isinstance(returned, tuple | list) else type(returned).__name__
        raise ProgramError(f"{called} returns {what}; allowed: X, y or X, y, groups")
    x, y = np.asarray(returned[0]), np.asarray(returned[1])
    groups = np.asarray(returned[2]) if len(returned) == 3 else None
    messages = [*wrong_features(x), *wrong_labels(y)]
    if x.ndim and y.ndim == 1:
        messages += wrong_lengths(len(x), len(y))
    if groups is not None:
        messages += wrong_groups(groups, len(y))
    if x.dtype.kind == "i" and x.size and x.min() < 0:
        messages.append(f"X holds the token {x.min()}; allowed: whole numbers >= 0, or features in floating point")
    if messages:
        raise ProgramError(f"{called}: {'; '.join(messages)}")
    return _numbered(x, y, groups)


def _numbered(x: NDArray[Any], y: NDArray[Any], groups: NDArray[Any] | None) -> OwnData:
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
