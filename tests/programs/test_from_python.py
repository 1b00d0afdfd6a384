"""Programs from Python: pm.run of a function, as in a script or a notebook."""

import pytest

import phasemap as pm
from phasemap.running.program_packs import end_process

pytestmark = pytest.mark.usefixtures("forked")

FACTOR = 2.0


@pytest.fixture(autouse=True)
def no_process_left():
    yield
    end_process()


@pm.program(quantities={"test_loss": "loss", "auc": "accuracy"})
def train(trial: pm.TrialContext, *, lr: float, name: str = "a", depth: int = 1):
    for step in trial.steps(3):
        trial.report(step, test_loss=FACTOR * lr * depth / step, auc=min(1.0, lr))


def test_a_function_is_run_over_axes(tmp_path):
    phases = {"labels": {"good": "auc >= 0.5", "bad": "otherwise"}}
    run = pm.run(
        train,
        axes={"lr": pm.log(1e-2, 1.0, 3), "name": ["a", "b"]},
        fixed={"depth": 2},
        seeds=2,
        phases=phases,
        storage=tmp_path,
        in_process=True,
        quiet=True,
    )
    assert len(run.trials) == 12
    assert run.trials["phase"].value_counts().to_dict() == {"bad": 8, "good": 4}
    assert run.trials["test_loss"].max() == pytest.approx(4 / 3)
    assert run.study.axis("lr").scale == "log"
    again = pm.run(
        train,
        axes={"lr": pm.linear(0.01, 1.0, 2)},
        fixed={"depth": 2},
        phases=phases,
        storage=tmp_path,
        in_process=True,
    )
    assert len(again.trials) == 2


def test_a_function_of_a_notebook_goes_by_value(tmp_path):
    scale = 3.0

    def closure(trial: pm.TrialContext, *, lr: float):
        trial.report(1, score=scale * lr)

    run = pm.run(closure, axes={"lr": [1.0, 2.0]}, storage=tmp_path, in_process=True, quiet=True)
    assert run.trials["score"].tolist() == [3.0, 6.0]
    assert run.study.name == "closure"
    with pytest.raises(pm.UnreachableError, match="python:closure was given as a function, whose code is not stored"):
        run.replay(run.trials["trial_id"][0])


@pytest.mark.parametrize(
    ("function", "content", "message"),
    [
        (train, {"axes": {"lrr": [1]}}, r"axes.lrr is not a parameter of python:train; .*\(did you mean lr\?\)"),
        (train, {}, "axes is missing"),
        (train, {"axes": {"lr": [1]}, "sedes": 3}, "sedes is an unknown key"),
        (lambda trial, lr: None, {"axes": {"lr": [1]}}, "can't be run: it has no name; allowed: a function that is"),
    ],
)
def test_mistakes_in_python_are_told_as_those_of_a_file(tmp_path, function, content, message):
    with pytest.raises(pm.UserError, match=message):
        pm.run(function, storage=tmp_path, in_process=True, **content)


def test_what_can_not_be_sent_is_told(tmp_path):
    handle = open(tmp_path / "held.txt", "w")  # noqa: PTH123, SIM115

    def held(trial: pm.TrialContext, *, lr: float):
        print(lr, file=handle)

    with pytest.raises(pm.UserError, match="held can't be sent to other processes"):
        pm.run(held, axes={"lr": [1]}, storage=tmp_path, in_process=True)
    handle.close()


def test_a_study_takes_no_further_keys(tmp_path):
    with pytest.raises(pm.UserError, match="axes: allowed only with a function; a study file sets these itself"):
        pm.run(tmp_path / "study.yaml", axes={"lr": [1]})
