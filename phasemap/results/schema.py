"""The schema of shards: one row a trial with its settings, status, final values and curves."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from phasemap.study.names import FINALS, QUANTITIES
from phasemap.study.spec import SETTINGS, Setting

SHARD_VERSION = 1
VERSION_KEY = b"phasemap_shard_version"

STATUSES = ("ok", "diverged", "failed")
"""In the order in which a better row replaces a worse one of the same trial."""

TEXT_SETTINGS = (
    "task",
    "corruption_kind",
    "matrix",
    "dataset",
    "path",
    "split",
    "model",
    "activation",
    "norm",
    "init",
    "optimizer",
    "loss",
    "batch_size",
)


def setting_type(setting: Setting) -> pa.DataType:
    """Return the column type of a trial setting."""
    if setting.name in TEXT_SETTINGS:
        return pa.string()
    if setting.name == "betas":
        return pa.list_(pa.float64())
    if setting.field.annotation is bool:
        return pa.bool_()
    return pa.int64() if "int" in str(setting.field.annotation) else pa.float64()


def setting_value(name: str, value: Any) -> Any:
    """Return a setting as its column holds it."""
    if value is None or name not in TEXT_SETTINGS:
        return list(value) if isinstance(value, tuple) else value
    return str(value)


SHARD_SCHEMA = pa.schema(
    [
        pa.field("trial_id", pa.string()),
        *(pa.field(name, setting_type(setting)) for name, setting in SETTINGS.items()),
        pa.field("seed", pa.int64()),
        pa.field("status", pa.string()),
        pa.field("error", pa.string()),
        pa.field("n_train", pa.int64()),
        pa.field("n_corrupted", pa.int64()),
        pa.field("n_classes", pa.int64()),
        pa.field("corruption_effective", pa.float64()),
        *(pa.field(name, pa.float64()) for name in FINALS),
        pa.field("train_seconds", pa.float64()),
        pa.field("pack_id", pa.string()),
        pa.field("host", pa.string()),
        pa.field("device", pa.string()),
        pa.field("kernel", pa.string()),  # null in shards of releases that stored none
        *(pa.field(f"final_{name}", pa.float64()) for name in QUANTITIES),
        pa.field("step", pa.list_(pa.int64())),
        *(pa.field(name, pa.list_(pa.float64())) for name in QUANTITIES),
    ],
    metadata={VERSION_KEY: str(SHARD_VERSION).encode()},
)
