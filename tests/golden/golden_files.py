"""Golden files: content that today's code makes, kept as JSON, and what differs when it is made again.

A file is never made by a test: one that is missing fails, and only freeze.py writes.
"""

from __future__ import annotations

import contextlib
import json
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "data" / "golden"
CLOSE = 1e-12
DERIVED = "derived"
"""The key under which numbers may differ by CLOSE (relative, or absolute below 1); all others must be equal."""

MOST_SHOWN = 12
WIDTH = 300


class MissingError(AssertionError):
    """A golden file is not there."""


def differences(golden: Any, found: Any, path: str = "", *, close: bool = False) -> list[str]:
    """Name each place where two contents differ; of numbers also by their type."""
    if isinstance(golden, dict) and isinstance(found, dict):
        return _of_mappings(golden, found, path, close=close)
    if isinstance(golden, list) and isinstance(found, list):
        return _of_lists(golden, found, path, close=close)
    same_kind = type(golden) is type(found) or (close and _number(golden) and _number(found))
    if same_kind and (golden == found or (close and _near(golden, found))):
        return []
    return [f"{path}: {_shown(golden)} is now {_shown(found)}"]


def _of_mappings(golden: dict[str, Any], found: dict[str, Any], path: str, *, close: bool) -> list[str]:
    place = f"{path}." if path else ""
    told = [f"{place}{name}: {_shown(golden[name])} is gone" for name in golden if name not in found]
    told += [f"{place}{name}: {_shown(found[name])} is new" for name in found if name not in golden]
    for name in golden:
        if name in found:
            told += differences(golden[name], found[name], f"{place}{name}", close=close or name == DERIVED)
    return told


def _of_lists(golden: list[Any], found: list[Any], path: str, *, close: bool) -> list[str]:
    if len(golden) != len(found):
        return [f"{path}: {len(golden)} entries are now {len(found)}: {_shown(golden)} is now {_shown(found)}"]
    pairs = enumerate(zip(golden, found, strict=True))
    return [text for i, (one, other) in pairs for text in differences(one, other, f"{path}[{i}]", close=close)]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _near(golden: Any, found: Any) -> bool:
    return _number(golden) and _number(found) and math.isclose(golden, found, rel_tol=CLOSE, abs_tol=CLOSE)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 3]}..."


@dataclass(frozen=True, kw_only=True)
class Golden:
    """One golden file: how its content is made, in a working directory of its own, and compared."""

    name: str
    make: Callable[[], Any]
    compare: Callable[[Any, Any], list[str]] = differences

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name}.json"

    def read(self) -> Any:
        """Return the frozen content; MissingError where there is none."""
        if not self.path.is_file():
            raise MissingError(f"{self.path.name} is missing; tests make no golden files: see tests/golden/README.md")
        return json.loads(self.path.read_text(encoding="utf-8"))

    def made(self) -> Any:
        """Return the content that the present code makes, as it would be read again."""
        with working_directory():
            return json.loads(dumped(self.make()))

    def check(self, content: Any = None) -> None:
        """AssertionError that names what differs of the content that the present code makes, or has made."""
        told = self.compare(self.read(), self.made() if content is None else json.loads(dumped(content)))
        more = [f"... and {len(told) - MOST_SHOWN} more"] if len(told) > MOST_SHOWN else []
        assert not told, "\n".join([f"{self.path.name} differs:", *told[:MOST_SHOWN], *more])


@contextlib.contextmanager
def working_directory() -> Iterator[Path]:
    """Work in an empty folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="golden-") as folder, contextlib.chdir(folder):
        yield Path(folder)


def dumped(content: Any) -> str:
    """Write content as JSON with full precision: plain lists on one line, so that a change is seen in one line."""
    return "".join(_pieces(plain(content), "")) + "\n"


def plain(value: Any) -> Any:
    """Turn arrays, tuples and numbers of NumPy into what JSON has; numbers that are not finite become their names."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"{value!r} has no place in a golden file")


def _pieces(value: Any, indent: str) -> Iterator[str]:
    inner = f"{indent} "
    if isinstance(value, dict) and value:
        entries = [(f"{json.dumps(name, ensure_ascii=False)}: ", one) for name, one in value.items()]
    elif isinstance(value, list) and any(isinstance(one, dict | list) for one in value):
        entries = [("", one) for one in value]
    else:
        yield json.dumps(value, ensure_ascii=False, allow_nan=False)
        return
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    for number, (name, one) in enumerate(entries):
        yield f"{',' if number else opening}\n{inner}{name}"
        yield from _pieces(one, inner)
    yield f"\n{indent}{closing}"


def names(golden: Sequence[Golden]) -> list[str]:
    """Return the names of golden files, for the ids of tests."""
    return [one.name for one in golden]
