"""The columns of shards: one row a trial with its settings, status, facts, final values and curves.

In a file (version 2) the columns of a program bear what they are in their names: ``setting.corruption``,
``fact.n_train``, ``final.mean_ipr``, ``curve.test_loss``. In memory names are plain, the last value of a curve is
``final_test_loss``, and each field's metadata says what it is. Files of version 1, which only networks have, bear the
plain names.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pyarrow as pa

from phasemap.study.networks import NETWORK_RECORDED, NETWORK_SETTINGS
from phasemap.study.settings import Recorded, Setting
from phasemap.study.spec import Study

SHARD_VERSION = 2
READ_VERSIONS = ("1", "2")
VERSION_KEY = b"phasemap_shard_version"

STATUSES = ("ok", "diverged", "failed", "stopped")
"""In the order in which a better row replaces a worse one of the same trial; stopped: before its end, elsewhere."""

SWEEP = "sweep-"
"""What the names of packs start with whose trials were imported."""

ROLE = b"role"
LAST = "final_"
"""Before the name of a quantity: its last value."""

PREFIXES = {"setting": "setting.", "fact": "fact.", "final": "final.", "last": "final.", "curve": "curve.", "text": ""}


def shard_schema(study: Study) -> pa.Schema:
    """Return the columns in memory of the shards of a study's program."""
    return _schema_of(study.declared, study.recorded)


def _schema_of(declared: Mapping[str, Setting], recorded: Recorded) -> pa.Schema:
    facts = {name: pa.int64() if name in recorded.whole else pa.float64() for name in recorded.facts}
    fields = [
        pa.field("trial_id", pa.string()),
        *(_field("setting", name, setting_type(setting)) for name, setting in declared.items()),
        pa.field("seed", pa.int64()),
        pa.field("status", pa.string()),
        pa.field("error", pa.string()),
        *(_field("fact", name, kind) for name, kind in facts.items()),
        *(_field("final", name, pa.float64()) for name in recorded.finals),
        pa.field("train_seconds", pa.float64()),
        pa.field("pack_id", pa.string()),
        pa.field("host", pa.string()),
        pa.field("device", pa.string()),
        pa.field("kernel", pa.string()),  # null in shards of releases that stored none, and where there is none
        *(_field("text", name, pa.string()) for name in recorded.texts),
        *(_field("last", f"{LAST}{name}", pa.float64()) for name in recorded.quantities),
        pa.field("step", pa.list_(pa.int64())),
        *(_field("curve", name, pa.list_(pa.float64())) for name in recorded.quantities),
    ]
    return pa.schema(fields, metadata={VERSION_KEY: str(SHARD_VERSION).encode()})


def _field(role: str, name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, metadata={ROLE: role.encode()})


def role_of(field: pa.Field) -> str:
    """Return what a column is: setting, fact, final, last, curve, text; empty for what every program has."""
    return (field.metadata or {}).get(ROLE, b"").decode()


def named(schema: pa.Schema, role: str) -> list[str]:
    """Return the names of the columns that are settings, facts, finals, curves or texts."""
    return [field.name for field in schema if role_of(field) == role]


def stored_name(field: pa.Field) -> str:
    """Return a column's name in a file."""
    role = role_of(field)
    return f"{PREFIXES[role]}{field.name.removeprefix(LAST) if role == 'last' else field.name}" if role else field.name


def stored_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema of a file whose columns in memory are those of ``schema``."""
    return pa.schema([field.with_name(stored_name(field)) for field in schema], metadata=schema.metadata)


def setting_type(setting: Setting) -> pa.DataType:
    """Return the column type of a trial setting: text wherever a text is allowed, else the numbers that are."""
    kinds = set(_plain_types(setting.field.annotation))
    if str in kinds or list in kinds:
        return pa.string()
    if tuple in kinds:
        return pa.list_(pa.float64())
    if float in kinds:
        return pa.float64()
    return pa.int64() if int in kinds else pa.bool_()


def _plain_types(annotation: Any) -> Iterator[type]:
    """Yield the Python types that an annotation allows, None left out."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _plain_types(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for one in get_args(annotation):
            yield from _plain_types(one)
    elif origin is Literal:
        yield from {type(value) for value in get_args(annotation) if value is not None}
    elif origin is not None:
        yield origin
    elif isinstance(annotation, type) and annotation is not type(None):
        yield annotation


def setting_values(setting: Setting, values: Sequence[Any]) -> list[Any]:
    """Return a setting's values as their column holds them."""
    kind = setting_type(setting)
    if pa.types.is_string(kind) or pa.types.is_list(kind):
        return [setting_value(setting, value) for value in values]
    return list(values)


def setting_value(setting: Setting, value: Any) -> Any:
    """Return a setting as its column holds it."""
    if value is not None and pa.types.is_string(setting_type(setting)):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


SHARD_SCHEMA = _schema_of(NETWORK_SETTINGS, NETWORK_RECORDED)
"""The columns of networks."""
