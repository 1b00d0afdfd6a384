"""What phasemap takes beside the trials of a program: 1,000 of 50 ms each, on an embedded Ray and in a bare loop.

    python benchmarks/programs.py [--trials 1000] [--milliseconds 50]

The trial waits, as one that trains elsewhere would, so that it takes no core from what is measured. The run is measured
from its study's file to its tables and picture, with Ray up before; the bare loop calls the same function in as many
processes as the run has slots, and is run before and after. Milliseconds a trial of one slot:
slots * (seconds of the run - seconds of the loop) / trials. Other work on the machine delays both; the CPU that this
process and all that it started have used counts little of that.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil
from common import report, start_ray

import phasemap as pm

CODE = """
import time

import phasemap as pm


@pm.program(quantities={"test_loss": "loss"})
def train(trial: pm.TrialContext, *, rate: float, milliseconds: float = 50.0):
    for step in trial.steps(5):
        time.sleep(milliseconds / 5000)
        trial.report(step, test_loss=rate / step)
"""


def bare(milliseconds: float) -> None:
    """Do what the program does, without anything around it."""
    for _ in range(5):
        time.sleep(milliseconds / 5000)


def loop(trials: int, milliseconds: float, slots: int) -> float:
    """Return the seconds of the bare trials in some processes."""
    with multiprocessing.get_context("spawn").Pool(slots) as pool:
        pool.map(bare, [0.0] * slots)  # every process is up
        started = time.perf_counter()
        pool.map(bare, [milliseconds] * trials, chunksize=1)
        return time.perf_counter() - started


def cpu_seconds() -> float:
    """Return the seconds that this process, its children and theirs have used, living and dead."""
    total = 0.0
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


def run(trials: int, milliseconds: float) -> tuple[float, float]:
    """Return the seconds of a run of so many trials, and those of CPU."""
    with tempfile.TemporaryDirectory() as root:
        Path(root, "train.py").write_text(CODE)
        study = Path(root, "study.yaml")
        study.write_text(
            "name: programs\nprogram: train.py:train\n"
            f"axes: {{rate: {{start: 0.1, stop: 1.0, num: {trials}}}}}\nfixed: {{milliseconds: {milliseconds}}}\n"
        )
        started, used = time.perf_counter(), cpu_seconds()
        done = pm.run(study, storage=root, quiet=True)
        seconds, used = time.perf_counter() - started, cpu_seconds() - used
        assert (done.trials["status"] == "ok").sum() == trials
        return seconds, used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--milliseconds", type=float, default=50.0)
    given = parser.parse_args()
    slots = os.cpu_count() or 1
    start_ray()
    before = loop(given.trials, given.milliseconds, slots)
    seconds, used = run(given.trials, given.milliseconds)
    after = loop(given.trials, given.milliseconds, slots)
    beside = seconds - (before + after) / 2
    report(
        "programs",
        {
            "bare_seconds": [round(before, 2), round(after, 2)],
            "run_seconds": round(seconds, 2),
            "milliseconds_a_trial_beside": round(1e3 * slots * beside / given.trials, 1),
            "milliseconds_a_trial_of_the_wall": round(1e3 * beside / given.trials, 1),
            "cpu_milliseconds_a_trial": round(1e3 * used / given.trials, 1),
        },
        trials=given.trials,
        milliseconds=given.milliseconds,
        slots=slots,
    )


if __name__ == "__main__":
    main()
