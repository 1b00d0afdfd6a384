"""What `phasemap plan` says, against what the run then takes: wall time, and memory of all its processes.

    python benchmarks/plan.py [--kinds mlp deep transformer]

The plan and the run are processes of their own, as a user starts them. Memory is the sum of the proportional set sizes
of the run and everything that it started (Ray's daemons and the workers), looked at four times a second.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from common import report

STUDIES = {
    "mlp": "{width: 128}\ntraining: {steps: 1000}\naxes: {corruption: {start: 0, stop: 0.7, num: 8}}\nseeds: 16",
    "mlp_p97": "{width: 500}\ntraining: {steps: 60}\naxes: {corruption: {start: 0, stop: 0.7, num: 8}}\nseeds: 4",
    "deep": "{depth: 3, activation: relu, width: 128}\ntraining: {steps: 300}\naxes: {corruption: [0, 0.2]}\nseeds: 24",
    "transformer": "{kind: transformer, width: 32}\ntraining: {steps: 300, batch_size: 64}\n"
    "axes: {corruption: [0, 0.2, 0.4]}\nseeds: 24",
}
MODULUS = {"mlp_p97": 97}
LOOK_SECONDS = 0.25


def memory_of(process: psutil.Process) -> int:
    """Return the bytes of a process and its descendants, shared pages counted once in all."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += one.memory_full_info().pss
    return total


def measured(command: list[str]) -> dict[str, float]:
    """Run a command to its end: seconds and peak bytes."""
    started, peak = time.perf_counter(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        process = psutil.Process(running.pid)
        while running.poll() is None:
            with suppress(psutil.NoSuchProcess):
                peak = max(peak, memory_of(process))
            time.sleep(LOOK_SECONDS)
    if running.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {running.returncode}")
    return {"wall_seconds": time.perf_counter() - started, "memory_bytes": float(peak)}


def compare(kind: str) -> dict[str, Any]:
    """Return what was planned and measured of one study, and planned / measured."""
    text = f"name: {kind}\ntask: {{kind: modular_addition, modulus: {MODULUS.get(kind, 31)}}}\nmodel: {STUDIES[kind]}\n"
    with tempfile.TemporaryDirectory() as root:
        study = Path(root) / f"{kind}.yaml"
        study.write_text(text)
        common = [str(study), "--storage", root]
        phasemap = [sys.executable, "-m", "phasemap"]
        said = subprocess.run([*phasemap, "plan", *common, "--json"], check=True, capture_output=True, text=True)
        planned = json.loads(said.stdout)
        found = measured([*phasemap, "run", *common])
    return {
        "n_trials": planned["n_trials"],
        "n_packs": planned["n_packs"],
        **{f"{name}_planned": round(planned[name], 1) for name in found},
        **{f"{name}_measured": round(value, 1) for name, value in found.items()},
        **{f"{name}_ratio": round(planned[name] / value, 2) for name, value in found.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="*", choices=STUDIES, default=list(STUDIES))
    kinds = parser.parse_args().kinds
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    report("plan", {kind: compare(kind) for kind in kinds})


if __name__ == "__main__":
    main()
