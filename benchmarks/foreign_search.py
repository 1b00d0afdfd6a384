"""How well the boundary search knows maps of problems that are not phasemap's, from 15 % of their trials.

    python benchmarks/foreign_search.py [NAME ...] [--train] [--storage runs/foreign] [--searches 10]

The problems are the programs in benchmarks/foreign, each with a study beside it: a small CNN on digits over label noise
and weight decay, boosted trees over depth and label noise, and a simulator with four outcomes. With ``--train`` their
maps are trained in full, three seeds a point (15 minutes of one core; what is trained is kept in the storage), and
stored as benchmarks/foreign/NAME.parquet. A search is told the results of the trials that it asks for, eight at a time,
and at last says what every point is; random points are completed by the same model, and by their nearest neighbours.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from common import report
from search import Known, by_model, by_nearest, chooser

import phasemap as pm
from phasemap.diagram.points import mean_columns
from phasemap.diagram.tables import known_trials
from phasemap.results.folder import run_folder
from phasemap.search.study_map import expected_wrong
from phasemap.study.file import load_study
from phasemap.study.trials import grid_ids

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from stored_maps import StoredMap

FOLDER = Path(__file__).parent / "foreign"
NAMES = ("cnn", "trees", "ecosystem")
BUDGET, BATCH = 0.15, 8
METHODS = {"ours": ("ours", by_model), "random_model": ("random", by_model), "random": ("random", by_nearest)}
"""How trials are chosen, and what says what the other points are."""
LEFT_OUT = ["pack_id", "host", "device", "kernel", "source", "error"]


def store(name: str, storage: str) -> None:
    """Keep what a search sees of the trials of a full map that was trained."""
    study = StoredMap(load_study(FOLDER / f"{name}.yaml"), pd.DataFrame()).searched(kind="boundary").study
    trials = known_trials(study, run_folder(storage, name)).drop(columns=LEFT_OUT)
    table = pa.Table.from_pandas(trials.astype({"train_seconds": "float32"}), preserve_index=False)
    pq.write_table(table, FOLDER / f"{name}.parquet", compression="zstd", compression_level=19)


def load(name: str) -> StoredMap:
    """Return a problem's full map, whose rows stand in the order of its study."""
    study, trials = load_study(FOLDER / f"{name}.yaml"), pq.read_table(FOLDER / f"{name}.parquet").to_pandas()
    assert trials["trial_id"].tolist() == list(grid_ids(study))
    later = [name for name in mean_columns(study) if name not in trials]  # recorded since the map was trained
    return StoredMap(study, trials.assign(**dict.fromkeys(later, np.nan)))


def described(full: StoredMap) -> dict[str, object]:
    """Say what a map is: its labels' shares, how far its seeds agree, and how much of it lies on a border."""
    shares = full.trials["subphase"].value_counts(normalize=True)
    return {
        "points": len(full.points),
        "trials": len(full.trials),
        "labels": {name: round(float(share), 3) for name, share in shares.items()},
        "agree": round(float(full.agreed.mean()), 3),
        "on_a_border": round(float((full.agreed & full.boundary).mean()), 3),
        "train_seconds": round(float(full.trials["train_seconds"].sum())),
    }


def searched(full: StoredMap, method: str, seed: int) -> dict[str, float]:
    """Let a method choose the budget's trials, and compare its map with the full one."""
    known = Known(full, seed)
    chosen, say = METHODS[method]
    take, _ = chooser(known, chosen, seed, BUDGET)
    n = round(BUDGET * known.taken.size)
    while (left := n - int(known.taken.sum())) > 0:
        take(min(BATCH, left))
    right = (say(known)["phase"] == full.points["phase"]).to_numpy()
    expected = expected_wrong(full.searched(kind="boundary").study, known.trials) if method == "ours" else np.nan
    return {
        "agreed": right[full.agreed].mean(),
        "border": right[full.agreed & full.boundary].mean(),
        "wrong": 1 - right.mean(),
        "expected_wrong": np.nan if expected is None else expected,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(NAMES), metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--train", action="store_true", help="train the full maps")
    parser.add_argument("--storage", default="runs/foreign")
    parser.add_argument("--searches", type=int, default=10)
    chosen = parser.parse_args()
    maps, found = {}, []
    for name in chosen.names:
        if chosen.train:
            pm.run(FOLDER / f"{name}.yaml", storage=chosen.storage)
            store(name, chosen.storage)
        full = load(name)
        maps[name] = described(full)
        for method in METHODS:
            rows = pd.DataFrame([searched(full, method, seed) for seed in range(chosen.searches)])
            found.append({"map": name, "method": method, **rows.mean(), "least_agreed": rows["agreed"].min()})
            print(pd.DataFrame(found[-1:]).round(4).to_string(index=False), file=sys.stderr, flush=True)
    table = pd.DataFrame(found).round(4).to_dict("records")
    report("foreign_search", {"maps": maps, "searches": table}, searches=chosen.searches, budget=BUDGET)


if __name__ == "__main__":
    main()
