"""The labelled rows of all shards: each shard is read and labelled once, and its labels are kept in a cache."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import phasemap.phases
import phasemap.study
from phasemap._version import __version__
from phasemap.phases.labelling import needed_of
from phasemap.phases.terms import kept_terms, term_quantities
from phasemap.results.folder import RunFolder, write_whole
from phasemap.results.merge import merge_rows, steps_in, trial_rows, trial_schema
from phasemap.results.schema import role_of, shard_schema
from phasemap.results.shards import batches, read_shards, reread_if_replaced, shard_files, shard_pieces, shard_stamp
from phasemap.study.prefixes import STEPS, can_go_on, former_ids
from phasemap.study.spec import Study
from phasemap.study.trials import grid_ids

BATCH_ROWS = 4096  # labelled at once, because a few cost as much as thousands: some megabytes of curves
LANGUAGE = (phasemap.phases, phasemap.study)  # the packages that decide what a rule says
STAMP = pa.field("shard", pa.string())


def labelled_rows(folder: RunFolder, study: Study) -> pa.Table:
    """Return every row of every shard as ``trial_rows`` does, labelled by the study's rule; not merged.

    Of a search by own labels the rows have the values of their terms too. Labels at the horizon are kept, so that a
    shard is read once for a rule; the cache may be removed at any time.
    """
    if study.phases.at_step is not None:
        return reread_if_replaced(lambda: _all(_label(stamped(folder), study), study))
    path = folder.cache / f"labels-{_cache_key(study)}.parquet"
    return reread_if_replaced(lambda: _labelled_by_cache(folder, study, path))


def merged_rows(folder: RunFolder, study: Study) -> pa.Table:
    """Return ``labelled_rows`` with one row a trial; at a step at which shorter trials ended, theirs in its place."""
    rows, at_step = merge_rows(labelled_rows(folder, study)), study.phases.at_step
    return rows if at_step is None else _with_former(rows, study, at_step)


def merged_over_steps(folder: RunFolder, study: Study, steps: Iterable[int]) -> Iterator[pa.Table]:
    """Yield ``merged_rows`` at each step, of the trials trained that far; the shards are read once, and kept."""
    parts = reread_if_replaced(lambda: list(_batches(stamped(folder), study)))
    for step in steps:
        rows = merge_rows(_all(_labelled(parts, study, step), study))
        yield _with_former(rows, study, step)


def _with_former(rows: pa.Table, study: Study, steps: int) -> pa.Table:
    """Put trials that were trained for so many steps, whose curves end in a window, in the place of their longer ones.

    They get the ids and steps of these.
    """
    if not can_go_on(study) or study.setting(STEPS) == steps or study.setting("scale_to_batch"):
        return rows
    shorter = pc.equal(rows[STEPS], steps)
    if not pc.any(shorter).as_py():
        return rows
    former, ids = pa.array(former_ids(study, steps)), pa.array(grid_ids(study))
    place = pc.index_in(rows["trial_id"], value_set=former)
    taken = pc.is_valid(place)
    pack = pc.index_in(ids.take(place), value_set=rows["trial_id"].combine_chunks())
    changed = {
        "trial_id": pc.if_else(taken, ids.take(place), rows["trial_id"]),
        STEPS: pc.if_else(taken, study.setting(STEPS), rows[STEPS]),
        "pack_id": pc.coalesce(rows["pack_id"].combine_chunks().take(pack), rows["pack_id"]),
    }
    for name, column in changed.items():
        rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), column)
    replaced = pc.and_(pc.invert(taken), pc.is_in(rows["trial_id"], value_set=changed["trial_id"].filter(taken)))
    return rows.filter(pc.invert(replaced))


def stamped(folder: RunFolder) -> dict[str, Path]:
    """List a run's shards by what tells that a file is still the same: its name, size and time."""
    return {shard_stamp(path): path for path in shard_files(folder)}


def cache_schema(study: Study) -> pa.Schema:
    """Return the schema of the labels that are kept."""
    return trial_schema(shard_schema(study), study.phases, terms=bool(kept_terms(study))).append(STAMP)


def _labelled_by_cache(folder: RunFolder, study: Study, path: Path) -> pa.Table:
    shards = stamped(folder)
    known = _read_cache(path, cache_schema(study))
    kept = known.filter(pc.is_in(known["shard"], pa.array(shards, pa.string())))
    there = set(pc.unique(kept["shard"]).to_pylist())
    new = {stamp: shard for stamp, shard in shards.items() if stamp not in there}
    if new or len(kept) < len(known):
        kept = pa.concat_tables([kept, *_label(new, study)])
        _write_cache(path, kept)
    return kept.drop_columns([STAMP.name])


def recorded_steps(folder: RunFolder, trial_ids: Sequence[str]) -> list[int]:
    """Return all steps at which any of the given trials was recorded, rising."""
    wanted = pa.array(trial_ids, pa.string())
    table = read_shards(folder, ["trial_id", "step"])
    return steps_in(table.filter(pc.is_in(table["trial_id"], wanted)))


def _label(shards: dict[str, Path], study: Study) -> Iterator[pa.Table]:
    return _labelled(_batches(shards, study, at_horizon=study.phases.at_step is None), study)


def _batches(shards: dict[str, Path], study: Study, *, at_horizon: bool = False) -> Iterator[pa.Table]:
    """Read shards in batches; ``at_horizon`` without the curves that no label there is made of."""
    schema, rule = shard_schema(study), study.phases
    needed = {*needed_of(rule)[0], *(term_quantities(rule) if kept_terms(study) else ())}
    columns = [field.name for field in schema if role_of(field) != "curve" or field.name in needed]
    return batches(_stamped_pieces(shards, columns if at_horizon else None, schema), BATCH_ROWS)


def _labelled(parts: Iterable[pa.Table], study: Study, at_step: int | None = None) -> Iterator[pa.Table]:
    """Label rows by the study's rule; with ``at_step`` as they were then, of those that were trained up to there."""
    for rows in parts:
        if at_step is not None:
            rows = rows.filter(_last_steps(rows) >= at_step)
        labels = trial_rows(rows, study.phases, at_step, terms=bool(kept_terms(study)))
        yield labels.append_column(STAMP, rows[STAMP.name])


def _last_steps(rows: pa.Table) -> np.ndarray:
    """Return the last recorded step of each row; 0 where nothing was recorded."""
    steps = rows["step"].combine_chunks()
    ends = steps.offsets.to_numpy()[1:]
    there = pc.list_value_length(steps).to_numpy() > 0
    last = np.zeros(len(rows), dtype=np.int64)
    last[there] = steps.values.to_numpy()[ends[there] - 1]
    return last


def _stamped_pieces(shards: dict[str, Path], columns: list[str] | None, schema: pa.Schema) -> Iterator[pa.Table]:
    for stamp, path in shards.items():
        for piece in shard_pieces(path, columns, schema=schema):
            yield piece.append_column(STAMP, pa.array([stamp] * len(piece), pa.string()))


def _all(parts: Iterable[pa.Table], study: Study) -> pa.Table:
    return pa.concat_tables([cache_schema(study).empty_table(), *parts]).drop_columns([STAMP.name])


def _cache_key(study: Study) -> str:
    """Name what labels depend on beside the curves: the rule, and the code that labels."""
    text = f"{study.phases!r} {__version__} {code_digest(*map(files, LANGUAGE))} {cache_schema(study)}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def code_digest(*packages: Traversable) -> str:
    """Return a digest of packages' sources, so that labels by other code than today's are never served."""
    named = (file for package in packages for file in package.iterdir() if file.name.endswith((".py", ".yaml")))
    sources = sorted((file.name, file.read_bytes()) for file in named)
    return hashlib.sha256(repr(sources).encode()).hexdigest()


def _read_cache(path: Path, schema: pa.Schema) -> pa.Table:
    with suppress(OSError, pa.ArrowInvalid):
        found = pq.read_table(path)
        if found.schema.equals(schema):
            return found
    return schema.empty_table()


def _write_cache(path: Path, rows: pa.Table) -> None:
    """Keep labels for the next time, and those of other rules no longer; not where the storage can't be written."""
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        write_whole(path, lambda temporary: pq.write_table(rows, temporary, compression="zstd"))
        for other in path.parent.glob("labels-*.parquet"):
            if other != path:
                other.unlink(missing_ok=True)
