"""The tables of benchmarks/search.py: shares of points that are right, fewest trials, and calibration."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
from common import half_interval

KNOWN = 0.99  # of the points on which seeds agree
MEASURES = (
    "agreed", "boundary", "generalization_cells", "inversion_cells", "macro_f1", "brier", "wrong", "expected_wrong",
    "seconds",
)  # fmt: skip


def tables(found: pd.DataFrame, chosen: Collection[str]) -> dict[str, Any]:
    """Return all tables; maps in ``chosen`` were used to make the search, and are apart."""
    if not len(found):
        return {}
    found = found.assign(method=[m if by == "own" or m == "ours" else f"{m} + ours" for m, by in
                                 zip(found["method"], found["by"], strict=True)])  # fmt: skip
    used = found["map"].isin(list(chosen))
    parts = {"used to make the search": found[used], "not used": found[~used]}
    return {
        "searches": means(found),
        **{name: {"fewest_trials": fewest(part), "calibration_error": calibration_error(part)}
           for name, part in parts.items() if len(part)},
    }  # fmt: skip


def means(found: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the means over seeds by map, method and budget, and half the 95 % interval of the share that is right."""
    rows = []
    for key, group in found.groupby(["map", "method", "budget"], sort=False):
        values = group[[m for m in MEASURES if m in group]].astype(float).mean().round(4).dropna()
        rows.append(
            {**dict(zip(("map", "method", "budget"), key, strict=True)), "seeds": len(group), **values.to_dict()}
            | {"agreed_half": round(half_interval(group["agreed"]), 4)}
        )
    return rows


def first_known(found: pd.DataFrame) -> pd.DataFrame:
    """Return the share of the trials (maps, methods) from which on the mean share that is right is high enough.

    Between two budgets it is interpolated; NaN where no budget was enough.
    """
    mean = found.groupby(["map", "method", "budget"])["agreed"].mean()
    rows: dict[tuple[str, str], float] = {}
    for key, group in mean.groupby(level=["map", "method"]):
        budgets, shares = group.index.get_level_values("budget").to_numpy(), group.to_numpy()
        below = np.flatnonzero(shares < KNOWN)
        last = below[-1] if len(below) else -1
        if last == len(shares) - 1:
            rows[key] = np.nan
        elif last == -1:
            rows[key] = budgets[0]
        else:
            rows[key] = float(np.interp(KNOWN, shares[last : last + 2], budgets[last : last + 2]))
    return pd.Series(rows).unstack()


def fewest(found: pd.DataFrame) -> dict[str, Any]:
    """Say on which maps the boundary search needs the fewest trials, and how many more than the best where not."""
    table = first_known(found)
    most = float(found["budget"].max())
    best = table.drop(columns="ours", errors="ignore").min(axis=1)
    rows = table.round(4).astype(object).where(table.notna(), f"> {most:g}").to_dict(orient="index")
    if "ours" not in table or best.isna().all():
        return {"by_map": rows}
    told = table["ours"].notna() | best.notna()  # else none of the methods came there
    ratio = (table["ours"].fillna(np.inf) / best.fillna(np.inf)).where(best.notna(), 0)[told]
    return {
        "by_map": rows,
        "maps": int(told.sum()),
        "ours_fewest": int((ratio <= 1 + 1e-9).sum()),
        "ours_more_than_a_tenth_above": sorted(ratio.index[ratio > 1.1]),
        "ratio_to_best_other": ratio.round(3).replace(np.inf, f"> {most:g}").to_dict(),
    }


def calibration_error(found: pd.DataFrame) -> dict[str, Any]:
    """Return the expected calibration error of each method by budget, over all inferred points of all maps."""
    rows: dict[str, dict[str, float]] = {}
    for (method, budget), group in found.groupby(["method", "budget"]):
        bins = np.sum([np.asarray(one) for one in group["bins"]], axis=0)  # (10, 3)
        error = np.abs(bins[:, 1] - bins[:, 2]).sum() / max(bins[:, 0].sum(), 1)
        rows.setdefault(str(method), {})[f"{budget:g}"] = round(float(error), 4)
    return rows
