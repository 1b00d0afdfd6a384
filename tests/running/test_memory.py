"""A pack that doesn't fit into memory is halved until it does, and every trial is trained."""

import json
import os
import subprocess
import sys

import pytest
from conftest import study_of

from phasemap.diagram.tables import derive
from phasemap.results.folder import RunFolder
from phasemap.running.driver import RunOptions, run_study
from phasemap.running.runner import Failed, LocalRunner

TRIAL_BYTES = 3 * 7 * 250_000 * 4 * 5  # weights, gradient, two moments and what an optimizer step needs
LIMITED = """
import json, resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from conftest import run_in_process, study_of
import torch
from phasemap.diagram.tables import derive

root, limit = Path(sys.argv[2]), int(sys.argv[3])
large = dict(
    task={"kind": "modular_addition", "modulus": 7}, model={"width": 250_000}, training={"steps": 1},
    axes={"weight_decay": [0]},
)
# All that is loaded on the way is loaded, and compiled: FBGEMM crashes where it finds no room for a new sum of rows.
run_in_process(study_of(name="first", seeds=1, **large), root)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + limit, resource.RLIM_INFINITY))
folder = run_in_process(study_of(name="large", seeds=8, resources={"pack_size": 8}, **large), root)
trials = derive(folder).trials
print(json.dumps({"log": folder.log.read_text(), "status": trials["status"].tolist(),
                  "packs": trials["pack_id"].nunique()}))
"""


@pytest.mark.slow(group="chaos")
def test_a_pack_that_runs_out_of_memory_is_split_and_trained(tmp_path):
    command = [sys.executable, "-c", LIMITED, __file__.rpartition("/running/")[0], str(tmp_path), str(6 * TRIAL_BYTES)]
    one_arena = os.environ | {"MALLOC_ARENA_MAX": "1"}  # each of a new thread would reserve 64 MB of addresses
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=one_arena)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["status"] == ["ok"] * 8
    assert found["packs"] > 1
    assert "failed (attempt 2)" in found["log"]


class SmallMachine(LocalRunner):
    """A machine with room for little beside one trial, where nobody sees which pack took the memory."""

    def __init__(self, large):
        super().__init__()
        self.large, self.alone = large, []

    def run(self, packs, workload, tell):
        if len(packs) == 1:
            self.alone.append(packs[0].trials[0].seed)
        if any(trial.seed == self.large for pack in packs for trial in pack.trials):
            for pack in packs:
                tell(Failed(pack_id=pack.pack_id, error="a worker was killed: low on memory", cause="memory"))
        else:
            super().run(packs, workload, tell)


def test_a_trial_that_fits_into_no_memory_takes_no_other_with_it(tmp_path):
    study = study_of(axes={"weight_decay": [0]}, seeds=4, resources={"pack_size": 1})
    folder, machine = RunFolder(tmp_path / study.name), SmallMachine(large=2)
    outcome = run_study(study, folder, lambda: machine, RunOptions(quiet=True))
    trials = derive(folder).trials.set_index("seed")
    assert trials["status"].to_dict() == {0: "ok", 1: "ok", 2: "failed", 3: "ok"}
    assert (outcome.n_trained, len(outcome.failures)) == (3, 1)
    assert "low on memory" in trials.loc[2, "error"]
    assert sorted(machine.alone) == [0, 1, 2, 3]
