"""A careless program's trials on a cluster whose workers, nodes and drivers are killed at random: nothing is lost."""

import sys
import textwrap
from pathlib import Path
from random import Random

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "running"))

from chaos import Chaos, rows
from clusters import Cluster
from conftest import run_in_process
from program_tools import HEAD

from phasemap.diagram.tables import derive
from phasemap.running.program_packs import end_process
from phasemap.study.file import load_study

CODE = HEAD + textwrap.dedent(
    """
    import random
    import time
    from dataclasses import replace

    import numpy as np

    @pm.program(quantities={"test_loss": "loss"})
    def train(trial: pm.TrialContext, *, lr: float, log: str, keeps: bool = True, pause: float = 0.1, n: int = 15):
        trial.hooks = replace(trial.hooks, save_seconds=0)  # after every step, in place of every 20 s
        total = {"sum": 0.0}
        state = (lambda: dict(total), total.update) if keeps else None
        for number, step in enumerate(trial.steps(n, state=state)):
            with open(log, "a") as file:
                print("started" if number == 0 else "went on", step, file=file)
            time.sleep(pause)
            total["sum"] += lr * random.random() + np.random.random()
            trial.report(step, test_loss=total["sum"])
    """
)


@pytest.fixture
def cluster():
    made = Cluster(workers=2)
    yield made
    made.stop()
    end_process()


@pytest.mark.slow(group="programs")
@pytest.mark.parametrize("keeps", [True, False])
def test_sixty_trials_of_a_careless_program_survive_random_kills(cluster, tmp_path, keeps):
    (cluster.home / "train.py").write_text(CODE)
    log = cluster.storage / "steps.txt"
    study = {
        "name": "chaos",
        "program": "train.py:train",
        "axes": {"lr": {"start": 0.1, "stop": 1.0, "num": 10}},
        "fixed": {"keeps": keeps, "log": str(log)},
        "seeds": 6,
        "resources": {"pack_size": 3},
    }
    chaos = Chaos(cluster, yaml.safe_dump(study), Random(11 + keeps))
    figures = chaos.run(workers=2, nodes=1, drivers=1, heads=0)
    assert figures["kills"] == {"worker": 2, "node": 1, "driver": 1}
    assert (figures["lost_trials"], figures["retrained_trials"], figures["partial_files"]) == (0, 0, 0)
    steps = log.read_text().splitlines()
    started = [int(line.split()[-1]) for line in steps if line.startswith("started")]
    interrupted = 2 + 3 + 3  # what was in the middle: of a worker one, of a node or all slots at most three
    assert len(started) <= 60 + interrupted
    assert (max(started) > 1) == keeps
    if keeps:  # the step that it was at, and one whose state was on its way
        assert len(steps) <= 60 * 15 + 2 * interrupted
    (tmp_path / "train.py").write_text(CODE)
    study["fixed"]["pause"] = 0.0
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    undisturbed = run_in_process(load_study(tmp_path / "study.yaml"), tmp_path)
    found, expected = derive(chaos.folder).trials, derive(undisturbed).trials
    assert found["test_loss"].tolist() == expected["test_loss"].tolist()
    assert len(rows(found).splitlines()) == 61
