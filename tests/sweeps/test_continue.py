"""A sweep that was made elsewhere goes on as a run of its program: the search asks for what is not known yet."""

import json
import shutil

import numpy as np
import optuna
import pandas as pd
import pytest
from click.testing import CliRunner

import phasemap as pm
from phasemap.cli import cli
from phasemap.study.errors import UserError

pytestmark = pytest.mark.usefixtures("forked")

SIMULATOR = """
import math

def objective(trial):
    lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    wd = trial.suggest_float("wd", 0.0, 1.0)
    x = (math.log10(lr) + 4) / 3
    value = 0.0
    for step in range(1, 6):
        value = step / 5 / (1 + math.exp(-25 * (wd - 0.3 - 0.4 * x * x)))
        trial.report(value, step)
    return value
"""
RULE = "labels: {good: value >= 0.5, bad: otherwise}\nfrontiers: {skill: value = 0.5}\n"


def objective():
    space = {}
    exec(SIMULATOR, space)
    return space["objective"]


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    """A storage of 60 random trials; filled in memory, as SQLite writes each record to the disk."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(study_name="mine", sampler=optuna.samplers.RandomSampler(seed=1))
    study.optimize(objective(), n_trials=60)
    path = tmp_path_factory.mktemp("optuna") / "mine.db"
    optuna.copy_study(
        from_study_name="mine", from_storage=study._storage, to_storage=f"sqlite:///{path}", to_study_name="mine"
    )
    return path


@pytest.fixture
def folder(storage, tmp_path, monkeypatch):
    """A folder with a program, a rule, and the storage of its trials."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(storage, tmp_path)
    (tmp_path / "simulator.py").write_text(SIMULATOR)
    (tmp_path / "rule.yaml").write_text(RULE)
    return tmp_path


def imported(*further):
    asked = ["import", "sqlite:///mine.db", "--axes", "lr,wd", "--rule", "rule.yaml", "-o", "runs/mine", "--json"]
    return CliRunner().invoke(cli, [*asked, *further])


def truth(points):
    x = (np.log10(points["lr"]) + 4) / 3
    return np.where(points["wd"] - 0.3 - 0.4 * x * x >= 0, "good", "bad")


def test_a_boundary_search_finishes_the_map_of_random_trials(folder):
    done = imported("--program", "simulator.py:objective", "--grid", "lr=17:log,wd=17")
    assert done.exit_code == 0, done.output
    before = pm.open_run("runs/mine").trials
    assert len(before) == 60

    run = pm.run(folder / "runs/mine/study.yaml", storage="runs", in_process=True, quiet=True)
    after = run.trials
    trained = after[~after["trial_id"].isin(before["trial_id"])]
    assert len(after) == 60 + len(trained)
    assert set(before["trial_id"]) <= set(after["trial_id"])
    assert 0 < len(trained) <= 40
    points = run.points
    assert len(points) == 17 * 17
    assert (points["subphase"] == truth(points)).mean() >= 0.98
    assert points["inferred"].sum() >= 17 * 17 - len(trained) - 60
    spec = run.figure()
    assert len(spec.panels[0].dots.x) == 60

    again = pm.run(folder / "runs/mine/study.yaml", storage="runs", in_process=True, quiet=True)
    assert len(again.trials) == len(after)


def test_importing_again_adds_what_is_new_to_a_continued_run(folder):
    imported("--program", "simulator.py:objective", "--grid", "lr=9:log,wd=9")
    study = (folder / "runs/mine/study.yaml").read_bytes()
    optuna_study = optuna.load_study(study_name="mine", storage="sqlite:///mine.db")
    optuna_study.enqueue_trial({"lr": 0.02, "wd": 0.1})
    optuna_study.optimize(objective(), n_trials=1)
    done = json.loads(imported("--program", "simulator.py:objective").stdout)
    assert (done["n_trials"], done["n_new"]) == (61, 1)
    assert (folder / "runs/mine/study.yaml").read_bytes() == study
    assert len(pm.open_run("runs/mine").trials) == 61


@pytest.mark.parametrize(
    ("further", "told"),
    [
        (["--program", "simulator.py:objective"], "lr has 60 values on no grid; needed: --grid lr=N"),
        (["--program", "simulator.py:nothing", "--grid", "lr=9,wd=9"], "nothing"),
        (["--program", "missing.py:objective", "--grid", "lr=9,wd=9"], "missing.py"),
        (["--program", "imported", "--grid", "lr=9,wd=9"], "names no code"),
        (["--program", "own.py:train", "--grid", "lr=9,wd=9"], "records loss, which the sweep lacks; it has: value"),
        (["--program", "simulator.py:objective", "--grid", "lr=1,wd=9"], "--grid lr=1 is not allowed"),
        (["--program", "simulator.py:objective", "--grid", "wd"], "--grid wd is not allowed"),
        (["--program", "simulator.py:objective", "--grid", "rl=9,lr=9,wd=9"], "--grid rl: no such axis"),
        (["--grid", "wd=9"], "lr has 60 values on no grid; needed: --grid lr=N"),
    ],
)
def test_what_can_not_go_on_is_refused_and_nothing_written(folder, further, told):
    (folder / "own.py").write_text(
        "import phasemap as pm\n\n@pm.program(quantities={'loss': 'loss'})\n"
        "def train(trial, *, lr: float, wd: float):\n    trial.report(1, loss=lr)\n"
    )
    done = imported(*further)
    assert done.exit_code == 2, done.output
    assert told in done.stderr
    assert not (folder / "runs/mine").exists()


def test_an_own_program_widens_a_sweep_on_a_grid(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(
        "import phasemap as pm\n\n@pm.program(quantities={'loss': 'loss'})\n"
        "def train(trial, *, lr: float, depth: int = 2):\n    trial.report(1, loss=lr * depth)\n"
    )
    frame = pd.DataFrame({"lr": [0.1, 0.2, 0.1], "depth": [2, 2, 3], "loss": [0.2, 0.4, 0.3]})
    run = pm.sweeps.from_frame(frame, ["lr", "depth"], quantities=["loss"], program="own.py:train", run="runs/own")
    assert run.study.search.kind == "grid"
    before = set(run.trials["trial_id"])
    done = pm.run("runs/own/study.yaml", storage="runs", in_process=True, quiet=True)
    assert len(done.trials) == 4
    new = done.trials[~done.trials["trial_id"].isin(before)]
    assert new[["lr", "depth", "loss"]].to_numpy().tolist() == [[0.2, 3, 0.6000000000000001]]
    with pytest.raises(UserError, match="a whole number"):
        pm.sweeps.from_frame(
            frame.assign(depth=[2.5, 2, 3]), ["lr", "depth"], quantities=["loss"], program="own.py:train", run="runs/b"
        )
