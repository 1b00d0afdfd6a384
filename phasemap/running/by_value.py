"""A function as bytes, with what it uses of the script or notebook that it stands in."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

from phasemap.study.errors import UserError


def code_of(function: Callable[..., Any]) -> bytes:
    """Pickle a function by value; modules that are installed are named only. UserError where it can't be."""
    from ray import cloudpickle

    module = sys.modules.get(getattr(function, "__module__", None) or "")
    by_value = module is not None and module.__name__ != "__main__" and not _installed(module)
    try:
        if by_value:
            cloudpickle.register_pickle_by_value(module)
        content: bytes = cloudpickle.dumps(function)
    except Exception as error:
        raise UserError(
            f"{getattr(function, '__name__', function)} can't be sent to other processes: {error}; allowed: a function "
            "that uses no open files, locks or the like of its script"
        ) from None
    finally:
        if by_value:
            cloudpickle.unregister_pickle_by_value(module)
    return content


def _installed(module: Any) -> bool:
    file = getattr(module, "__file__", None)
    folders = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib", "stdlib")}
    return file is None or any(Path(file).resolve().is_relative_to(folder) for folder in folders)
