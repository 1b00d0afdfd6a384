"""What of a program goes elsewhere: a function by value, its file and what that imports, or a whole folder."""

from __future__ import annotations

import shutil
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from phasemap.study.errors import UserError
from phasemap.study.own_study import OwnStudy
from phasemap.study.program_source import Code, file_of, source_files
from phasemap.study.program_study import ProgramStudy
from phasemap.study.programs import IN_PYTHON
from phasemap.study.spec import Study

MOST_BYTES = 50_000_000  # Ray's own limit of a working directory is 100 MiB, zipped
LEFT_OUT = ("__pycache__", ".git", ".venv", "runs")


def shipped_files(study: Study, ship: Path | None = None) -> dict[str, Path]:
    """Return the files that go with a study, by their paths in the job's folder; UserError where they can't.

    ``ship`` is a folder inside the study's, all of which goes.
    """
    if ship is not None and not _code_in(study):
        raise UserError(f"--ship {ship}: a study of phasemap's own networks needs no files; allowed: leave it out")
    shipped: dict[str, Path] = {}
    for code in _code_in(study):
        place, folder = code.place, Path(code.folder or Path.cwd())
        if place.code == IN_PYTHON:
            raise UserError(
                f"program {code.reference} was given as a function; allowed: one in a file, or in a package"
            )
        files = source_files(file_of(place, folder)) if place.in_file else []
        files += _inside(ship, folder) if ship is not None else []
        shipped |= {file.relative_to(folder).as_posix(): file for file in files}
    size = sum(file.stat().st_size for file in shipped.values())
    if size > MOST_BYTES:
        raise UserError(
            f"the program's files take {size / 1e6:.0f} MB; allowed: up to {MOST_BYTES / 1e6:.0f} MB (data belong on "
            "storage that all nodes reach)"
        )
    return shipped


def _code_in(study: Study) -> Sequence[Code]:
    """Return the code of a user that a study names: its program, or its network, data, optimizer and loss."""
    if isinstance(study, OwnStudy):
        return study.parts.parts
    return (study.signature,) if isinstance(study, ProgramStudy) else ()


def _inside(ship: Path, folder: Path) -> list[Path]:
    whole = ship if ship.is_absolute() else folder / ship
    if not whole.is_dir():
        raise UserError(f"--ship {ship}: there is no such folder in {folder}")
    if not whole.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"--ship {ship} is outside the study's folder {folder}; allowed: a folder inside it")
    files = [file for file in sorted(whole.rglob("*")) if file.is_file() and not _left_out(file.relative_to(whole))]
    links = [file for file in files if not file.resolve().is_relative_to(folder.resolve())]
    if links:
        raise UserError(f"--ship {ship}: {links[0]} is a link that leads out of the study's folder")
    return files


def _left_out(path: Path) -> bool:
    return bool(set(path.parts) & set(LEFT_OUT))


def copy_files(files: Mapping[str, Path], target: Path) -> None:
    """Copy files to their paths in a folder."""
    for name, file in files.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target / name)


def needed_modules(study: Study) -> list[str]:
    """Return the modules that must be installed on a cluster for a study; those in files are sent."""
    return [code.place.code for code in _code_in(study) if not code.place.in_file]


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
