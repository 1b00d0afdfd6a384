"""Shards: one Parquet file a pack, written whole, and the truth about what is done."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from phasemap.phases.curves import QUANTITIES
from phasemap.results.folder import RunFolder
from phasemap.results.schema import SHARD_SCHEMA, SHARD_VERSION, VERSION_KEY, setting_value
from phasemap.study.errors import DamagedShardError, UserError
from phasemap.study.networks import NETWORK_SETTINGS
from phasemap.training.recording import TrialResult

ATTEMPTS = 4  # to read shards that are being replaced
Result = TypeVar("Result")


def shard_table(pack_id: str, results: Sequence[TrialResult]) -> pa.Table:
    """Return the rows of a pack's results."""
    return pa.Table.from_pylist([_row(pack_id, result) for result in results], schema=SHARD_SCHEMA)


def write_shard(folder: RunFolder, pack_id: str, results: Sequence[TrialResult]) -> Path:
    """Write a pack's results under its final name when they are whole, and return the path."""
    path = folder.shard(pack_id)
    table = shard_table(pack_id, results)
    folder.write(path, lambda temporary: pq.write_table(table, temporary, compression="zstd"))
    return path


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


def read_shards(folder: RunFolder, columns: Sequence[str] | None = None, *, skip_damaged: bool = False) -> pa.Table:
    """Read all rows of all shards, in no particular order; some trials may stand in several shards."""

    def read() -> pa.Table:
        tables = [_schema(columns).empty_table()]
        for path in shard_files(folder):
            with suppress(DamagedShardError) if skip_damaged else nullcontext():
                tables.append(read_shard(path, columns))
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


def read_shard(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read the rows of one shard; UserError if its version is another, DamagedShardError if it can't be read."""
    return pa.concat_tables([_schema(columns).empty_table(), *shard_pieces(path, columns)])


def shard_pieces(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Read the rows of one shard in pieces that fit into memory; FileNotFoundError if it is gone, else as above.

    A column that a later release added is filled in: a setting with its default, a curve with NaN, others with null;
    one that it gave another type (``scale_to_batch`` was no number) gets that.
    """
    schema = _schema(columns)
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            kept = file.schema_arrow
            version = (kept.metadata or {}).get(VERSION_KEY, b"none").decode()
            if version != str(SHARD_VERSION):
                raise UserError(f"{path} has shard version {version}; this release reads {SHARD_VERSION}")
            present = [name for name in schema.names if name in kept.names]
            lengths = ["step"] if set(schema.names) & set(QUANTITIES) - set(present) else []
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=list(dict.fromkeys((*present, *lengths))), use_threads=False)
                yield pa.table([_column(n, table) for n in schema.names], schema=schema)
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


def _schema(columns: Sequence[str] | None) -> pa.Schema:
    return pa.schema([SHARD_SCHEMA.field(name) for name in columns]) if columns else SHARD_SCHEMA


def _column(name: str, table: pa.Table) -> pa.ChunkedArray | pa.Array:
    """Return a column in its present type, filled in where the shard lacks it."""
    kind = SHARD_SCHEMA.field(name).type
    if name in table.column_names:
        return table[name].cast(kind)
    if name in QUANTITIES:
        return pa.array([[math.nan] * len(recorded) for recorded in table["step"].to_pylist()], type=kind)
    default = setting_value(name, NETWORK_SETTINGS[name].default) if name in NETWORK_SETTINGS else None
    return pa.array([default] * len(table), type=kind)


def _row(pack_id: str, result: TrialResult) -> dict[str, Any]:
    trial, curves = result.trial, result.curves
    last = {f"final_{name}": curves[name][-1] if result.steps else None for name in QUANTITIES}
    return {
        "trial_id": trial.trial_id,
        **{name: setting_value(name, value) for name, value in trial.settings.items()},
        "seed": trial.seed,
        "status": result.status,
        "error": result.error,
        "n_train": result.n_train,
        "n_corrupted": result.n_corrupted,
        "n_classes": result.n_classes,
        "corruption_effective": result.n_corrupted / result.n_train if result.n_train else None,
        **asdict(result.finals),
        "train_seconds": result.train_seconds,
        "pack_id": pack_id,
        "host": socket.gethostname(),
        "device": result.device,
        "kernel": result.kernel,
        **last,
        "step": list(result.steps),
        **{name: list(curves[name]) for name in QUANTITIES},
    }
