"""A Tuner of one's own that leaves a run, on a real Ray."""

import json
import runpy

import pytest
from click.testing import CliRunner
from test_example_studies import EXAMPLES

import phasemap as pm
from phasemap.cli import cli
from phasemap.running.ray_tune import RayRunner
from phasemap.runs import open_run
from phasemap.study.spec import ResourceSpec


@pytest.fixture(scope="module", autouse=True)
def ray():
    """One Ray for all tests of this module: every Tuner uses it while it is there."""
    made = RayRunner(ResourceSpec(max_concurrent=1), cpus=1)
    yield
    made.close()


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def phasemap(*arguments):
    found = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert found.exit_code == 0, found.output
    return found.output


def fit(space, callbacks, tmp_path, **run):
    from ray import tune

    tuner = tune.Tuner(
        objective(),
        param_space=space,
        tune_config=tune.TuneConfig(reuse_actors=True),
        run_config=tune.RunConfig(callbacks=list(callbacks), storage_path=str(tmp_path / "tune"), verbose=0, **run),
    )
    return tuner.fit()


def test_the_example_leaves_a_run_that_every_command_reads(tmp_path):
    runpy.run_path(str(EXAMPLES / "own_tuner" / "tune.py"), run_name="__main__")
    run = open_run("runs/own_tuner")
    assert len(run.trials) == 12
    assert run.trials["phase"].isin(["good", "fair", "poor"]).all()
    assert tuple(run.study.axis_names) == ("depth", "trees")
    assert len(list((tmp_path / "runs" / "own_tuner" / "shards").glob("*.parquet"))) == 12  # one a network
    assert "12/12 trials" in phasemap("show", "runs/own_tuner")
    phasemap("plot", "runs/own_tuner", "-o", "map.png")
    phasemap("report", "runs/own_tuner", "-o", "report.html")
    phasemap("check", "runs/own_tuner")
    phasemap("diff", "runs/own_tuner", "runs/own_tuner")
    executions = json.loads((tmp_path / "runs" / "own_tuner" / "provenance.json").read_text())
    assert executions[-1]["outcome"] == "done"
    assert executions[-1]["n_trained"] == 12


def objective():
    """Return a function that goes to workers by value: they can't import this module."""

    def train(config):
        from ray import tune

        if config["lr"] == 3:
            raise ValueError("no such rate")
        for step in range(1, 5):
            loss = float("nan") if config["lr"] == 2.5 else config["lr"] / step
            tune.report({"loss": loss, "eval/accuracy": 0.5, "note": "text", "nested": {"a": 1}, "step": step})

    return train


def stop(trial_id, result):
    return result["config"]["lr"] == 4 and result["training_iteration"] == 2


def test_trials_fail_diverge_repeat_and_are_stopped(tmp_path, caplog):
    from ray import tune

    callback = pm.tune_callback("mine", ["lr"], quantities={"loss": "loss", "eval_accuracy": "accuracy"})
    space = {"lr": tune.grid_search([1, 1, 2.5, 4, 3]), "kind": "a", "layers": [1, 2]}
    lacking = pm.tune_callback("lacking", ["depth"])
    whole = pm.tune_callback("whole", ["lr"])
    results = fit(space, (callback, lacking, whole), tmp_path, stop=stop)
    assert len(results.errors) == 1
    assert "its config has no depth; it has: lr" in caplog.text  # what can't be written harms no trial
    run = open_run("runs/mine")
    found = run.trials.set_index(["lr", "seed"])
    assert found["status"].to_dict() == {(1.0, 0): "ok", (1.0, 1): "ok", (2.5, 0): "diverged", (3.0, 0): "failed"}
    assert "no such rate" in found.loc[(3.0, 0), "error"]
    assert found.loc[(1.0, 0), "loss"] == 0.25
    assert run.study.setting("kind") == "a"
    assert run.curves.groupby("trial_id").size().max() == 4
    assert "lacks 1 trials that were stopped before step 4" in caplog.text
    assert open_run("runs/whole").trials["step_metric"].dropna().tolist() == [4, 4, 4]  # step is a column
    again = pm.tune_callback("mine", ["lr"])
    fit({"lr": tune.grid_search([1, 8]), "seed": 5, "kind": "a"}, (again,), tmp_path, stop={"training_iteration": 4})
    run = open_run("runs/mine")
    assert len(run.trials) == 6
    assert set(run.trials["trial_id"]) >= set(found["trial_id"])
    assert list(run.study.axis("lr").values) == [1.0, 2.5, 3.0, 8.0]


def test_mistakes_show_before_anything_is_trained(finished):
    labels = {"a": "fluke > 1", "b": "otherwise"}
    with pytest.raises(pm.UserError, match="fluke"):
        pm.tune_callback("x", ["lr"], quantities={"loss": "loss"}, phases={"labels": labels})
    with pytest.raises(pm.UserError, match="name = 'no name!' is not allowed"):
        pm.tune_callback("no name!", ["lr"], quantities={"loss": "loss"})
    with pytest.raises(pm.UserError, match="not made by tune_callback"):
        pm.tune_callback("small", ["lr"], storage=finished[1].path.parent)
