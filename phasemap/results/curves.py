"""The curves of a run in long form, streamed from its shards: all of them are in memory only if they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from phasemap.phases.labelling import needed_of
from phasemap.phases.labels import MEMORIZED_FRACTION
from phasemap.results.folder import RunFolder
from phasemap.results.merge import MERGE_KEYS, curve_table, merged_order
from phasemap.results.schema import SHARD_SCHEMA, named
from phasemap.results.shards import batches, reread_if_replaced, shard_files, shard_pieces

GROUP_ROWS = 1 << 18  # of a row group in the file: some thousand trials


def curve_columns(schema: pa.Schema) -> list[str]:
    """Return the columns of shards that the long form shows: also facts of the built-in rules, where they are there."""
    facts = [name for name in needed_of(MEMORIZED_FRACTION)[1] if name in schema.names]
    return ["trial_id", "status", *facts, "step", *named(schema, "curve")]


def curve_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema of the long form of shards with ``schema``."""
    return curve_table(pa.schema([schema.field(name) for name in curve_columns(schema)]).empty_table()).schema


def chosen_rows(paths: Sequence[Path]) -> Mapping[Path, np.ndarray]:
    """Return for each shard the rising numbers of those of its rows that a merge of all shards keeps."""
    keys, counts = [], []
    for path in paths:
        pieces = list(shard_pieces(path, MERGE_KEYS))
        keys += pieces
        counts.append(sum(map(len, pieces)))
    if not keys:
        return {}
    kept = np.sort(merged_order(pa.concat_tables(keys)))
    starts = np.cumsum([0, *counts])
    parts = np.split(kept, np.searchsorted(kept, starts[1:-1]))
    return {path: part - start for path, part, start in zip(paths, parts, starts[:-1], strict=True)}


def chosen_pieces(
    chosen: Mapping[Path, np.ndarray], columns: Sequence[str] | None = None, *, schema: pa.Schema = SHARD_SCHEMA
) -> Iterator[pa.Table]:
    """Read the chosen rows of shards, in pieces that fit into memory."""
    for path, rows in chosen.items():
        start = 0
        for piece in shard_pieces(path, columns, schema=schema):
            inside = rows[(rows >= start) & (rows < start + len(piece))] - start
            start += len(piece)
            if len(inside):
                yield piece if len(inside) == len(piece) else piece.take(pa.array(inside))


def read_curves(folder: RunFolder, trial_ids: Sequence[str], schema: pa.Schema = SHARD_SCHEMA) -> pa.Table:
    """Read the curves of the given trials: one row a trial and recorded step, the rows of a trial together."""
    nothing = curve_schema(schema).empty_table()
    return reread_if_replaced(lambda: pa.concat_tables([nothing, *_curves(folder, trial_ids, schema)]))


def write_curves(folder: RunFolder, trial_ids: Sequence[str], schema: pa.Schema = SHARD_SCHEMA) -> None:
    """Write curves.parquet, whole, holding one row group at a time in memory."""

    def write(path: Path) -> None:
        with pq.ParquetWriter(path, curve_schema(schema), compression="zstd") as file:
            for part in batches(_curves(folder, trial_ids, schema), GROUP_ROWS):
                file.write_table(part)

    folder.write(folder.curves, write)


def _curves(folder: RunFolder, trial_ids: Sequence[str], schema: pa.Schema) -> Iterator[pa.Table]:
    wanted = pa.array(trial_ids, pa.string())
    for piece in chosen_pieces(chosen_rows(shard_files(folder)), curve_columns(schema), schema=schema):
        yield curve_table(piece.filter(pc.is_in(piece["trial_id"], wanted)))


def values_by_step(curves: pd.DataFrame, quantity: str) -> dict[str, dict[int, float]]:
    """Return the values of a quantity by trial and step, from curves in long form."""
    groups = curves[curves[quantity].notna()].groupby("trial_id", sort=False)
    return {str(name): dict(zip(one["step"].tolist(), one[quantity].tolist(), strict=True)) for name, one in groups}
