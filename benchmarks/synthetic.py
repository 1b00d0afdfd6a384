"""Runs that were never trained: shards of plausible curves, to measure what merging, diagrams and plots cost.

    python benchmarks/synthetic.py FOLDER --trials 100000 [--pack 32]

Writes FOLDER/study.yaml and its shards under the schema of real ones: accuracies that rise on the logarithm of the
steps, earlier with more weight decay, with noise of their own in each trial.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from phasemap.results.folder import RunFolder, write_text
from phasemap.results.schema import SHARD_SCHEMA, setting_value
from phasemap.results.shards import as_stored
from phasemap.study.file import parse_study
from phasemap.study.identity import Trial
from phasemap.study.names import FINALS, QUANTITIES
from phasemap.study.networks import NETWORK_SETTINGS
from phasemap.study.spec import Study
from phasemap.study.trials import expand
from phasemap.study.writing import dump_study
from phasemap.study.yaml_lines import parse_document
from phasemap.training.recording import record_steps

STEPS = 2000
SEEDS = 10


def synthetic_study(n_trials: int) -> Study:
    """Return a square grid of corruption and weight decay, with ten seeds, of at least ``n_trials`` trials."""
    side = math.ceil(math.sqrt(n_trials / SEEDS))
    text = (
        f"name: synthetic\ntask: {{kind: modular_addition}}\ntraining: {{steps: {STEPS}}}\n"
        f"axes:\n  corruption: {{start: 0.0, stop: 0.9, num: {side}}}\n"
        f"  weight_decay: {{start: 0.0, stop: 30.0, num: {side}}}\n"
        f"seeds: {SEEDS}\n"
    )
    return parse_study(parse_document(text, "synthetic.yaml"))


def write_synthetic(root: Path, n_trials: int, pack: int) -> RunFolder:
    """Write a run of ``n_trials`` trials in shards of ``pack`` trials each."""
    study = synthetic_study(n_trials)
    folder = RunFolder(root)
    folder.create()
    write_text(folder.study, dump_study(study))
    for number, trials in enumerate(batches(study, n_trials, pack)):
        table = synthetic_rows(trials, f"{number:016x}")
        pq.write_table(as_stored(table), folder.shard(f"{number:016x}"), compression="zstd")
    return folder


def batches(study: Study, n_trials: int, pack: int) -> Iterator[tuple[Trial, ...]]:
    """Cut a study's first trials into packs."""
    trials = islice(expand(study), n_trials)
    while batch := tuple(islice(trials, pack)):
        yield batch


def synthetic_rows(trials: tuple[Trial, ...], pack_id: str) -> pa.Table:
    """Return the rows of a shard: settings as they are, curves made up from them."""
    steps = np.asarray(record_steps(STEPS))
    draw = np.random.default_rng(int(pack_id, 16))
    curves = {name: _curve(name, trials, steps, draw) for name in QUANTITIES}
    n_train = round(trials[0].data_fraction * trials[0].modulus ** 2)
    columns: dict[str, Any] = {
        "trial_id": [trial.trial_id for trial in trials],
        **{n: [setting_value(setting, t.settings[n]) for t in trials] for n, setting in NETWORK_SETTINGS.items()},
        "seed": [trial.seed for trial in trials],
        "status": ["ok"] * len(trials),
        "error": [None] * len(trials),
        "n_train": [n_train] * len(trials),
        "n_corrupted": [int(trial.corruption * n_train) for trial in trials],
        "n_classes": [trials[0].modulus] * len(trials),
        "corruption_effective": [trial.corruption for trial in trials],
        **{name: [math.nan] * len(trials) for name in FINALS},
        "train_seconds": draw.uniform(1, 2, len(trials)),
        "pack_id": [pack_id] * len(trials),
        "host": ["node"] * len(trials),
        "device": ["cpu"] * len(trials),
        "kernel": ["explicit"] * len(trials),
        **{f"final_{name}": curves[name][:, -1] for name in QUANTITIES},
        "step": _lists(np.tile(steps, (len(trials), 1)), pa.int64()),
        **{name: _lists(curves[name], pa.float64()) for name in QUANTITIES},
    }
    return pa.table(
        {
            name: pa.array(columns[name], SHARD_SCHEMA.field(name).type)
            if not isinstance(columns[name], pa.Array)
            else columns[name]
            for name in SHARD_SCHEMA.names
        },
        schema=SHARD_SCHEMA,
    )


def _curve(name: str, trials: tuple[Trial, ...], steps: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Return (K, T) values that rise, or for losses fall, on the logarithm of the steps."""
    decay = np.asarray([trial.weight_decay for trial in trials])[:, None]
    corruption = np.asarray([trial.corruption for trial in trials])[:, None]
    middle = {"train_accuracy": 1.2, "memorized_accuracy": 1.4}.get(name, 2.6 - 0.02 * decay + 2.5 * corruption)
    rise = 1 / (1 + np.exp(-4 * (np.log10(steps) - middle + draw.normal(0, 0.2, (len(trials), 1)))))
    if name == "memorized_accuracy":
        rise = rise * np.clip(1.3 - decay / 12, 0.0, 1.0)
    if name.endswith("loss"):
        rise = 1 - rise
    return np.asarray(np.clip(rise + draw.normal(0, 0.004, rise.shape), 0, 1))


def _lists(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    """Turn (K, T) into K lists."""
    offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    return pa.ListArray.from_arrays(offsets, pa.array(values.ravel(), kind))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--pack", type=int, default=32)
    chosen = parser.parse_args()
    print(write_synthetic(chosen.folder, chosen.trials, chosen.pack).path)


if __name__ == "__main__":
    main()
