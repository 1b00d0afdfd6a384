"""Time and size of each kind of figure.

    python benchmarks/figures.py [--points 10000]

The kinds that look inside networks are drawn from a small real run, the phase diagram also from a made-up run of many
points (see synthetic.py).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from common import report, timed
from synthetic import SEEDS, write_synthetic

import phasemap as pm
from phasemap.api import Run
from phasemap.figures.static import FORMATS, save_figure
from phasemap.running.outputs import write_results
from phasemap.study.file import load_resolved, parse_study
from phasemap.study.yaml_lines import parse_document

ONE_POINT = {"corruption": 0, "weight_decay": 0}  # neurons are drawn of one point
KINDS = ("phases", "curves", "ipr", "neurons", "pruning", "norms", "logits")
RECORDED = """
name: recorded
task: {kind: modular_addition, modulus: 11}
model: {width: 48}
training: {steps: 300}
axes: {corruption: [0, 0.3], weight_decay: [0, 3]}
fixed: {data_fraction: 0.7}
seeds: 2
record: [ipr, neurons, pruning, logits, norms]
"""


def costs(run: Run, kind: str, root: Path) -> dict[str, Any]:
    """Return seconds and size of a kind of figure in each format."""
    found: dict[str, Any] = {}
    fix = ONE_POINT if kind == "neurons" else None
    for ending in FORMATS:
        path = root / f"{kind}{ending}"
        found[ending] = timed(lambda path=path: save_figure(run.figure(kind, fix=fix), path))  # type: ignore[misc]
        found[ending]["kilobytes"] = round(path.stat().st_size / 1e3, 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=10_000)
    n_points = parser.parse_args().points
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        study = parse_study(parse_document(RECORDED, "recorded.yaml"))
        recorded = pm.run(study, storage=root, in_process=True, quiet=True)
        results = {kind: costs(recorded, kind, root) for kind in KINDS}
        folder = write_synthetic(root / "synthetic", n_points * SEEDS, pack=4096)
        write_results(folder, load_resolved(folder.study), curves=False)
        results[f"phases_of_{n_points}_points"] = costs(pm.open_run(folder.path), "phases", root)
    report("figures", results)


if __name__ == "__main__":
    main()
