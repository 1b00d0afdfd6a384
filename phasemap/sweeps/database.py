"""SQLite files of other programs: opened to read only, after a look at their tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from phasemap.study.errors import UnreachableError, UserError

MAGIC = b"SQLite format 3\0"
WAL_VERSIONS = b"\2\2"  # to write and to read, in a header
WAIT_SECONDS = 3.0  # for a lock of another program
TABLES = {
    "optuna": {"studies", "trials", "trial_params", "trial_values", "trial_intermediate_values"},
    "mlflow": {"experiments", "runs", "params", "metrics"},
}
"""By which tables a program's database is known."""
MOST_SHOWN = 6

Kind = Literal["optuna", "mlflow"]


def is_database(path: Path) -> bool:
    """Tell whether a file is an SQLite database by its first bytes."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


@contextmanager
def database(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database to read only; UserError where it is none, UnreachableError where it is locked."""
    if not path.is_file():
        raise UserError(f"{path} is not a file; allowed: an SQLite database of Optuna or MLflow")
    if not is_database(path):
        raise UserError(f"{path} is not an SQLite database; allowed: one of Optuna or MLflow")
    try:
        uri = f"file:{quote(str(path.absolute()))}?mode=ro{_unopened(path)}"
        with closing(sqlite3.connect(uri, uri=True, timeout=WAIT_SECONDS)) as connection:
            connection.execute("PRAGMA query_only = ON")
            yield connection
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or "busy" in str(error) or "unable to open" in str(error):
            raise UnreachableError(
                f"{path} can't be read now: {error}; needed: a database that is not locked"
            ) from None
        raise UserError(f"{path} can't be read: {error}; allowed: a database of Optuna or MLflow") from None
    except sqlite3.DatabaseError as error:
        raise UserError(f"{path} is damaged: {error}; allowed: a database of Optuna or MLflow") from None


def _unopened(path: Path) -> str:
    """Say that nobody writes into a database: one with a write-ahead log that no program has open.

    SQLite would make that log's files to read it, and leave them behind (https://www.sqlite.org/wal.html#readonly).
    """
    with path.open("rb") as file:
        versions = file.read(20)[18:]
    alone = versions == WAL_VERSIONS and not path.with_name(f"{path.name}-wal").exists()
    return "&immutable=1" if alone else ""


def kind_of_database(path: Path) -> Kind:
    """Tell whose database a file is by its tables; UserError where it is of another program."""
    with database(path) as connection:
        there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for kind, tables in TABLES.items():
        if tables <= there:
            return kind  # type: ignore[return-value]
    names = sorted(there)
    shown = ", ".join(name[:40] for name in names[:MOST_SHOWN]) + (", ..." if len(names) > MOST_SHOWN else "")
    raise UserError(
        f"{path} has {f'the tables {shown}' if shown else 'no tables'}; allowed: a database of Optuna or MLflow"
    )


def columns_in(connection: sqlite3.Connection, table: str) -> set[str]:
    """Return the names of a table's columns, which differ between releases."""
    return {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}


def one_of(names: dict[str, int], asked: str | None, place: str, what: str) -> tuple[str, int]:
    """Return the name and number of the study that is asked for, or of the only one."""
    listed = ", ".join(str(name)[:60] for name in list(names)[:20]) or "none"
    if asked is not None:
        if asked not in names:
            raise UserError(f"{place} has no {what} {asked}; allowed: {listed}")
        return asked, names[asked]
    if not names:
        raise UserError(f"{place} has no {what}")
    if len(names) > 1:
        raise UserError(f"{place} has more than one {what}: {listed}; needed: --study with the name of one")
    return next(iter(names.items()))
