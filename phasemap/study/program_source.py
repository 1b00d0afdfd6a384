"""Code of a user: where it is, ``file.py:name`` inside the study's folder or ``package.module:name``; and its hash."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import inspect
import os
import re
import socket
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

from phasemap.study.errors import did_you_mean, visible
from phasemap.study.parameters import Parameter, parameter_of

REFERENCE = "file.py:function in the study's folder, or package.module:function"
MAX_FILES = 500
PACKAGE = Path(__file__).parents[1]


class ProgramError(ValueError):
    """A program that can't be used; the message says what was found and what is allowed."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a program's code is: a file relative to a folder, or a module; and the function's name."""

    code: str
    function: str

    @property
    def in_file(self) -> bool:
        """Whether it is a file, and no module of a package."""
        return self.code.endswith(".py")


def place_of(reference: Any) -> Place:
    """Take a reference apart; ProgramError where it is none."""
    code, colon, function = str(reference).rpartition(":")
    module = re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", code)
    if not isinstance(reference, str) or not colon or not function.isidentifier():
        raise ProgramError(f"= {str(reference)[:60]!r} is not allowed; allowed: {REFERENCE}")
    if not code.endswith(".py") and not module:
        raise ProgramError(f"= {reference[:60]!r} is not allowed; allowed: {REFERENCE}")
    return Place(code, function)


@lru_cache(maxsize=256)
def program_name(reference: str) -> str:
    """Return what the ids of a program's trials call it: its file without folders, or its module, and the function."""
    place = place_of(reference)
    return f"{Path(place.code).name if place.in_file else place.code}:{place.function}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """What a study knows of a user's code without importing it."""

    reference: str  # as the study names it
    folder: str = ""  # that a file's path starts from
    source: str = ""  # the hash of its code
    parameters: tuple[Parameter, ...] = ()  # those that are settings

    @property
    def name(self) -> str:
        """What the trials' ids call it."""
        return program_name(self.reference)

    @property
    def place(self) -> Place:
        """Where the code is."""
        return place_of(self.reference)

    def known(self) -> dict[str, Any]:
        """Return what is known as plain values, from which ``known_of`` makes the arguments again."""
        settings = {parameter.name: parameter.content() for parameter in self.parameters}
        return {"folder": self.folder, "source": self.source, "settings": settings}

    def present_source(self) -> str | None:
        """Return the hash that the file has now; None where the code is in no file of a study, or no more there."""
        path = Path(self.folder) / self.place.code
        return source_hash(path) if self.place.in_file and path.is_file() else None

    def folder_here(self) -> Path:
        """Return the folder that the file is in: the study's or, in a submitted job, the working directory.

        ProgramError where it is in none.
        """
        place, folders = self.place, dict.fromkeys((Path(self.folder), Path.cwd()))
        for folder in folders:
            if not place.in_file or (folder / place.code).is_file():
                return folder
        raise ProgramError(
            f"{socket.gethostname()} has no {place.code} in {' or '.join(map(str, folders))}; allowed: a folder that "
            "all nodes share, phasemap submit, which sends it, or a package that is installed there"
        )


def known_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments for a ``Code`` from what ``known`` returned; ValueError, KeyError or TypeError for others."""
    return {
        "folder": str(content["folder"]),
        "source": str(content["source"]),
        "parameters": tuple(parameter_of(name, one) for name, one in content["settings"].items()),
    }


def file_of(place: Place, folder: Path) -> Path:
    """Return the path of a program's file; ProgramError where there is none, or it isn't inside the folder."""
    relative = Path(place.code)
    if relative.is_absolute() or ".." in relative.parts:
        raise ProgramError(f"= {place.code} leads out of the study's folder; allowed: a file inside it, or a package")
    path = folder / relative
    if not path.is_file():
        beside = [file.name for file in sorted(path.parent.glob("*.py"))] if path.parent.is_dir() else []
        raise ProgramError(f"= {place.code}: there is no such file in {folder}{did_you_mean(relative.name, beside)}")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ProgramError(f"= {place.code} is a link that leads out of the study's folder; allowed: a file inside it")
    return path


def import_program(place: Place, folder: Path) -> Callable[..., Any]:
    """Import a program's function: its file is executed; ProgramError with what went wrong, and where."""
    path = file_of(place, folder) if place.in_file else None
    try:
        with _exits_told():
            module = _import_file(path) if path else importlib.import_module(place.code)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a user's module does when it is imported, sys.exit among it
        if path is None and isinstance(error, ModuleNotFoundError) and place.code.startswith(error.name or " "):
            raise ProgramError(f"= {place.code}: there is no such module in {sys.executable}") from None
        raise ProgramError(f"= {place.code} can't be imported: {last_line(error)}") from None
    function: Callable[..., Any] | None = getattr(module, place.function, None)
    if function is None:
        known = [name for name, value in vars(module).items() if inspect.isfunction(value)]
        raise ProgramError(f"= {place.code} has no function {place.function}{did_you_mean(place.function, known)}")
    return function


def last_line(error: BaseException) -> str:
    """Put an exception into one line, with the last line of code outside phasemap that it came from."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not _passed_over(f.filename)]
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    try:
        text = visible((str(error).strip().splitlines() or [""])[0][:300])
    except Exception:  # a user's exception may have a __str__ that fails
        text = ""
    return f"{type(error).__name__}{f': {text}' if text else ''}{where}"


def _passed_over(filename: str) -> bool:
    return "importlib" in filename or Path(filename).is_relative_to(PACKAGE)


def _import_file(path: Path) -> Any:
    name = f"phasemap_program_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with _beside(path.parent):
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return module


@contextmanager
def _exits_told() -> Iterator[None]:
    """Make ``os._exit`` an exception like ``sys.exit``: this process would end without a word, perhaps with 0."""
    process, leave = os.getpid(), os._exit

    def told(status: int) -> NoReturn:
        if os.getpid() != process:  # one that the module has forked
            leave(status)
        raise SystemExit(f"os._exit({status})")

    os._exit = told
    try:
        yield
    finally:
        os._exit = leave


@contextmanager
def staying_here() -> Iterator[None]:
    """Undo a change of the working directory: a storage, or what a command writes, may be relative to it."""
    here = os.open(".", os.O_RDONLY)
    try:
        yield
    finally:
        os.fchdir(here)
        os.close(here)


@contextmanager
def _beside(folder: Path) -> Iterator[None]:
    """Let modules of a folder be imported, and forget them: another study's may have the same names."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None)
            if file and "." not in name and Path(file).is_relative_to(folder):
                del sys.modules[name]


def source_files(path: Path) -> list[Path]:
    """Return a program's file and the modules beside it that it imports, at any depth."""
    files: list[Path] = []
    waiting = [path]
    while waiting and len(files) < MAX_FILES:
        file = waiting.pop()
        if file in files:
            continue
        files.append(file)
        try:
            tree = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError):
            continue
        for name in _imported(tree):
            waiting += _beside_files(path.parent, name)
    return sorted(files)


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            yield module
            yield from (f"{module}.{alias.name}".strip(".") for alias in node.names)


def _beside_files(folder: Path, name: str) -> Iterator[Path]:
    """Yield the files of a dotted name, packages on the way among them, that are in a folder."""
    parts = name.split(".") if name else []
    for end in range(1, len(parts) + 1):
        stem = folder.joinpath(*parts[:end])
        yield from (file for file in (stem.with_suffix(".py"), stem / "__init__.py") if file.is_file())


def source_hash(path: Path) -> str:
    """Hash a program's file and the modules beside it that it imports, by their names and contents."""
    digest = hashlib.sha256()
    for file in source_files(path):
        digest.update(f"{file.relative_to(path.parent).as_posix()}\n".encode())
        digest.update(file.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return digest.hexdigest()[:16]


def code_hash(place: Place, folder: Path, function: Callable[..., Any]) -> str:
    """Hash imported code: by its file and what that imports, else by its text."""
    path = file_of(place, folder) if place.in_file else file_of_function(function)
    return source_hash(path) if path else function_hash(function)


def file_of_function(function: Callable[..., Any]) -> Path | None:
    """Return the file that a function or class stands in; None of what is built in, or made otherwise."""
    try:
        file = inspect.getsourcefile(inspect.unwrap(function))
    except TypeError:
        return None
    return Path(file) if file else None


def function_hash(function: Callable[..., Any]) -> str:
    """Hash a function that stands in no file of a study, by its text, or by its code where the text is not known."""
    try:
        text = inspect.getsource(function)
    except (OSError, TypeError):
        code = getattr(inspect.unwrap(function), "__code__", None)
        text = repr((code.co_code, code.co_names, code.co_consts)) if code else repr(function)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
