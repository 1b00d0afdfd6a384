"""Stored runs: folders that were once written by a real training, and are read by every later release.

Their bytes are never made again: the runs of a later format get folders of their own beside these.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from golden_files import FOLDER, differences, dumped, working_directory
from golden_process import phasemap, typed

from phasemap.planning.packs import Pack
from phasemap.results.folder import RunFolder
from phasemap.results.shards import read_shard, shard_files
from phasemap.running.driver import RunOptions, run_study
from phasemap.running.runner import Advanced, Event, LocalRunner, More
from phasemap.running.worker import Workload
from phasemap.study.file import load_study

ROOT = FOLDER / "runs"
SUMS = ROOT / "SHA256SUMS"

MIXED = """
name: mixed
question: What becomes of trials that diverge or fail?
task: {kind: modular_addition, modulus: 7}
model: {}
training: {steps: 800}
axes:
  width: [16, 1000000000]
  learning_rate: [0.01, 1.0e6]
fixed: {corruption: 0.3, data_fraction: 0.6}
seeds: [0, 5]
"""  # of more than fifty records, from which on the labels need five

PLANE = """
name: plane
question: Where does a small network learn the rule?
task: {kind: modular_addition, modulus: 23}
model: {width: 48}
training: {steps: 280, learning_rate: 0.02}
axes:
  corruption: [0, 0.1, 0.2, 0.35]
  weight_decay: [0, 2, 5, 10]
fixed: {data_fraction: 0.85}
seeds: 3
resources: {pack_size: 1}
claims:
  - area(full_inversion, weight_decay=5) > area(full_inversion, weight_decay=0)
  - area(memorization) < 0.1
  - area(coexistence) >= area(partial_inversion)
"""  # of 48 packs, so that its shards are made one file

RECORDS = """
name: records
question: What is inside the networks?
task: {kind: modular_addition, modulus: 7}
model: {width: 12}
training: {steps: 40}
axes:
  corruption: [0.2, 0.4]
fixed: {weight_decay: 2, data_fraction: 0.7}
seeds: 2
record: [ipr, neurons, pruning, logits, norms, extracted, weights]
resources: {pack_size: 3}
"""

INTERRUPTED = """
name: interrupted
task: {kind: modular_addition, modulus: 11}
model: {width: 24}
training: {steps: 60}
axes:
  corruption: [0, 0.25]
  dropout: [0, 0.2]
fixed: {weight_decay: 1, data_fraction: 0.7}
seeds: 3
resources: {pack_size: 3}
"""

KEPT = {
    "mixed": ("study.yaml", "provenance.json", "run.log", "shards"),
    "plane": ("study.yaml", "provenance.json", "run.log", "shards"),
    "records": (
        "study.yaml", "provenance.json", "run.log", "shards", "inside", "weights",
        "trials.parquet", "points.parquet", "curves.parquet", "neurons.parquet",
    ),
    "interrupted": ("study.yaml", "provenance.json", "run.log", "shards", "checkpoints"),
    "older": ("study.yaml", "provenance.json", "run.log", "shards", "checkpoints"),
}  # fmt: skip
"""What is stored of each run's folder. Records has its derived tables, which a later release may read as they are."""

UNFINISHED = ("interrupted", "older")

NAMES = tuple(KEPT)
OF_THE_MACHINE = ("started", "ended", "core_hours", "platform", "processor", "host", "git", "versions")
OF_THE_CLOCK = ("train_seconds", "host")
KILLED = 9


def stored(name: str) -> Path:
    """Return a stored run's folder, which must not be written to; see ``copied``."""
    return ROOT / name


def copied(*names: str, storage: str = "runs") -> list[RunFolder]:
    """Copy stored runs into a storage of the working directory."""
    for name in names:
        shutil.copytree(stored(name), Path(storage) / name)
    return [RunFolder(Path(storage) / name) for name in names]


@dataclass(frozen=True, kw_only=True)
class StoredRun:
    """One stored run, and how a run like it is made."""

    name: str
    make: Callable[[], RunFolder]  # below the working directory

    def made(self, target: Path) -> None:
        """Make such a run, and keep of it what is stored."""
        with working_directory():
            folder = self.make()
            target.mkdir(parents=True)
            for name in KEPT[self.name]:
                path = folder.path / name
                (shutil.copytree if path.is_dir() else shutil.copyfile)(path, target / name)

    def changes(self, other: Path) -> list[str]:
        """Name what differs from the stored run, but for what the clock and the machine decide."""
        return differences(comparable(stored(self.name)), comparable(other))


def train(text: str, *, ends_with: int = 0) -> RunFolder:
    """Run a study by the command line, and return the run's folder."""
    name = text.split()[1]
    Path(f"{name}.yaml").write_text(text)
    done = phasemap("run", f"{name}.yaml", "--in-process")
    if done.exit_code != ends_with:
        raise RuntimeError(f"phasemap run {name}.yaml ended with {done.exit_code}, not {ends_with}:\n{done.stderr}")
    return RunFolder(Path("runs") / name)


def train_and_kill(text: str) -> RunFolder:
    """Run a study in a process that ends without a word within its third pack; return the run's folder."""
    name = text.split()[1]
    Path(f"{name}.yaml").write_text(text)
    code = f"import golden_runs; golden_runs.run_and_end('{name}.yaml')"
    path = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path}, check=False)
    if done.returncode != KILLED:
        raise RuntimeError(f"the run was to end with {KILLED}, not {done.returncode}")
    return RunFolder(Path("runs") / name)


def run_and_end(study: str) -> None:
    """Run a study, and end this process as a kill would."""
    from phasemap.training import recording

    recording.Hooks = partial(recording.Hooks, save_seconds=0.0)  # type: ignore[misc,assignment]
    loaded = load_study(study)
    with typed("run", study, "--in-process"):
        run_study(loaded, RunFolder(Path("runs") / loaded.name), EndingRunner, RunOptions(quiet=True))


class EndingRunner(LocalRunner):
    """Ends its process in the middle of the third pack."""

    def run(
        self, packs: Sequence[Pack], workload: Workload, tell: Callable[[Event], None], more: More | None = None
    ) -> None:
        def tell_or_end(event: Event) -> None:
            if isinstance(event, Advanced) and event.pack_id == packs[2].pack_id and event.share > 0.5:
                os._exit(KILLED)
            tell(event)

        super().run(packs, workload, tell_or_end, more)


def comparable(folder: Path) -> dict[str, Any]:
    """Return what a run holds, without what the clock and the machine decide."""
    rows = [row for path in shard_files(RunFolder(folder)) for row in read_shard(path).to_pylist()]
    executions = json.loads((folder / "provenance.json").read_text())
    return json.loads(
        dumped(
            {
                "study.yaml": (folder / "study.yaml").read_text(),
                "provenance.json": [{k: v for k, v in e.items() if k not in OF_THE_MACHINE} for e in executions],
                "trials": {
                    row["trial_id"]: {name: value for name, value in row.items() if name not in OF_THE_CLOCK}
                    for row in rows
                },
            }
        )
    )


def sums() -> str:
    """Return the checksums of all files of all stored runs."""
    files = sorted(path for name in NAMES for path in stored(name).rglob("*") if path.is_file())
    return "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(ROOT).as_posix()}\n" for path in files
    )


RUNS = (
    StoredRun(name="mixed", make=partial(train, MIXED, ends_with=1)),
    StoredRun(name="plane", make=partial(train, PLANE)),
    StoredRun(name="records", make=partial(train, RECORDS)),
    StoredRun(name="interrupted", make=partial(train_and_kill, INTERRUPTED)),
)
"""The runs that today's code can make; older was interrupted before shards named the kernel that trained."""
