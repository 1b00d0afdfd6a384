"""The trials of a report: their ids, labels and step times, and their curves, thinned to fit into a size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from phasemap.diagram.tables import Tables
from phasemap.figures.page import NONE, Scale, packed, scale_for, scale_of
from phasemap.phases.curves import Curves
from phasemap.phases.marks import marks_of
from phasemap.results.merge import curves_of
from phasemap.study.conditions import Kind

LEVELS = 1000  # a quantity is kept to three digits of its range
RECORDS = (48, 32, 24, 16, 12, 8, 5)  # numbers of records that are tried where all are too many
MOST_TEXTS, LONGEST_TEXT = 100, 500

SAMPLE = 1000  # trials from which the size of all curves is estimated

Integers = NDArray[np.int64]
Group = tuple[Integers, Curves]


def trial_rows(tables: Tables, ids: Sequence[str], step_times: Sequence[str]) -> dict[str, Any]:
    """Return what is known of the trials of the given ids."""
    found = tables.trials.set_index("trial_id").reindex(ids)
    names = list(marks_of(tables.study.phases))
    status = found["status"].replace("stopped", "missing")  # elsewhere, before its end
    labels = found["subphase"].fillna("unlabelled").where(found["status"] == "ok", status).fillna("missing")
    times = found[list(step_times)].to_numpy(dtype=float).T  # (step times, trials)
    scale = scale_for(times)
    return {
        "ids": packed(np.frombuffer(bytes.fromhex("".join(ids)), dtype=np.uint8)),
        "marks": packed(labels.map(names.index).to_numpy(dtype=np.uint8)),
        "times": {"names": list(step_times), "scale": scale.content(), "codes": packed(scale.encode(times))},
        **_errors(found["error"]),
    }


def trial_curves(
    rows: pa.Table | None, kinds: Mapping[str, Kind], ids: Sequence[str], most_bytes: int
) -> dict[str, Any]:
    """Return quantities of some kinds over the steps, at all records or at fewer, so that they fit into ``most_bytes``.

    Without ``rows`` there are no curves.
    """
    place = {trial_id: number for number, trial_id in enumerate(ids)}
    groups = [] if rows is None else _groups(rows, tuple(kinds), place)
    scales = {name: _scale(name, kind, groups) for name, kind in kinds.items()}
    most = max((len(curves.steps) for _, curves in groups), default=0)
    for records in (most, *(number for number in RECORDS if number < most)):
        if _sampled_bytes(groups, scales, records) <= most_bytes:
            content = _packed_curves(groups, scales, records, len(ids))
            if len(content["codes"]["data"]) <= most_bytes:
                return content | {"records": records, "recorded": most}
    return _packed_curves([], scales, 0, len(ids)) | {"records": 0, "recorded": most}


def _scale(name: str, kind: Kind, groups: Sequence[Group]) -> Scale:
    """Return the scale of a quantity over all curves."""
    return scale_of(kind, np.concatenate([np.zeros(0), *(curves.values[name].ravel() for _, curves in groups)]))


def _errors(errors: pd.Series) -> dict[str, Any]:
    """Return the distinct error messages, cut, and which trial has which."""
    texts: dict[str, int] = {}
    found = []
    for slot, error in enumerate(errors):
        if isinstance(error, str):
            text = error if len(error) <= LONGEST_TEXT else error[:LONGEST_TEXT] + "..."
            if text in texts or len(texts) < MOST_TEXTS:
                found.append([slot, texts.setdefault(text, len(texts))])
    return {"errors": list(texts), "error_of": found}


def _groups(rows: pa.Table, names: Sequence[str], place: Mapping[str, int]) -> list[Group]:
    """Return (slots, curves) for each group of trials that were recorded at the same steps, slots rising."""
    slots = np.asarray([place[trial_id] for trial_id in rows["trial_id"].to_pylist()], dtype=np.int64)
    by_slot = np.argsort(slots)
    groups = curves_of(rows.take(pa.array(by_slot)), names)
    return [(slots[by_slot][members], curves) for members, curves in groups if len(curves.steps)]


def _sampled_bytes(groups: Sequence[Group], scales: Mapping[str, Scale], records: int) -> float:
    """Estimate the size of packed curves from every n-th trial, a little low: the size itself is tested after it."""
    total = 0.0
    for slots, curves in groups:
        every = -(-len(slots) // SAMPLE)
        changes = _changes(curves, scales, _kept(curves, records), every)
        total += len(_planes(changes)["data"]) * len(slots) / -(-len(slots) // every)
    return 0.97 * total


def _packed_curves(groups: Sequence[Group], scales: Mapping[str, Scale], records: int, n_slots: int) -> dict[str, Any]:
    """Pack the number of each slot's group (NONE without a curve), and the groups' curves one after the other."""
    grid_of = np.full(n_slots, NONE, dtype=np.uint16)
    grids, parts = [], [np.zeros(0, dtype=np.uint16)]
    for number, (slots, curves) in enumerate(groups):
        grid_of[slots] = number
        kept = _kept(curves, records)
        grids.append(curves.steps[kept].tolist())
        parts.append(_changes(curves, scales, kept))
    return {
        "names": list(scales),
        "scales": {name: scale.content() for name, scale in scales.items()},
        "levels": LEVELS,
        "grids": grids,
        "grid_of": packed(grid_of),
        "codes": _planes(np.concatenate(parts)),
    }


def _kept(curves: Curves, records: int) -> Integers:
    """Choose at most so many records, the first and the last among them."""
    return np.unique(np.linspace(0, len(curves.steps) - 1, records).round().astype(np.int64))


def _changes(curves: Curves, scales: Mapping[str, Scale], kept: Integers, every: int = 1) -> NDArray[np.uint16]:
    """Return the changes of the codes from record to record (modulo 65536), by trial and quantity, flat.

    Changes deflate well: most curves are flat most of the time.
    """
    codes = []
    for name, scale in scales.items():
        values = curves.values[name][::every][:, kept]
        codes.append(np.where(np.isfinite(values), np.round(scale.shares(values) * LEVELS), NONE).astype(np.uint16))
    stacked = np.stack(codes, axis=1)  # (n, quantities, R)
    return np.asarray(np.diff(stacked, axis=2, prepend=np.uint16(0)).ravel(), dtype=np.uint16)


def _planes(codes: NDArray[np.uint16]) -> dict[str, str]:
    """Pack the low bytes of all codes, then the high ones, which are nearly all equal."""
    return packed(codes.astype("<u2").view("u1").reshape(-1, 2).T)
