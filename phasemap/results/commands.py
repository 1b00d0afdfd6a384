"""Commands and paths as a reader of a run can type them: nothing of where they stood on one machine's disks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

ABSOLUTE = re.compile(r"(?<![^\s=:,;'\"(\[{])(?:file://)?(?:/(?!/)|[A-Za-z]:[\\/](?!/))[^\s,;'\")\]}]+")
"""An absolute path within a text; of URIs those of this machine's files only."""


def portable_path(path: str | Path, storage: Path | None = None) -> str:
    """Return a path as it may be shown elsewhere: URIs and relative paths as they are.

    An absolute one is taken relative to the working directory or, with the storage's name before it, to the storage;
    of one outside both the last name is left.
    """
    text = str(path).removeprefix("file://")
    if PureWindowsPath(text).drive and not Path(text).is_absolute():  # written on Windows, read elsewhere
        return PureWindowsPath(text).name or text
    if not Path(text).is_absolute():
        return text
    here, kept = Path.cwd(), storage.absolute() if storage else None
    if here != Path(here.anchor) and Path(text).is_relative_to(here):
        return str(Path(text).relative_to(here))
    if kept is not None and Path(text).is_relative_to(kept):
        return str(Path(kept.name, Path(text).relative_to(kept)))
    return Path(text).name or text


def typed_command(arguments: Sequence[str], storage: Path | None = None) -> list[str]:
    """Return a process's arguments as a reader can type them, e.g. ``phasemap run study.yaml --storage runs``."""
    if not arguments:
        return []
    program, *rest = arguments
    return [*_program(program, storage), *(_argument(text, storage) for text in rest)]


def _program(path: str, storage: Path | None) -> list[str]:
    """Name what was started: an installed command by its name, a module or a script with ``python``."""
    parts = PureWindowsPath(path) if PureWindowsPath(path).drive else PurePosixPath(path)
    if parts.name == "__main__.py":
        module = parts.parent.name
        return ["phasemap"] if module == "phasemap" else ["python", "-m", module]
    if parts.suffix == ".py":
        return ["python", portable_path(path, storage)]
    if path in ("", "-c"):  # an interactive session, a program given as text
        return ["python", *filter(None, [path])]
    return [parts.stem if parts.suffix == ".exe" else parts.name]


def _argument(text: str, storage: Path | None) -> str:
    """Show the paths of one argument: of one that is a path, has one behind its ``=``, or names some within."""
    key, equals, value = ("", "", text) if _is_path(text) else text.rpartition("=")
    if _is_path(value) and "=" not in key:
        return f"{key}{equals}{portable_path(value, storage)}"
    return ABSOLUTE.sub(lambda match: portable_path(match[0], storage), text)


def _is_path(text: str) -> bool:
    return Path(text.removeprefix("file://")).is_absolute() or PureWindowsPath(text).is_absolute()
