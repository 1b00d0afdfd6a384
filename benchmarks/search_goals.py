"""Whether the boundary search finds islands, and knows maps of four axes, on made-up maps that chose nothing.

    python benchmarks/search_goals.py [--maps 200] [--coverage 0 0.25]

An island is 3 x 3 cells anywhere on a map of 17 x 19 points and two seeds, searched with 15 % of the trials; it counts
as found where a trial lies in it. The risk is what the search says of its own map at the end.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
import pandas as pd
from common import report
from search import search_map
from search_others import four_axes, islands
from stored_maps import drive  # search_others names its folder

from phasemap.search.coverage import island_risk
from phasemap.search.study_map import taken_trials

SHAPE, BUDGET, BATCH = (17, 19), 0.15, 16


def island(seed: int, coverage: float) -> dict[str, Any]:
    """Search a map with one island, and say whether a trial lies in it and how likely one was missed."""
    full = islands(seed, SHAPE, n=1, seeds=2)
    plain = islands(seed, SHAPE, n=0, seeds=2)
    inside = (full.points["phase"] != plain.points["phase"]).to_numpy()
    trials = drive(full, n=BATCH, seed=seed, kind="boundary", budget=BUDGET, tolerance=0.0, coverage=coverage)
    taken = taken_trials(full.study, trials["trial_id"]).any(axis=1)
    return {"coverage": coverage, "found": bool(taken[inside].any()), "risk": island_risk(full.target, taken)}


def found_islands(n: int, coverages: list[float]) -> list[dict[str, Any]]:
    """Return for each share of coverage how many islands were found, and the risk that was stated."""
    rows = []
    for seed in range(n):
        rows += [island(seed, coverage) for coverage in coverages]
        print(seed, rows[-len(coverages) :], file=sys.stderr, flush=True)
    table = pd.DataFrame(rows).groupby("coverage")
    found = table.agg(maps=("found", "size"), found=("found", "mean"), risk=("risk", "mean")).reset_index()
    return (
        found.assign(error=np.sqrt(found["found"] * (1 - found["found"]) / found["maps"])).round(4).to_dict("records")
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=int, default=200)
    parser.add_argument("--coverage", type=float, nargs="+", default=[0.0, 0.25])
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args()
    four = [
        {"rough": rough, "seed": seed} | {name: round(float(row[name]), 4) for name in ("budget", "agreed", "boundary")}
        for rough in (0.0, 0.15)
        for seed in range(chosen.seeds)
        for row in search_map(four_axes(rough), "ours", seed, [0.02, 0.04])
    ]
    report("search goals", {"islands": found_islands(chosen.maps, chosen.coverage), "four_axes": four})


if __name__ == "__main__":
    main()
