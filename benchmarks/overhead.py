"""A study end to end against one plain network per trial: on Ray Tune with its defaults, with reused actors, in a pool.

    python benchmarks/overhead.py [--steps 600]

The study has the shape of the quickstart. The plain network is that of engine.py (one-hot inputs, autograd), looked at
at the same steps. Ray is up before any clock starts. The slow baselines train a share of the trials, spread evenly over
the study, and their times are scaled up; each says which share.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from typing import Any

import torch
from common import report, start_ray
from engine import PlainLoop

import phasemap as pm
from phasemap.study.file import parse_study
from phasemap.study.identity import Trial
from phasemap.study.spec import Study
from phasemap.study.trials import expand
from phasemap.study.yaml_lines import parse_document
from phasemap.training.recording import record_steps

SHARES = {"ray_tune": 1 / 12, "ray_tune_reuse_actors": 1 / 4, "process_pool": 1 / 4}


def study_of(steps: int) -> Study:
    """Return the quickstart's study with fewer steps."""
    text = (
        f"name: overhead\ntask: {{kind: modular_addition, modulus: 31}}\nmodel: {{width: 128}}\n"
        f"training: {{steps: {steps}}}\naxes:\n  corruption: {{start: 0.0, stop: 0.6, num: 7}}\n"
        "  weight_decay: [0, 1, 3, 5, 10, 15, 20, 30]\nfixed: {data_fraction: 0.75}\nseeds: 3\n"
    )
    return parse_study(parse_document(text, "overhead.yaml"))


def train_plain(trial: Trial) -> float:
    """Train one plain network and return its last training accuracy."""
    torch.set_num_threads(1)
    loop = PlainLoop(trial, apart=False)
    looks, accuracy = set(record_steps(trial.steps)), 0.0
    for step in range(1, trial.steps + 1):
        loop.step()
        if step in looks:
            accuracy = loop.accuracy()
    return accuracy


def with_ray_tune(trials: Sequence[Trial], *, reuse_actors: bool) -> None:
    """Train each trial as one function trial of Ray Tune."""
    from ray import tune

    by_id = {trial.trial_id: trial for trial in trials}

    def trainable(config: dict[str, Any]) -> None:
        tune.report({"train_accuracy": train_plain(by_id[config["trial_id"]])})

    with tempfile.TemporaryDirectory() as root, redirect_stdout(sys.stderr):
        tune.Tuner(
            trainable,
            param_space={"trial_id": tune.grid_search(list(by_id))},
            tune_config=tune.TuneConfig(reuse_actors=reuse_actors),
            run_config=tune.RunConfig(storage_path=root, verbose=0),
        ).fit()


def in_a_pool(trials: Sequence[Trial]) -> None:
    """Train the trials in a pool of processes."""
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        pool.map(train_plain, trials, chunksize=1)


def with_phasemap(study: Study) -> None:
    """Run the study, from its file to its tables and picture."""
    with tempfile.TemporaryDirectory() as root:
        pm.run(study, storage=root, quiet=True)


def seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=600)
    study = study_of(parser.parse_args().steps)
    trials = list(expand(study))
    import ray

    start_ray()
    works: dict[str, Callable[[Sequence[Trial]], None]] = {
        "ray_tune": lambda part: with_ray_tune(part, reuse_actors=False),
        "ray_tune_reuse_actors": lambda part: with_ray_tune(part, reuse_actors=True),
        "process_pool": in_a_pool,
    }
    ours = seconds(lambda: with_phasemap(study))
    results: dict[str, Any] = {"phasemap": {"seconds": round(ours, 2), "share_trained": 1.0}}
    for name, work in works.items():
        part = trials[:: round(1 / SHARES[name])]
        whole = seconds(lambda work=work, part=part: work(part)) * len(trials) / len(part)  # type: ignore[misc]
        results[name] = {
            "seconds": round(whole, 2),
            "share_trained": round(len(part) / len(trials), 3),
            "times_slower_than_phasemap": round(whole / ours, 2),
        }
    ray.shutdown()
    report("overhead", results, n_trials=len(trials), steps=study.training.steps)


if __name__ == "__main__":
    main()
