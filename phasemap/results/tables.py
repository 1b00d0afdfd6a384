"""Read a user's table from a CSV or Parquet file."""

from __future__ import annotations

import csv
import re
from itertools import islice
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from phasemap.study.errors import UserError

BYTE_ORDER_MARK = "\ufeff"
DELIMITERS = (",", ";", "\t", "|")
PARQUET = (".parquet", ".pq")
SNIFFED_ROWS = 50


def read_frame(path: Path, encoding: str | None = None, most: int | None = None) -> pd.DataFrame:
    """Read a table of at most ``most`` rows; ``encoding`` is that of a CSV, where the user may name it (else UTF-8).

    UserError for a file that is no table, columns that share a name, or more rows, of which no more are read.
    """
    try:
        if path.suffix.lower() in PARQUET:
            n_rows = pq.read_metadata(path).num_rows if most else 0
            frame = pd.read_parquet(path) if not most or n_rows <= most else pd.DataFrame()
        else:
            frame = _read_csv(path, encoding or "utf-8", most)
            n_rows = len(frame)
    except UnicodeDecodeError:
        other = "" if encoding is None else ", or name its encoding, e.g. --encoding latin-1 or --encoding shift_jis"
        raise UserError(
            f"{path} is not {encoding or 'utf-8'}{_first_wrong_byte(path, encoding or 'utf-8')}; allowed: UTF-8{other}"
        ) from None
    except LookupError:
        raise UserError(f"--encoding {encoding} is unknown; allowed: utf-8, latin-1, shift_jis, cp932, ...") from None
    except FileNotFoundError:
        raise UserError(f"{path} is not a file; allowed: a CSV or Parquet file") from None
    except (ValueError, OSError) as error:  # pandas' and pyarrow's own errors are ValueErrors
        why = str(error).splitlines()[0][:200]
        raise UserError(f"{path} can't be read as a table: {why}; allowed: CSV or Parquet") from None
    check_size(n_rows, str(path), most)
    repeated = frame.columns[frame.columns.duplicated()]
    if len(repeated):
        raise UserError(f"{path} has several columns named '{repeated[0]}'; allowed: distinct names")
    return frame


def check_size(n_rows: int, place: str, most: int | None) -> None:
    """Raise UserError where a table of trials has more than ``most`` rows."""
    if most and n_rows > most:
        raise UserError(
            f"{place} has more than {most} rows; allowed: at most {most} trials, each one row (steps of trials belong "
            "in a table of their own: --curves)"
        )


def _read_csv(path: Path, encoding: str, most: int | None) -> pd.DataFrame:
    """Read a CSV whose columns are set apart by comma, semicolon, tab or bar; beside others decimal commas are numbers.

    The first of these with which the first rows all have the same number of columns, two or more, is it. One row more
    than ``most`` is read. Columns that share a name keep it.
    """
    delimiter, decimal = ",", "."
    for tried in DELIMITERS:
        rows = _first_rows(path, encoding, tried)
        if len({len(row) for row in rows}) == 1 and len(rows[0]) > 1:
            cells = [cell.strip() for row in rows for cell in row]
            points, commas = (any(re.fullmatch(rf"[-+]?\d*{mark}\d+", cell) for cell in cells) for mark in (r"\.", ","))
            delimiter, decimal = tried, "," if commas and not points else "."
            break
    frame = pd.read_csv(
        path, encoding=encoding, sep=delimiter, decimal=decimal, low_memory=False, nrows=most and most + 1
    )
    header = [name.lstrip(BYTE_ORDER_MARK) for name in next(iter(_first_rows(path, encoding, delimiter)), [])]
    named = [name for name in header if name]
    if len(header) == len(frame.columns) and len(named) > len(set(named)):
        frame.columns = pd.Index(header)  # pandas numbers them, as if they had distinct names
    return frame


def _first_rows(path: Path, encoding: str, delimiter: str) -> list[list[str]]:
    with path.open(encoding=encoding, newline="") as file:
        try:
            return [row for row in islice(csv.reader(file, delimiter=delimiter), SNIFFED_ROWS) if row]
        except csv.Error:  # no table by this delimiter
            return []


def _first_wrong_byte(path: Path, encoding: str) -> str:
    """Say which byte of a file can't be read; pandas knows its place in a piece of the file only."""
    content = path.read_bytes()
    try:
        content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return f": byte 0x{content[error.start]:02x} in line {line} can't be read"
    return ""
