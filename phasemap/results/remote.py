"""A run's folder in an object store: files go there whole, and are fetched when they are read.

An object store has no rename and no lock, but a file appears whole or not at all, and one can be made on condition that
there is none of its name. Each process keeps a copy of what it read, which ends with it.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import RLock
from typing import Any

from phasemap.study.errors import StorageError, UserError

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "abfs": "azure", "abfss": "azure", "az": "azure"}


@dataclass(frozen=True, slots=True)
class Remote:
    """A folder in an object store, by its URI."""

    uri: str

    @property
    def name(self) -> str:
        """The last part of the URI."""
        return self.uri.rpartition("/")[2]

    def beside(self, name: str) -> Remote:
        """Return the folder of another name in the same place."""
        return Remote(f"{self.uri.rpartition('/')[0]}/{name}")

    def upload(self, path: Path, key: str) -> None:
        """Put a file in place, whole."""
        with self._at() as (fs, root):
            fs.put_file(str(path), f"{root}/{key}")
        _seen.pop(str(path), None)

    def download(self, key: str, path: Path) -> bool:
        """Fetch one file if it changed since it was fetched; False, and no copy any more, where there is none."""
        try:
            with self._at() as (fs, root):
                found = fs.info(f"{root}/{key}")
                self._fetch(fs, {path: found} if found["type"] == "file" else {})
        except FileNotFoundError:
            path.unlink(missing_ok=True)
        return path.exists()

    def download_all(self, folder: str, target: Path) -> None:
        """Fetch the files of a folder that changed since they were fetched, and forget those that are gone."""
        with self._at() as (fs, root):
            wanted = {target / Path(file["name"]).name: file for file in _files(fs, f"{root}/{folder}")}
            if wanted:
                target.mkdir(parents=True, exist_ok=True)
            self._fetch(fs, wanted)
        for path in target.glob("*") if target.is_dir() else ():
            if path not in wanted and path.name[0] != ".":
                path.unlink(missing_ok=True)

    def names(self, folder: str) -> set[str]:
        """List the names of the files in a folder."""
        with self._at() as (fs, root):
            return {Path(file["name"]).name for file in _files(fs, f"{root}/{folder}")}

    def list(self) -> list[str]:
        """List the folders in this one by name."""
        with self._at() as (fs, root):
            return sorted(Path(entry["name"]).name for entry in _entries(fs, root) if entry["type"] == "directory")

    def remove(self, key: str) -> None:
        """Remove a file, if there is one."""
        with self._at() as (fs, root), suppress(FileNotFoundError):
            fs.rm_file(f"{root}/{key}")

    def move(self, target: Remote, leave: tuple[str, ...]) -> None:
        """Copy every file to another folder but for those that are left, then remove the old ones."""
        with self._at() as (fs, root), target._at() as (_, there):
            keys = [key.removeprefix(f"{root}/") for key in fs.find(root)]
            moved = [key for key in keys if key not in leave]
            for key in moved:
                fs.cp_file(f"{root}/{key}", f"{there}/{key}")
            for key in moved:
                fs.rm_file(f"{root}/{key}")

    def read(self, key: str) -> bytes | None:
        """Return a small file's content; None if there is none."""
        with self._at() as (fs, root):
            try:
                content: bytes = fs.cat_file(f"{root}/{key}")
            except FileNotFoundError:
                return None
            return content

    def write(self, key: str, content: bytes, *, new: bool = False) -> None:
        """Write a small file; FileExistsError if it must be new and is there already."""
        with self._at() as (fs, root):
            fs.pipe_file(f"{root}/{key}", content, **({"mode": "create"} if new else {}))

    @contextmanager
    def _at(self) -> Iterator[tuple[Any, str]]:
        """Yield the file system with no old listings, and the folder's path in it."""
        fs, root = _file_system(self.uri)
        try:
            fs.invalidate_cache()
            yield fs, root
        except (FileExistsError, FileNotFoundError):
            raise
        except Exception as error:  # each store has its own: refused, no such bucket, no credentials, no network
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise StorageError(f"{self.uri} can't be reached, read or written: {lines[0]}") from None

    def _fetch(self, fs: Any, wanted: Mapping[Path, Mapping[str, Any]]) -> None:
        with _fetching:
            stale = {path: file for path, file in wanted.items() if not _is_fresh(path, file)}
            waiting = {path: path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp") for path in stale}
            for path in waiting:
                path.parent.mkdir(parents=True, exist_ok=True)
            if stale:
                fs.get([file["name"] for file in stale.values()], [str(path) for path in waiting.values()])
            for path, file in stale.items():
                waiting[path].replace(path)
                _seen[str(path)] = _stamp(file)


_seen: dict[str, str] = {}  # copy -> stamp of the file that it was fetched from
_fetching = RLock()


def _is_fresh(path: Path, file: Mapping[str, Any]) -> bool:
    return path.exists() and _seen.get(str(path)) == _stamp(file)


def _stamp(file: Mapping[str, Any]) -> str:
    """Tell a stored file by what the store says of its content, or of its time."""
    names = ("ETag", "etag", "generation", "LastModified", "last_modified", "mtime", "created")
    return repr([file["size"], *(file[name] for name in names if name in file)])


def _files(fs: Any, folder: str) -> list[Mapping[str, Any]]:
    return [one for one in _entries(fs, folder) if one["type"] == "file" and Path(one["name"]).name[0] != "."]


def _entries(fs: Any, folder: str) -> list[Mapping[str, Any]]:
    """List what is in a folder; nothing where there is none."""
    try:
        found: list[Mapping[str, Any]] = fs.ls(folder, detail=True)
    except FileNotFoundError:
        return []
    return found


def is_remote(place: object) -> bool:
    """Whether a storage or run is named by a URI of another kind than a local path's."""
    return "://" in str(place) and not str(place).startswith("file://")


@lru_cache
def _file_system(uri: str) -> tuple[Any, str]:
    import fsspec

    kind = uri.partition("://")[0]
    try:
        fs, root = fsspec.url_to_fs(uri)
    except ImportError:
        extra = EXTRAS.get(kind)
        needed = f"pip install 'phasemap[{extra}]'" if extra else f"the fsspec package of {kind}"
        raise UserError(f"{uri}: the library of {kind}:// is missing; needed: {needed}") from None
    except ValueError as error:
        raise UserError(f"{uri}: {error}; allowed: a folder, s3://, gs://, abfs:// or another kind of fsspec") from None
    return fs, root.rstrip("/")


@lru_cache
def copy_of(uri: str) -> Path:
    """Return the folder in which this process keeps its copy of a remote folder; it ends with the process."""
    path = Path(tempfile.mkdtemp(prefix="phasemap-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path / uri.rpartition("/")[2]
