"""The command that checks and measures a GPU: on a CPU every part of it runs, and says that it measures nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import forks
import pytest
import torch

ROOT = Path(__file__).parents[1]
CALLED = "import runpy, sys\ndel sys.argv[0]\nrunpy.run_path(sys.argv[0], run_name='__main__')"


def benchmark(*options, blocked=None):
    path = os.pathsep.join([*([str(blocked)] if blocked else []), str(ROOT)])
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), *options]
    return subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)


def test_it_runs_without_ray_and_figures_and_prints_one_document_and_a_table(tmp_path):
    for name in ("ray", "matplotlib", "optuna", "sklearn", "numba", "psutil", "scipy"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not on a machine that only measures')")
    done = benchmark("--device", "cpu", "--tiny", blocked=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    document = json.loads(done.stdout)
    assert len(document["checks"]) == 11
    assert all(found["passed"] for found in document["checks"].values())
    assert (document["tiny"], document["card"], document["left_out"]) == (True, None, [])
    rows = document["measured"]["speed"]
    assert len(rows) == 5
    assert not any("error" in row for row in rows)
    assert document["measured"]["figure_3a"]["seconds"] > 0
    assert "A SMOKE TEST OF TINY NETWORKS, NO MEASUREMENT" in done.stderr
    assert done.stderr.count("| tiny networks for: ") == len(rows)


def test_what_time_does_not_allow_is_named():
    done = forks.finish("-c", CALLED, ROOT / "benchmarks" / "gpu.py", "--device", "cpu", "--tiny", "--seconds", "0")
    document = json.loads(done.stdout)
    assert document["measured"]["speed"] == []
    assert "figure 3a, data fraction 0.50" in document["left_out"]
    assert "not measured s" not in done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_card_it_says_what_is_allowed():
    for options in ((), ("--device", "cpu")):
        done = forks.finish("-c", CALLED, ROOT / "benchmarks" / "gpu.py", *options)
        assert done.returncode == 1
        assert "allowed: --device cpu --tiny, a smoke test" in done.stderr
        assert not done.stdout


def test_the_speed_that_is_told_of_a_gpu_is_what_was_measured():
    measured = json.loads((ROOT / "benchmarks" / "gpu_h200.json").read_text(encoding="utf-8"))
    assert all(found["passed"] for found in measured["checks"].values())
    _, section = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8").split("## On a GPU")
    told = [[cell.strip() for cell in row.split("|")] for row in section.split("\n## ")[0].splitlines()]
    told = [row for row in told if len(row) == 7 and row[2].replace(",", "").isdigit()]
    assert len(told) == 10
    rows = {
        (row["networks"], f"{row['milliseconds_a_step']:.2g}", f"{100 * row['share_of_product_rate']:.0f} %"): row
        for row in reversed(measured["measured"]["speed"])
    }
    for _, _, networks, step, rate, share, _ in told:
        key = (int(networks.replace(",", "")), f"{float(step):.2g}")
        (found, *_) = [row for of, row in rows.items() if of[:2] == key and share in ("", of[2])]
        assert float(rate) == pytest.approx(found["networks_a_second"], rel=0.03)
