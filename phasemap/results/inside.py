"""Records from inside the networks: one Parquet file a pack beside its shard, merged into neurons.parquet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from phasemap.results.folder import RunFolder
from phasemap.study.errors import UserError
from phasemap.training.recording import InsideRecord, TrialResult

KEYS = ("trial_id", "pack_id", "record", "step", "series", "index")
WHOLE_NUMBERS = ("neuron", "true_class", "given_class")
NUMBERS = (
    "value", "ipr", "ipr_no_constant", "ipr_relative", "gain", "norm_u", "norm_v", "norm_w",
    "weight_u", "weight_v", "weight_w", "power_u", "power_v", "power_w",
    "train_accuracy", "test_accuracy", "clean_accuracy", "memorized_accuracy", "recovered_accuracy",
    "train_loss", "test_loss", "logit", "logit_true", "logit_given", "logit_other",
)  # fmt: skip

INSIDE_SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.int64() if name in ("step", "index") else pa.string()) for name in KEYS),
        *(pa.field(name, pa.int64()) for name in WHOLE_NUMBERS),
        *(pa.field(name, pa.float64()) for name in NUMBERS),
    ]
)


def write_inside(folder: RunFolder, pack_id: str, results: Sequence[TrialResult]) -> None:
    """Write what was recorded inside a pack's networks, and their weights and states that are kept, if any are."""
    tables = [_table(result.trial.trial_id, pack_id, record) for result in results for record in result.inside]
    if tables:
        whole = pa.concat_tables(tables)
        folder.write(folder.inside_file(pack_id), lambda path: pq.write_table(whole, path, compression="zstd"))
    for result in results:
        if result.weights is not None:
            parts = dict(result.weights)
            folder.write(folder.weights_file(result.trial.trial_id), lambda path, p=parts: np.savez(path, **p))  # type: ignore[misc]
        if result.state is not None:
            folder.write_bytes(folder.state_file(result.trial.trial_id), result.state)


def read_inside(folder: RunFolder, trials: pd.DataFrame) -> pa.Table:
    """Read the records of the given trials, each from the pack that its row in the table of trials is from."""
    wanted = pa.table({name: pa.array(trials[name], pa.string()) for name in ("trial_id", "pack_id")})
    tables = [INSIDE_SCHEMA.empty_table()]
    folder.fetch_all(folder.inside)
    for pack_id in sorted(set(wanted["pack_id"].to_pylist())):
        path = folder.inside_file(pack_id)
        if path.exists():
            try:
                tables.append(pq.read_table(path, schema=INSIDE_SCHEMA))
            except (pa.ArrowInvalid, OSError) as error:
                raise UserError(f"{path} can't be read: {str(error).splitlines()[0]}") from None
    return pa.concat_tables(tables).join(wanted, ["trial_id", "pack_id"], join_type="inner").select(INSIDE_SCHEMA.names)


def read_weights(folder: RunFolder, trial_id: str) -> dict[str, np.ndarray] | None:
    """Read the kept weights of a trial by name; None where they were not kept."""
    path = folder.weights_file(trial_id)
    if not folder.fetch(path):
        return None
    with np.load(path) as saved:
        return {name: saved[name] for name in saved.files}


def _table(trial_id: str, pack_id: str, record: InsideRecord) -> pa.Table:
    length = len(record.columns["index"])
    same = {"trial_id": trial_id, "pack_id": pack_id, "record": record.record, "step": record.step}
    same["series"] = record.series
    columns = {**{name: [value] * length for name, value in same.items()}, **record.columns}
    arrays = [
        pa.array(columns[f.name], f.type, from_pandas=True) if f.name in columns else pa.nulls(length, f.type)
        for f in INSIDE_SCHEMA
    ]
    return pa.table(arrays, schema=INSIDE_SCHEMA)
