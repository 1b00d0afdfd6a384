"""Shards: one Parquet file a pack, written whole, and the truth about what is done."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from phasemap.results.folder import RunFolder
from phasemap.results.schema import (
    LAST,
    READ_VERSIONS,
    SHARD_SCHEMA,
    VERSION_KEY,
    named,
    role_of,
    setting_value,
    stored_name,
    stored_schema,
)
from phasemap.study.errors import DamagedShardError, UserError
from phasemap.study.networks import NETWORK_SETTINGS
from phasemap.study.settings import Setting
from phasemap.training.recording import TrialResult

ATTEMPTS = 4  # to read shards that are being replaced
Result = TypeVar("Result")


def shard_table(
    pack_id: str,
    results: Sequence[TrialResult],
    schema: pa.Schema = SHARD_SCHEMA,
    declared: Mapping[str, Setting] = NETWORK_SETTINGS,
) -> pa.Table:
    """Return the rows of a pack's results, of a program with this schema and these settings."""
    return pa.Table.from_pylist([_row(pack_id, result, schema, declared) for result in results], schema=schema)


def write_shard(
    folder: RunFolder,
    pack_id: str,
    results: Sequence[TrialResult],
    schema: pa.Schema = SHARD_SCHEMA,
    declared: Mapping[str, Setting] = NETWORK_SETTINGS,
) -> Path:
    """Write a pack's results under its final name when they are whole, and return the path."""
    path = folder.shard(pack_id)
    stored = as_stored(shard_table(pack_id, results, schema, declared))
    folder.write(path, lambda temporary: pq.write_table(stored, temporary, compression="zstd"))
    return path


def as_stored(table: pa.Table) -> pa.Table:
    """Return rows with the names of a file's columns."""
    return pa.table(table.columns, schema=stored_schema(table.schema))


def shard_files(folder: RunFolder) -> list[Path]:
    """List a run's shards by name."""
    folder.fetch_all(folder.shards)
    return sorted(path for path in folder.shards.glob("*.parquet") if path.name[0] != ".")


def shard_stamp(path: Path) -> str:
    """Tell a file by its name, size, time and inode."""
    found = path.stat()
    return f"{path.name}:{found.st_size}:{found.st_mtime_ns}:{found.st_ino}"


def reread_if_replaced(read: Callable[[], Result]) -> Result:
    """Read shards; once more from the start where a driver replaced them by a whole file in the meantime."""
    for _ in range(ATTEMPTS):
        with suppress(FileNotFoundError):
            return read()
    return read()


def read_shards(
    folder: RunFolder,
    columns: Sequence[str] | None = None,
    *,
    schema: pa.Schema = SHARD_SCHEMA,
    skip_damaged: bool = False,
) -> pa.Table:
    """Read all rows of all shards, in no particular order; some trials may stand in several shards.

    ``schema`` has the columns of the run's program; for those that all programs share any will do.
    """

    def read() -> pa.Table:
        tables = [_chosen(schema, columns).empty_table()]
        for path in shard_files(folder):
            with suppress(DamagedShardError) if skip_damaged else nullcontext():
                tables.append(read_shard(path, columns, schema=schema))
        return pa.concat_tables(tables)

    return reread_if_replaced(read)


def finished_ids(folder: RunFolder) -> set[str]:
    """Return the ids of trials that need no more training: those that ended ``ok`` or ``diverged``."""
    return _ids(folder, failed=False)


def failed_ids(folder: RunFolder) -> set[str]:
    """Return the ids of trials that failed and have not been trained since."""
    return _ids(folder, failed=True) - finished_ids(folder)


def trained_devices(folder: RunFolder) -> frozenset[str]:
    """Return the kinds of device that a run's networks were trained on: cpu, cuda."""
    table = read_shards(folder, ["status", "device"], skip_damaged=True)
    trained = table.filter(pc.not_equal(table["status"], "failed"))["device"].drop_null().unique()
    return frozenset(device.partition(":")[0] for device in trained.to_pylist())


def _ids(folder: RunFolder, *, failed: bool) -> set[str]:
    table = read_shards(folder, ["trial_id", "status"], skip_damaged=True)
    wanted = pc.equal(table["status"], "failed")
    return set(table["trial_id"].filter(wanted if failed else pc.invert(wanted)).to_pylist())


def read_shard(path: Path, columns: Sequence[str] | None = None, *, schema: pa.Schema = SHARD_SCHEMA) -> pa.Table:
    """Read the rows of one shard; UserError if its version is another, DamagedShardError if it can't be read."""
    pieces = shard_pieces(path, columns, schema=schema)
    return pa.concat_tables([_chosen(schema, columns).empty_table(), *pieces])


def shard_pieces(
    path: Path, columns: Sequence[str] | None = None, *, schema: pa.Schema = SHARD_SCHEMA
) -> Iterator[pa.Table]:
    """Read the rows of one shard in pieces that fit into memory; FileNotFoundError if it is gone, else as above.

    A column that a later release added is filled in: a setting with its default, a curve with NaN, others with null;
    one that it gave another type (``scale_to_batch`` was no number) gets that.
    """
    wanted = _chosen(schema, columns)
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            kept = file.schema_arrow
            version = (kept.metadata or {}).get(VERSION_KEY, b"none").decode()
            if version not in READ_VERSIONS:
                raise UserError(f"{path} has shard version {version}; this release reads {' and '.join(READ_VERSIONS)}")
            stored = {field.name: field.name if version == "1" else stored_name(field) for field in wanted}
            present = {name: there for name, there in stored.items() if there in kept.names}
            lengths = ["step"] if set(named(wanted, "curve")) - set(present) else []
            read = list(dict.fromkeys((*present.values(), *lengths)))
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=read, use_threads=False)
                yield pa.table([_column(field, present.get(field.name), table) for field in wanted], schema=wanted)
    except FileNotFoundError:
        raise
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # the storage's fault
            raise
        raise DamagedShardError(path, str(error).splitlines()[0]) from None


def batches(pieces: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Put small pieces together to tables of at least so many rows, but for the last."""
    waiting: list[pa.Table] = []
    for piece in pieces:
        waiting.append(piece)
        if sum(map(len, waiting)) >= rows:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def _chosen(schema: pa.Schema, columns: Sequence[str] | None) -> pa.Schema:
    return pa.schema([schema.field(name) for name in columns]) if columns else schema


def _column(field: pa.Field, stored: str | None, table: pa.Table) -> pa.ChunkedArray | pa.Array:
    """Return a column in its present type, filled in where the shard lacks it."""
    if stored is not None:
        return table[stored].cast(field.type)
    if role_of(field) == "curve":
        return pa.array([[math.nan] * len(recorded) for recorded in table["step"].to_pylist()], type=field.type)
    later = NETWORK_SETTINGS.get(field.name) if role_of(field) == "setting" else None
    default = setting_value(later, later.default) if later else None
    return pa.array([default] * len(table), type=field.type)


def _row(pack_id: str, result: TrialResult, schema: pa.Schema, declared: Mapping[str, Setting]) -> dict[str, Any]:
    trial, quantities, settings = result.trial, named(schema, "curve"), result.trial.settings
    curves = {name: list(result.curves.get(name, ())) for name in quantities}
    return {
        "trial_id": trial.trial_id,
        **{name: setting_value(setting, settings[name]) for name, setting in declared.items()},
        "seed": trial.seed,
        "status": result.status,
        "error": result.error,
        **{name: result.facts.get(name) for name in named(schema, "fact")},
        **{name: result.finals.get(name, math.nan) for name in named(schema, "final")},
        "train_seconds": result.train_seconds,
        "pack_id": pack_id,
        "host": socket.gethostname(),
        "device": result.device,
        "kernel": result.kernel,
        **{name: result.texts.get(name) for name in named(schema, "text")},
        **{f"{LAST}{name}": curve[-1] if curve else None for name, curve in curves.items()},
        "step": list(result.steps),
        **curves,
    }
