"""What all cores give together: packs on every core against one alone, and the share of a study that is not training.

    python benchmarks/cores.py [--minutes 1.5]

Packs: the same pack is trained alone, and then on every core at once, in processes of one thread, in turn; the median
ratio of what a second brings. Study: the map of overhead.py, with steps for about so many minutes, by Ray Tune from its
file to its tables and picture; Ray is up before the clock starts. What is not training is the part of cores x wall time
that the trials' own `train_seconds` don't account for.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

from common import report, start_ray
from engine import CPU, trial
from overhead import study_of

import phasemap as pm
from phasemap.training.population import train_pack

CORES = os.cpu_count() or 1
REPEATS = 3
PACKS = {
    "p31_N128_pack_of_16": [
        trial(modulus=31, width=128, data_fraction=0.6, weight_decay=w, steps=400) for w in range(16)
    ],
    "p97_N500_pack_of_2": [trial(modulus=97, width=500, data_fraction=0.5, weight_decay=w, steps=60) for w in range(2)],
}


def train(name: str) -> None:
    """Train one pack in this process."""
    train_pack(PACKS[name], device=CPU)


def seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def gain(name: str) -> dict[str, float]:
    """Return how many times more a second brings with a pack on every core."""
    with multiprocessing.get_context("spawn").Pool(CORES) as pool:
        pool.map(train, [name] * CORES, chunksize=1)  # every process has what it needs
        alone, together = [], []
        for _ in range(REPEATS):
            alone.append(seconds(lambda: pool.map(train, [name], chunksize=1)))
            together.append(seconds(lambda: pool.map(train, [name] * CORES, chunksize=1)))
    ratios = [CORES * one / all_ for one, all_ in zip(alone, together, strict=True)]
    return {"seconds_alone": round(statistics.median(alone), 2), "times_more": round(statistics.median(ratios), 2)}


def whole_study(minutes: float) -> dict[str, Any]:
    """Return what a study took and the share of it that is not training."""
    with tempfile.TemporaryDirectory() as root:
        steps = round(600 * minutes / minutes_of(600, root))
        started = time.perf_counter()
        run = pm.run(study_of(steps), storage=f"{root}/long", quiet=True)
        wall = time.perf_counter() - started
        trained = float(run.trials["train_seconds"].sum())
    return {
        "n_trials": len(run.trials),
        "steps": steps,
        "wall_seconds": round(wall, 1),
        "share_not_training": round(1 - trained / (CORES * wall), 4),
    }


def minutes_of(steps: int, root: str) -> float:
    """Return the minutes of a study of so few steps."""
    return seconds(lambda: pm.run(study_of(steps), storage=f"{root}/short", quiet=True)) / 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.5)
    minutes = parser.parse_args().minutes
    import ray

    packs = {name: gain(name) for name in PACKS}
    start_ray()
    study = whole_study(minutes)
    ray.shutdown()
    report("cores", {"packs_on_every_core": packs, "study": study}, cores=CORES)


if __name__ == "__main__":
    main()
