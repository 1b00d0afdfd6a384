"""Compaction: many small shards are replaced by one whole file with the same trials."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from phasemap.results.curves import chosen_pieces, chosen_rows
from phasemap.results.folder import RunFolder
from phasemap.results.schema import SHARD_SCHEMA, stored_schema
from phasemap.results.shards import as_stored, batches, shard_files, shard_stamp

FEWEST_SHARDS = 32  # fewer are left as they are
WHOLE_ROWS = 50_000  # a file of so many rows is never written again
GROUP_ROWS = 4096  # of a row group: what a merge labels at once
PREFIX = "whole-"


def compact(folder: RunFolder, fewest: int = FEWEST_SHARDS, *, schema: pa.Schema = SHARD_SCHEMA) -> int:
    """Replace a run's small shards by one file, and return how many were replaced; the caller holds the run's lock.

    The whole file stands before the first shard is removed, so that a process that is killed at any moment leaves each
    trial once or twice, and merging is idempotent. A shard that changed after it was read (a worker of a lost driver
    may still write) is left.
    """
    _remove_leftovers(folder)
    small = [path for path in shard_files(folder) if pq.read_metadata(path).num_rows < WHOLE_ROWS]
    if len(small) < fewest:
        return 0
    stamps = {path: shard_stamp(path) for path in small}
    target = folder.shards / f"{PREFIX}{digest_of(stamps.values())}.parquet"
    folder.write(target, lambda temporary: _write(temporary, small, schema))
    _make_durable(folder.shards)
    remove_unchanged(folder, stamps)
    return len(small)


def remove_unchanged(folder: RunFolder, stamps: Mapping[Path, str]) -> None:
    """Remove those shards that still are what they were when they were read."""
    there = set(shard_files(folder))
    for path, stamp in stamps.items():
        if path in there and shard_stamp(path) == stamp:
            folder.remove(path)


def _write(path: Path, shards: Sequence[Path], schema: pa.Schema) -> None:
    with pq.ParquetWriter(path, stored_schema(schema), compression="zstd") as file:
        for group in batches(chosen_pieces(chosen_rows(shards), schema=schema), GROUP_ROWS):
            file.write_table(as_stored(group), row_group_size=GROUP_ROWS)


def digest_of(texts: Iterable[str]) -> str:
    """Hash texts, in order, to a name for a file."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def _make_durable(folder: Path) -> None:
    """Make the new name survive a loss of power before the old ones go."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove_leftovers(folder: RunFolder) -> None:
    """Remove what a killed compaction left half-written; only the holder of the lock writes such files."""
    for path in folder.shards.glob(f".{PREFIX}*.tmp.parquet"):
        path.unlink()
