"""Values as JSON has them, for documents, answers of the service and files: one encoder for all."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa


def plain(value: Any) -> Any:
    """Turn values into mappings, lists, numbers and text; what is no finite number is null.

    JSON has no infinity: a step time that is not reached is null, and a reason beside it says so.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, np.ndarray | pa.Array):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, Sequence) else str(value)


def json_text(value: Any, *, indent: int | None = None, compact: bool = False) -> str:
    """Write values as JSON that every reader takes; with ``indent`` for people, ``compact`` without spaces."""
    separators = (",", ":") if compact else None
    return json.dumps(plain(value), indent=indent, separators=separators, ensure_ascii=indent is None, allow_nan=False)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table as a list of its rows; what is not known is null."""
    found: list[dict[str, Any]] = json.loads(frame.to_json(orient="records"))
    return found
