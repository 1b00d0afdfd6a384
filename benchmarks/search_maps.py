"""Train the full maps that the search is measured on, and keep what a search sees of their trials.

    python benchmarks/search_maps.py [NAME ...] [--storage runs/search]

The studies are tests/data/search/NAME.yaml; NAME.parquet beside each holds one row a trial, in the order of the study.
All of them take about half an hour of one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import phasemap as pm
from phasemap.phases.terms import SHOWN

FOLDER = Path(__file__).parents[1] / "tests" / "data" / "search"
COLUMNS = (
    "seed", "trial_id", "status", "phase", "subphase", *SHOWN, "n_corrupted", "n_train", "n_classes",
    "train_seconds",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[path.stem for path in sorted(FOLDER.glob("*.yaml"))])
    parser.add_argument("--storage", default="runs/search")
    chosen = parser.parse_args()
    for name in chosen.names:
        run = pm.run(FOLDER / f"{name}.yaml", storage=chosen.storage)
        trials = run.trials.astype({"train_seconds": "float32"})[[*run.study.axis_names, *COLUMNS]]
        path = FOLDER / f"{name}.parquet"
        pq.write_table(
            pa.Table.from_pandas(trials, preserve_index=False), path, compression="zstd", compression_level=19
        )
        print(f"{path}: {len(trials)} trials, {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
