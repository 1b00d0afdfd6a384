"""What logging a trial costs: five settings, two curves of 50 steps, by tool; the median and the least of several.

MLflow is measured on the database beside a run, and on a folder (MLFLOW_ALLOW_FILE_STORE). What W&B takes is only told
where it is installed. Run: python benchmarks/tracking.py [N_TRIALS]
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from phasemap.results.folder import RunFolder
from phasemap.sweeps.outward import MlflowWriter, TensorBoardWriter, TrialRecord, WandbWriter
from phasemap.sweeps.tracking import tracking

STEPS = 50
GOALS = {"tensorboard": 20, "mlflow": 100}  # milliseconds


def told(number):
    """Return a made-up trial."""
    accuracy = {step: step / STEPS for step in range(1, STEPS + 1)}
    return TrialRecord(
        trial_id=f"{number:016x}",
        status="ok",
        settings={"lr": 0.1, "wd": 0.5, "opt": "adam", "width": 64, "seed": number},
        records={"acc": accuracy, "loss": {step: 1 / step for step in accuracy}},
        numbers={"acc": 1.0, "loss": 1 / STEPS},
        tags={"trial_id": f"{number:016x}", "status": "ok", "phase": "good"},
    )


def writers(folder):
    """Yield (tool, what writes for it)."""
    yield "tensorboard", TensorBoardWriter(folder / "tensorboard")
    (writer,) = tracking(RunFolder(folder / "mine"), ("mlflow",))._writers.values()
    yield "mlflow", writer
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    yield "mlflow, a folder", MlflowWriter("mine", (folder / "mlruns").as_uri())
    if find_spec("wandb"):
        yield "wandb", WandbWriter("mine", folder / "wandb")


def main(n):
    with tempfile.TemporaryDirectory() as folder:
        for tool, writer in writers(Path(folder)):
            writer.write(told(0))
            seconds, cpu = [], time.process_time()
            for number in range(1, n + 1):
                started = time.perf_counter()
                writer.write(told(number))
                seconds.append(time.perf_counter() - started)
            cpu = 1000 * (time.process_time() - cpu) / n
            found = {"ms": round(1000 * statistics.median(seconds), 1), "least": round(1000 * min(seconds), 1)}
            print(json.dumps({"tool": tool, **found, "cpu_ms": round(cpu, 1), "goal": GOALS.get(tool)}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
