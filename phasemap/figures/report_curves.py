"""The trials of a report: their ids, labels and step times, and their curves, thinned to fit into a size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from phasemap.diagram.tables import Tables
from phasemap.figures.packed import NONE, packed, scale_for
from phasemap.figures.palette import STEP_TIMES, marks_of
from phasemap.phases.curves import ACCURACIES, Curves
from phasemap.results.merge import curves_of

LEVELS = 1000  # an accuracy is kept to three digits
RECORDS = (48, 32, 24, 16, 12, 8, 5)  # numbers of records that are tried where all are too many
MOST_TEXTS, LONGEST_TEXT = 100, 500

SAMPLE = 1000  # trials from which the size of all curves is estimated

Integers = NDArray[np.int64]
Group = tuple[Integers, Curves]


def trial_rows(tables: Tables, ids: Sequence[str]) -> dict[str, Any]:
    """Return what is known of the trials of the given ids."""
    found = tables.trials.set_index("trial_id").reindex(ids)
    names = list(marks_of(tables.study.phases))
    labels = found["subphase"].fillna("unlabelled").where(found["status"] == "ok", found["status"]).fillna("missing")
    known = [name for name in STEP_TIMES if name in found]
    times = found[known].to_numpy(dtype=float).T  # (step times, trials)
    scale = scale_for(times)
    return {
        "ids": packed(np.frombuffer(bytes.fromhex("".join(ids)), dtype=np.uint8)),
        "marks": packed(labels.map(names.index).to_numpy(dtype=np.uint8)),
        "times": {"names": known, "scale": scale.content(), "codes": packed(scale.encode(times))},
        **_errors(found["error"]),
    }


def trial_curves(rows: pa.Table, ids: Sequence[str], most_bytes: int) -> dict[str, Any]:
    """Return the accuracies over the steps, at all records or at fewer, so that they fit into ``most_bytes``."""
    groups = _groups(rows, {trial_id: number for number, trial_id in enumerate(ids)})
    most = max((len(curves.steps) for _, curves in groups), default=0)
    for records in (most, *(number for number in RECORDS if number < most)):
        if _sampled_bytes(groups, records) <= most_bytes:
            content = _packed_curves(groups, records, len(ids))
            if len(content["codes"]["data"]) <= most_bytes:
                return content | {"records": records, "recorded": most}
    return _packed_curves([], 0, len(ids)) | {"records": 0, "recorded": most}


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


def _groups(rows: pa.Table, place: Mapping[str, int]) -> list[Group]:
    """Return (slots, curves) for each group of trials that were recorded at the same steps, slots rising."""
    slots = np.asarray([place[trial_id] for trial_id in rows["trial_id"].to_pylist()], dtype=np.int64)
    by_slot = np.argsort(slots)
    groups = curves_of(rows.take(pa.array(by_slot)), ACCURACIES)
    return [(slots[by_slot][members], curves) for members, curves in groups if len(curves.steps)]


def _sampled_bytes(groups: Sequence[Group], records: int) -> float:
    """Estimate the size of packed curves from every n-th trial, a little low: the size itself is tested after it."""
    total = 0.0
    for slots, curves in groups:
        every = -(-len(slots) // SAMPLE)
        changes = _changes(curves, _kept(curves, records), every)
        total += len(_planes(changes)["data"]) * len(slots) / -(-len(slots) // every)
    return 0.97 * total


def _packed_curves(groups: Sequence[Group], records: int, n_slots: int) -> dict[str, Any]:
    """Pack the number of each slot's group (NONE without a curve), and the groups' curves one after the other."""
    grid_of = np.full(n_slots, NONE, dtype=np.uint16)
    grids, parts = [], [np.zeros(0, dtype=np.uint16)]
    for number, (slots, curves) in enumerate(groups):
        grid_of[slots] = number
        kept = _kept(curves, records)
        grids.append(curves.steps[kept].tolist())
        parts.append(_changes(curves, kept))
    return {
        "names": list(ACCURACIES),
        "levels": LEVELS,
        "grids": grids,
        "grid_of": packed(grid_of),
        "codes": _planes(np.concatenate(parts)),
    }


def _kept(curves: Curves, records: int) -> Integers:
    """Choose at most so many records, the first and the last among them."""
    return np.unique(np.linspace(0, len(curves.steps) - 1, records).round().astype(np.int64))


def _changes(curves: Curves, kept: Integers, every: int = 1) -> NDArray[np.uint16]:
    """Return the changes of the codes from record to record (modulo 65536), by trial and quantity, flat.

    Changes deflate well: most curves are flat most of the time.
    """
    shares = np.stack([curves.values[name][::every][:, kept] for name in ACCURACIES], axis=1)  # (n, quantities, R)
    codes = np.where(np.isfinite(shares), np.round(np.nan_to_num(shares) * LEVELS), NONE).astype(np.uint16)
    return np.diff(codes, axis=2, prepend=np.uint16(0)).ravel()


def _planes(codes: NDArray[np.uint16]) -> dict[str, str]:
    """Pack the low bytes of all codes, then the high ones, which are nearly all equal."""
    return packed(codes.astype("<u2").view("u1").reshape(-1, 2).T)
