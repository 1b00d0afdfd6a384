"""The tables of the stored runs: trials and points by both rules, and at an earlier step."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from golden_files import DERIVED, Golden
from golden_runs import NAMES, copied

import phasemap as pm
from phasemap.diagram.tables import derive
from phasemap.results.schema import SHARD_SCHEMA
from phasemap.search.completed import completed
from phasemap.study.networks import NETWORK_SETTINGS
from phasemap.study.spec import PhaseRule

VARIANTS = {
    "memorized_fraction": (PhaseRule(), None),
    "doshi2024": (PhaseRule(rule="doshi2024"), None),
    "memorized_fraction, other thresholds": (PhaseRule(generalized=0.7, memorized=0.8), None),
    "memorized_fraction, at step 30": (PhaseRule(), 30),
}
CURVES = "curves"


def table(frame: pd.DataFrame, stored: set[str]) -> dict[str, Any]:
    """Return a table by columns: those that stand in the shards must stay equal, others (means, times) nearly so."""
    derived = [name for name in frame if name not in stored and frame[name].dtype.kind == "f"]
    return {
        "rows": len(frame),
        "exact": dict(column(frame[name]) for name in frame if name not in derived),
        DERIVED: dict(column(frame[name]) for name in derived),
    }


def column(values: pd.Series) -> tuple[str, Any]:
    """Return a column's name with its type, and its values; one value where all are the same."""
    kind = str(values.dtype)
    text = kind in ("str", "string", "object")
    found = [None if _missing(value) or (text and _undefined(value)) else value for value in values.tolist()]
    same = len(found) > 1 and not isinstance(found[0], list) and all(repr(value) == repr(found[0]) for value in found)
    return f"{values.name} {'text' if text else kind}", found[0] if same else found


def _missing(value: Any) -> bool:
    return value is None or value is pd.NA


def _undefined(value: Any) -> bool:
    return isinstance(value, float) and np.isnan(value)


def digest(frame: pd.DataFrame) -> dict[str, Any]:
    """Return the rows, the types and a hash of each column of a long table of stored numbers."""
    return {
        "rows": len(frame),
        "columns": {name: f"{frame[name].dtype} {_hash(frame[name])}" for name in frame},
    }


def _hash(values: pd.Series) -> str:
    if values.dtype.kind in "if":
        content = np.ascontiguousarray(values.to_numpy()).tobytes()
    else:
        content = "\n".join("" if pd.isna(value) else str(value) for value in values).encode()
    return hashlib.sha256(content).hexdigest()[:16]


def make(name: str) -> dict[str, Any]:
    (folder,) = copied(name)
    run = pm.open_run(folder.path)
    stored = {field for field in SHARD_SCHEMA.names if not field.startswith("final_")}
    axes = set(run.study.axis_names)
    content: dict[str, Any] = {}
    for variant, (rule, step) in VARIANTS.items():
        phases = rule.model_copy(update={"at_step": step})
        tables = completed(derive(folder, run.study.model_copy(update={"phases": phases})))
        trials = tables.trials.drop(columns=list(NETWORK_SETTINGS), errors="ignore") if content else tables.trials
        content[variant] = {"trials": table(trials, stored), "points": table(tables.points, axes)}
    content[CURVES] = digest(run.curves)
    if folder.neurons.exists():
        content["neurons"] = digest(run.neurons)
    return content


GOLDEN = tuple(Golden(name=f"tables_{name}", make=partial(make, name)) for name in NAMES)
