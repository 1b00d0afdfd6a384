"""Whether the boundary search finds islands, and knows maps of four axes, on made-up maps that chose nothing.

    python benchmarks/search_goals.py [--maps 200] [--first 1000] [--coverage 0 0.25] [--keep FOLDER]

An island is 3 x 3 cells anywhere on a map of 17 x 19 points and two seeds, searched with 15 % of the trials; it counts
as found where a trial lies in it. The risk is what the search says of its own map at the end; of the maps with a low
and with a high one, the share that was missed is compared with it. --keep goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from common import report
from scipy.stats import binomtest
from search import search_map
from search_others import four_axes, islands
from stored_maps import completed, drive  # search_others names its folder

from phasemap.search.coverage import island_risk
from phasemap.search.study_map import taken_trials

SHAPE, BUDGET, BATCH = (17, 19), 0.15, 16


def island(seed: int, coverage: float) -> dict[str, Any]:
    """Search a map with one island: whether a trial lies in it, what is right of it, and the risk that was stated."""
    full = islands(seed, SHAPE, n=1, seeds=2)
    plain = islands(seed, SHAPE, n=0, seeds=2)
    inside = (full.points["phase"] != plain.points["phase"]).to_numpy()
    trials = drive(full, n=BATCH, seed=seed, kind="boundary", budget=BUDGET, tolerance=0.0, coverage=coverage)
    taken = taken_trials(full.study, trials["trial_id"]).any(axis=1)
    right = (completed(full, trials)["phase"] == full.points["phase"])[inside].mean()
    return {"seed": seed, "coverage": coverage, "found": bool(taken[inside].any()), "right": float(right),
            "risk": island_risk(full.target, taken)}  # fmt: skip


def all_islands(seeds: range, coverages: list[float], keep: str | None) -> pd.DataFrame:
    """Return a row for each map and share of coverage; those that are kept are not searched again."""
    path = Path(keep) / "islands.jsonl" if keep else None
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path and path.exists() else []
    done = {(row["seed"], row["coverage"]) for row in rows}
    for seed, coverage in ((seed, coverage) for seed in seeds for coverage in coverages):
        if (seed, coverage) not in done:
            rows.append(island(seed, coverage))
            print(rows[-1], file=sys.stderr, flush=True)
            if path:
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
    table = pd.DataFrame(rows, columns=["seed", "coverage", "found", "right", "risk"])  # also of no maps
    return table[table["seed"].isin(seeds) & table["coverage"].isin(coverages)]


def found_islands(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return for each share of coverage what was found, and what was missed where a low and a high risk was stated."""
    rows = []
    for coverage, group in table.groupby("coverage"):
        high = group["risk"] > group["risk"].median()
        parts = {"all": group, "low risk": group[~high], "high risk": group[high]}
        told = {name: missed(part) for name, part in parts.items() if len(part)}
        found = group.loc[group["found"], "right"].mean()
        rows.append({"coverage": coverage, "cells_right_where_found": round(float(found), 4), "missed": told})
    return rows


def missed(table: pd.DataFrame) -> dict[str, Any]:
    """Return the share of islands that were missed with its exact 95 % interval, and the mean of the stated risk."""
    n, lost = len(table), int((~table["found"]).sum())
    interval = binomtest(lost, n).proportion_ci()
    return {"maps": n, "missed": round(lost / n, 4), "interval": [round(interval.low, 4), round(interval.high, 4)],
            "stated": round(float(table["risk"].mean()), 4)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=int, default=200)
    parser.add_argument("--first", type=int, default=1000, help="number of the first map")
    parser.add_argument("--coverage", type=float, nargs="+", default=[0.0, 0.25])
    parser.add_argument("--seeds", type=int, default=3, help="searches of each map of four axes")
    parser.add_argument("--keep", help="folder of islands that were looked for")
    chosen = parser.parse_args()
    four = [
        {"rough": rough, "seed": seed} | {name: round(float(row[name]), 4) for name in ("budget", "agreed", "boundary")}
        for rough in (0.0, 0.15)
        for seed in range(chosen.seeds)
        for row in search_map(four_axes(rough), "ours", seed, [0.02, 0.04])
    ]
    table = all_islands(range(chosen.first, chosen.first + chosen.maps), chosen.coverage, chosen.keep)
    report("search goals", {"islands": found_islands(table), "four_axes": four})


if __name__ == "__main__":
    main()
