"""A program's function read as a schema: its keyword parameters are the settings of its trials."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal, Union, get_args, get_origin

from phasemap.study.errors import ListedError
from phasemap.study.names import POINT_COLUMNS, RESERVED_COLUMNS
from phasemap.study.parameters import CHOICE, SCALARS, Parameter

FIXED_NAMES = frozenset({*RESERVED_COLUMNS, *POINT_COLUMNS, "program", "version", "horizon", "train_seconds"})
RESERVED_NAMES = FIXED_NAMES | {"source"}
"""What no setting and no quantity of a program may be called, but for the built-in quantities."""
ProgramKind = Literal["phasemap", "tune", "optuna", "imported"]
TYPES_ALLOWED = "int, float, bool, str, Literal, None, or a list of these"
_ANY = ("none", "bool", "int", "float", "str")


class SignatureError(ListedError):
    """A function that can't be a program."""


def kind_of(function: Any, *, decorated: bool) -> ProgramKind:
    """Tell by a function's first parameter who would call it; SignatureError where that can't be told."""
    if inspect.isclass(function):
        raise SignatureError(["is a class; allowed: a function (class trainables of Ray Tune can't be run)"])
    if not callable(function):
        raise SignatureError([f"is {type(function).__name__}; allowed: a function"])
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters:
        raise SignatureError(["has no parameters; allowed: trial first, and its settings as keyword parameters"])
    first, annotation = parameters[0], _name(parameters[0].annotation)
    if decorated or annotation.endswith("TrialContext"):
        return "phasemap"
    if len(parameters) == 1 and first.name == "config":
        return "tune"
    if first.name == "trial":
        optuna = len(parameters) == 1 or "optuna" in annotation or annotation.endswith("Trial")
        return "optuna" if optuna else "phasemap"
    raise SignatureError(
        [
            f"has {first.name} as its first parameter; allowed: trial (trial: pm.TrialContext, or Optuna's alone), "
            "or config alone for a function of Ray Tune"
        ]
    )


def parameters_of(
    function: Callable[..., Any], since: Mapping[str, int] | None = None, *, first: int = 1, given: tuple[str, ...] = ()
) -> tuple[Parameter, ...]:
    """Return a function's settings: its parameters but the first ones, and those that it is given otherwise.

    SignatureError with all that is wrong with them.
    """
    since, settings, wrong = since or {}, [], []
    parameters = [one for one in list(inspect.signature(function).parameters.values())[first:] if one.name not in given]
    for parameter in parameters:
        try:
            settings.append(_parameter(function, parameter, since.get(parameter.name)))
        except ValueError as error:
            wrong.append(str(error))
    known = [parameter.name for parameter in parameters]
    wrong += [
        f"since names {name}, which is not a parameter; it has: {', '.join(known) or 'none'}"
        for name in since
        if name not in known
    ]
    if wrong:
        raise SignatureError(wrong)
    return tuple(settings)


def unreadable(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the parameters with a default that no setting can be, as those that may be tensors."""
    names = []
    for parameter in inspect.signature(function).parameters.values():
        try:
            _parameter(function, parameter, None)
        except ValueError:
            if parameter.default is not inspect.Parameter.empty:
                names.append(parameter.name)
    return tuple(names)


def _parameter(function: Any, parameter: inspect.Parameter, since: int | None) -> Parameter:
    name = parameter.name
    if parameter.kind is inspect.Parameter.VAR_KEYWORD:
        raise ValueError(f"takes **{name}; allowed: every setting as a parameter of its own")
    if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.POSITIONAL_ONLY):
        raise ValueError(f"takes {name} by its place; allowed: keyword parameters")
    if name in RESERVED_NAMES:
        raise ValueError(f"has a parameter {name}, which is a reserved name; allowed: another name")
    required = parameter.default is inspect.Parameter.empty
    if parameter.annotation is inspect.Parameter.empty:
        if required:
            raise ValueError(f"has a parameter {name} without a type and a default; allowed: {TYPES_ALLOWED}")
        kinds, choices = _types_of_default(name, parameter.default), ()
    else:
        kinds, choices = _types_of(name, _resolved(function, name, parameter.annotation))
    if since is not None and required:
        raise ValueError(f"has a parameter {name} that since names, but no default for it; allowed: a default")
    made = Parameter(name=name, types=kinds, choices=choices, required=required, since=since)
    try:
        return made if required else replace(made, default=made.value_of(parameter.default))
    except ValueError:
        raise ValueError(f"has a parameter {name} whose default {parameter.default!r} is not of its type") from None


def _types_of_default(name: str, default: Any) -> tuple[str, ...]:
    if default is None:
        return _ANY
    if isinstance(default, list | tuple) and default:
        return (f"list[{_types_of_default(name, default[0])[0]}]",)
    for kind, python in SCALARS.items():
        if python is not None and type(default) is python:
            return (kind,)
    raise ValueError(f"has a parameter {name} whose default {default!r} is of no type for it; allowed: {TYPES_ALLOWED}")


def _resolved(function: Any, name: str, annotation: Any) -> Any:
    """Return an annotation that may stand as text."""
    if not isinstance(annotation, str):
        return annotation
    try:
        code = function.__init__ if inspect.isclass(function) else inspect.unwrap(function)
        return eval(annotation, getattr(code, "__globals__", {}))
    except Exception:
        raise ValueError(
            f"has a parameter {name} of the type {annotation}, which can't be read; allowed: {TYPES_ALLOWED}"
        ) from None


def _types_of(name: str, annotation: Any) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """Return the types of an annotation, and the choices among them."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Union or isinstance(annotation, types.UnionType):
        parts = [_types_of(name, part) for part in inner]
        kinds = tuple(dict.fromkeys(kind for of_part, _ in parts for kind in of_part))
        return kinds, tuple(choice for _, choices in parts for choice in choices)
    if origin is Literal:
        return (CHOICE,), inner
    if annotation is None or annotation is type(None):
        return ("none",), ()
    for kind, python in SCALARS.items():
        if annotation is python:
            return (kind,), ()
    if origin in (list, tuple) and {part for part in inner if part is not ...} <= {bool, int, float, str}:
        items = {part for part in inner if part is not ...}
        if len(items) == 1:
            return (f"list[{items.pop().__name__}]",), ()
    raise ValueError(f"has a parameter {name} of the type {_name(annotation)}; allowed: {TYPES_ALLOWED}")


def _name(annotation: Any) -> str:
    if annotation is inspect.Parameter.empty:
        return ""
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
