"""What phasemap itself costs with very many trials: their results, and a run of very many packs.

    python benchmarks/scale.py [--trials 1000 10000 100000] [--packs 100 1000]

Results: made-up shards (see synthetic.py) are merged, labelled, laid out and drawn; each step in a process of its own,
so that its peak memory is its own. "first" reads every shard, "again" finds their labels in the cache. Runs: networks
so small that their training takes no time, one a pack, by Ray Tune on this machine; Ray is up before the clock starts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import report, start_ray, timed
from synthetic import write_synthetic

import phasemap as pm
from phasemap.diagram.tables import derive
from phasemap.results.compact import compact
from phasemap.results.folder import RunFolder
from phasemap.running.outputs import write_results
from phasemap.study.file import load_resolved, parse_study
from phasemap.study.yaml_lines import parse_document

PACK = 32
STEPS = {
    "first_results": lambda folder: write_results(folder, load_resolved(folder.study), curves=False),
    "results_again": lambda folder: write_results(folder, load_resolved(folder.study), curves=False),
    "compaction": lambda folder: compact(folder, fewest=2),
    "first_results_of_whole_file": lambda folder: write_results(folder, load_resolved(folder.study), curves=False),
    "whole_file_again": lambda folder: write_results(folder, load_resolved(folder.study), curves=False),
    "merge_alone": derive,
    "curves_table": lambda folder: write_results(folder, load_resolved(folder.study), curves=True),
}
"""In their order: each leaves the folder as the next expects it."""


def one_step(name: str, folder: Path) -> None:
    """Run one step in this process and print its costs."""
    print(json.dumps(timed(lambda: STEPS[name](RunFolder(folder)))))


def results_of(n_trials: int) -> dict[str, Any]:
    """Return the costs of every step for a run of so many trials."""
    found: dict[str, Any] = {"n_trials": n_trials}
    with tempfile.TemporaryDirectory() as root:
        folder = write_synthetic(Path(root) / "run", n_trials, PACK)
        for name in STEPS:
            command = [sys.executable, __file__, "--step", name, str(folder.path)]
            found[name] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def run_of(n_packs: int) -> dict[str, float]:
    """Train so many packs of one tiny network each."""
    text = (
        f"name: tiny\ntask: {{kind: modular_addition, modulus: 5}}\nmodel: {{width: 4}}\ntraining: {{steps: 5}}\n"
        f"axes: {{corruption: [0, 0.2]}}\nseeds: {n_packs // 2}\nresources: {{pack_size: 1}}\n"
    )
    study = parse_study(parse_document(text, "tiny.yaml"))
    with tempfile.TemporaryDirectory() as root:
        costs = timed(lambda: pm.run(study, storage=root, quiet=True))
    return {"n_packs": n_packs, **costs, "milliseconds_a_pack": round(1e3 * costs["seconds"] / n_packs, 1)}


def runs_of(numbers: list[int]) -> list[dict[str, float]]:
    """Return the costs of runs, with one Ray for all of them."""
    import ray

    start_ray()
    try:
        run_of(4)
        return [run_of(number) for number in numbers]
    finally:
        ray.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="*", default=[1000, 10_000, 100_000])
    parser.add_argument("--packs", type=int, nargs="*", default=[100, 1000])
    parser.add_argument("--step", nargs=2, metavar=("NAME", "FOLDER"), help="one step alone (used by the others)")
    chosen = parser.parse_args()
    if chosen.step:
        one_step(chosen.step[0], Path(chosen.step[1]))
        return
    results = {"results": [results_of(n) for n in chosen.trials], "runs": runs_of(chosen.packs)}
    report("scale", results, trials_per_shard=PACK)


if __name__ == "__main__":
    main()
