"""Objectives that exist, a Ray Tune function and an Optuna one, run as they are."""

import math
import textwrap

import pytest
from click.testing import CliRunner
from program_tools import write_study

from phasemap.cli import cli
from phasemap.running.program_packs import end_process, train_programs
from phasemap.runs import open_run
from phasemap.study.errors import StudyError
from phasemap.study.file import load_study
from phasemap.study.trials import expand

pytestmark = pytest.mark.usefixtures("forked")

TUNE = """
from ray import tune

def train(config):
    for step in range(1, 4):
        tune.report({"loss": config["lr"] / step, "eval/accuracy": config["seed"] / 10, "note": "text"})
"""
TRAIN = """
from ray import train as ray_train

def train(config):
    ray_train.report({"loss": config["lr"]})
"""
CHECKPOINTS = """
from ray import tune

def train(config):
    tune.report({"loss": 1.0}, checkpoint=tune.Checkpoint("/tmp"))
"""
RETURNS = """
def train(config):
    return {"loss": config["lr"]}
"""
OPTUNA = """
import optuna

def train(trial):
    lr = trial.suggest_float("lr", 1e-5, 10.0, log=True)
    depth = trial.suggest_int("depth", 1, 5)
    kind = trial.suggest_categorical("kind", ["a", "b"])
    for step in range(3):
        trial.report(lr * depth / (step + 1), step)
        if trial.should_prune():
            raise optuna.TrialPruned()
    trial.set_user_attr("kind", kind)
    return lr * depth / 10
"""


@pytest.fixture(autouse=True)
def no_process_left():
    yield
    end_process()


def results(folder, code, **content):
    study = load_study(write_study(folder, textwrap.dedent(code), **content))
    return study, train_programs(study, list(expand(study)), device="cpu")


def test_a_tune_function_gets_the_values_and_the_seed_as_its_config(tmp_path):
    study, found = results(tmp_path, TUNE, axes={"lr": [0.1, 1.0]}, fixed={"depth": 2}, seeds=2)
    assert study.signature.kind == "tune"
    assert found[1].steps == (1, 2, 3)
    assert dict(found[1].curves) == {"loss": [0.1, 0.05, pytest.approx(0.1 / 3)], "eval_accuracy": [0.1] * 3}
    assert found[0].trial.settings == {"lr": 0.1, "depth": 2}


def test_metrics_with_the_name_of_a_setting_or_a_column_get_another_one(tmp_path):
    code = "def train(config):\n    return {'loss': 1.0, 'step': 7, 'lr': config['lr'], 'confidence': 0.5}\n"
    _, found = results(tmp_path, code)
    assert found[0].curves == {"loss": [1.0], "step_metric": [7], "lr_metric": [0.1], "confidence_metric": [0.5]}


@pytest.mark.parametrize("code", [TRAIN, RETURNS])
def test_other_ways_to_report_to_tune(tmp_path, code):
    _, found = results(tmp_path, code)
    assert [result.curves for result in found] == [{"loss": [0.1]}, {"loss": [1.0]}]


def test_checkpoints_and_class_trainables_are_refused(tmp_path):
    _, found = results(tmp_path, CHECKPOINTS)
    assert "tune.report with a checkpoint can't be run; allowed: without one" in found[0].error
    code = "from ray import tune\n\nclass train(tune.Trainable):\n    pass\n"
    with pytest.raises(StudyError, match="class trainables of Ray Tune can't be run"):
        load_study(write_study(tmp_path, code))


def test_an_optuna_objective_is_suggested_the_study_s_values(tmp_path):
    axes = {"lr": [0.1, 1.0], "kind": ["a", "b"]}
    study, found = results(tmp_path, OPTUNA, axes=axes, fixed={"depth": 2})
    assert study.recorded.quantities == {"value": "number"}
    assert found[0].steps == (1, 2, 3, 4)
    assert found[0].curves["value"] == [0.2, 0.1, pytest.approx(0.2 / 3), pytest.approx(0.02)]
    assert all(result.status == "ok" for result in found)
    _, (missing, *_) = results(tmp_path, OPTUNA, axes=axes, fixed={})
    assert "the objective suggests depth, which the study lacks; needed: depth under axes or fixed" in missing.error


def test_what_a_tune_function_reports_is_told_by_its_first_trial(tmp_path):
    path = write_study(tmp_path, TUNE, axes={"lr": {"start": 0.1, "stop": 10.0, "num": 3, "scale": "log"}}, seeds=2)
    first = CliRunner().invoke(cli, ["run", str(path), "--storage", str(tmp_path), "--in-process"])
    assert first.exit_code == 0, first.output
    assert "6 trained, 0 reused, 0 failed" in first.output
    run = open_run(tmp_path / "mine")
    assert run.study.recorded.quantities == {"loss": "number", "eval_accuracy": "number"}
    assert len(run.trials) == 6
    assert not run.trials[["loss", "eval_accuracy"]].isna().any(axis=None)
    again = CliRunner().invoke(cli, ["run", str(path), "--storage", str(tmp_path), "--in-process"])
    assert "0 trained, 6 reused" in again.output


def test_a_first_trial_that_fails_ends_the_run_with_its_error(tmp_path):
    code = "def train(config):\n    raise ValueError('no data')\n"
    told = CliRunner().invoke(
        cli, ["run", str(write_study(tmp_path, code)), "--storage", str(tmp_path), "--in-process"]
    )
    assert told.exit_code == 2
    assert "the first trial, which should show the quantities, failed: ValueError: no data (train.py:2)" in told.output


def test_a_metric_that_one_trial_lacks_is_nan(tmp_path):
    code = 'def train(config):\n    return {"loss": 1.0, "late": 2.0} if config["lr"] > 0.5 else {"loss": 1.0}\n'
    quantities = {"loss": "loss", "late": "number"}
    _, found = results(tmp_path, code, quantities=quantities)
    assert math.isnan(found[0].curves["late"][0])
    assert found[1].curves["late"] == [2.0]
