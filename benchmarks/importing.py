"""Import 10,000 trials with curves of 50 steps from Optuna SQLite, MLflow files and CSV: seconds and peak memory.

The sources are written in bulk into the libraries' own schemas, which is not timed. Each import runs in a process of
its own. Run: python benchmarks/importing.py [N_TRIALS]
"""

from __future__ import annotations

import json
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd

STEPS = 50


def made(n):
    """Return settings (n,) and curves (n, STEPS) of a made-up sweep."""
    rng = np.random.default_rng(0)
    lr, wd = 10 ** rng.uniform(-5, -1, n), rng.uniform(0, 1, n)
    best = 1 / (1 + (np.log10(lr) + 2.5) ** 4 + wd)
    return lr, wd, best[:, None] * (1 - np.exp(-np.arange(1, STEPS + 1) / 10))


def write_optuna(folder, n):
    import optuna

    path = folder / "mine.db"
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.create_study(study_name="mine", storage=f"sqlite:///{path}", direction="maximize")
    lr, wd, curves = made(n)
    texts = {
        name: optuna.distributions.distribution_to_json(optuna.distributions.FloatDistribution(low, high, log=log))
        for name, low, high, log in (("lr", 1e-5, 0.1, True), ("wd", 0.0, 1.0, False))
    }
    start, end = "2026-01-01 00:00:00.000000", "2026-01-01 00:01:00.000000"
    with closing(sqlite3.connect(path)) as base:
        trials = ((i + 1, i, 1, "COMPLETE", start, end) for i in range(n))
        base.executemany("INSERT INTO trials VALUES (?, ?, ?, ?, ?, ?)", trials)
        params = [(i + 1, name, v[i], texts[name]) for i in range(n) for name, v in (("lr", lr), ("wd", wd))]
        columns = "trial_params (trial_id, param_name, param_value, distribution_json)"
        base.executemany(f"INSERT INTO {columns} VALUES (?, ?, ?, ?)", params)
        columns = "trial_values (trial_id, objective, value, value_type)"
        values = ((i + 1, 0, curves[i, -1], "FINITE") for i in range(n))
        base.executemany(f"INSERT INTO {columns} VALUES (?, ?, ?, ?)", values)
        columns = "trial_intermediate_values (trial_id, step, intermediate_value, intermediate_value_type)"
        reports = ((i + 1, step, curves[i, step], "FINITE") for i in range(n) for step in range(STEPS))
        base.executemany(f"INSERT INTO {columns} VALUES (?, ?, ?, ?)", reports)
        base.commit()
    return path


def write_mlflow(folder, n):
    lr, wd, curves = made(n)
    store = folder / "mlruns" / "1"
    store.mkdir(parents=True)
    (store / "meta.yaml").write_text("experiment_id: '1'\nname: mine\nlifecycle_stage: active\n")
    for i in range(n):
        run = store / f"{i:032x}"
        (run / "params").mkdir(parents=True)
        (run / "metrics" / "val").mkdir(parents=True)
        times = f"start_time: {1000 + i}\nend_time: {2000 + i}\n"
        (run / "meta.yaml").write_text(f"run_id: {i:032x}\nlifecycle_stage: active\nstatus: 3\n{times}")
        (run / "params" / "lr").write_text(repr(float(lr[i])))
        (run / "params" / "wd").write_text(repr(float(wd[i])))
        lines = "".join(f"{1000 + step} {value!r} {step}\n" for step, value in enumerate(curves[i].tolist()))
        (run / "metrics" / "val" / "acc").write_text(lines)
    return folder / "mlruns"


def write_csv(folder, n):
    lr, wd, curves = made(n)
    ids = np.arange(n)
    pd.DataFrame({"id": ids, "lr": lr, "wd": wd, "acc": curves[:, -1]}).to_csv(folder / "mine.csv", index=False)
    steps = np.tile(np.arange(STEPS), n)
    long = pd.DataFrame({"id": np.repeat(ids, STEPS), "step": steps, "acc": curves.ravel()})
    long.to_csv(folder / "curves.csv", index=False)
    return folder / "mine.csv"


WRITERS = {"optuna": write_optuna, "mlflow": write_mlflow, "csv": write_csv}


def timed(kind, source):
    """Import a source in this process, and print what it took."""
    from phasemap.cli import cli

    more = ["--curves", str(Path(source).with_name("curves.csv"))] if kind == "csv" else []
    target = str(Path(source).parent / "run")
    started = time.perf_counter()
    cli.main(["import", source, "--axes", "lr,wd", *more, "-o", target], standalone_mode=False)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps({"source": kind, "seconds": round(seconds, 1), "peak_gb": round(peak, 2)}))


def main(n):
    for kind, write in WRITERS.items():
        with tempfile.TemporaryDirectory() as folder:
            source = write(Path(folder), n)
            command = [sys.executable, __file__, "--one", kind, str(source)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            print(done.stdout.splitlines()[-1], flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        timed(*sys.argv[2:4])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
