"""How long the report of 20,000 trials takes, and how large it is.

    python benchmarks/report.py [--trials 20000]

Prints JSON: wall and processor seconds of reading the run, making the content and writing the page, and its bytes.
The run is synthetic (tests/synthetic.py): curves as rough as real ones, without training.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import pyarrow as pa  # noqa: E402
from conftest import study_of  # noqa: E402
from synthetic import synthetic_run  # noqa: E402

import phasemap as pm  # noqa: E402
from phasemap.diagram.tables import Tables, derive, write_tables  # noqa: E402
from phasemap.figures.page import write_report  # noqa: E402
from phasemap.figures.report import report_payload  # noqa: E402


def timed(work: Callable[[], object]) -> tuple[object, dict[str, float]]:
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    return result, {
        "wall_seconds": round(time.perf_counter() - wall, 2),
        "processor_seconds": round(time.process_time() - processor, 2),
    }


def read(path: Path) -> tuple[Tables, pa.Table]:
    run = pm.open_run(path)
    return Tables(study=run.study, trials=run.trials, points=run.points), run._rows


def measure(trials: int, root: Path) -> dict[str, object]:
    axes = {
        "corruption": {"start": 0, "stop": 0.6, "num": max(2, trials // 100)},
        "weight_decay": {"start": 0, "stop": 20, "num": 20},
    }
    study = study_of(name="large", axes=axes, seeds=5, training={"steps": 2000}, model={"width": 128})
    folder = synthetic_run(study, root)
    write_tables(folder, derive(folder), curves=True)
    found, reading = timed(lambda: read(folder.path))
    content, making = timed(lambda: report_payload(*found))  # type: ignore[misc]
    page = root / "large.html"
    _, writing = timed(lambda: write_report(content, page))  # type: ignore[arg-type]
    records = {name: content["curves"][name] for name in ("records", "recorded")}  # type: ignore[index]
    return {
        "trials": trials,
        "read": reading,
        "content": making,
        "write": writing,
        "bytes": page.stat().st_size,
        **records,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20_000)
    trials = parser.parse_args().trials
    with tempfile.TemporaryDirectory() as root:
        results = measure(trials, Path(root))
    machine = {"platform": platform.platform(), "python": platform.python_version()}
    print(json.dumps({"benchmark": "report", "machine": machine, "results": results}, indent=2))


if __name__ == "__main__":
    main()
