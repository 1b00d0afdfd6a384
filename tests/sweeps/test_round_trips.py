"""What is exported comes back by an import: settings, seeds, values, curves and states, whichever tool held them."""

import random

import pandas as pd
import pytest
from click.testing import CliRunner
from conftest import slow

import phasemap as pm
from phasemap.cli import cli

pytestmark = pytest.mark.filterwarnings("default:.*noload.*")  # of MLflow

LENGTHS = {"ok": 5, "failed": 2, "pruned": 3, "running": 1, "diverged": 4}  # how many records a trial leaves


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of 60 trials in every state, with two seeds, settings of every type, and curves of two quantities."""
    chance, trials, curves = random.Random(1), [], []
    for number in range(60):
        state = list(LENGTHS)[number // 2 % 5]
        if number % 2 == 0:
            point = {
                "lr": 10 ** chance.uniform(-5, -1), "layers": chance.randint(1, 4),
                "opt": chance.choice(["sgd", "adam"]), "nesterov": chance.random() < 0.5,
            }  # fmt: skip
        name = f"t{number}"
        trials.append({"trial_id": name, **point, "seed": number % 2, "status": state, "size": 10.5 * number})
        for step in range(1, LENGTHS[state] + 1):
            curves.append({"trial_id": name, "step": 10 * step, "acc": chance.random(), "loss": 1 / step})
    return pm.sweeps.from_frame(
        pd.DataFrame(trials),
        ["lr"],
        settings=["layers", "opt", "nesterov"],
        seed="seed",
        curves=pd.DataFrame(curves),
        quantities=["acc", "loss"],
        run=tmp_path_factory.mktemp("made") / "run",
    )


TABLES = ("csv", "parquet")


def invoke(*arguments):
    told = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert told.exit_code == 0, told.output


def back_from(tool, run, folder):
    """Export a run to a tool, import what that wrote, and return the run that it became."""
    target, more = folder / f"out.{tool}", []
    if tool in TABLES:
        curves = folder / f"curves.{tool}"
        invoke("export", run.path, "--table", "trials", "-o", target)
        invoke("export", run.path, "--table", "curves", "-o", curves)
        more = ["--curves", curves, "--settings", "layers,opt,nesterov", "--quantities", "acc,loss"]
    elif tool in ("mlflow", "tensorboard"):
        invoke("export", run.path, "--to", tool, "-o", target)
    else:
        invoke("export", run.path, "-o", target)
    invoke("import", target, "--axes", "lr", "--seed", "seed", *more, "-o", folder / "back")
    return pm.open_run(folder / "back")


@pytest.mark.parametrize("tool", ["journal", "mlflow", "tensorboard", "csv", *slow("sweeps", "db", "parquet")])
def test_settings_values_curves_and_states_come_back(made, tmp_path, monkeypatch, tool):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    back = back_from(tool, made, tmp_path)
    if tool in ("journal", "db"):  # one objective, whose curve alone a storage holds
        names, quantities = {"acc": "value"}, ["acc"]
    else:
        names, quantities = {}, ["acc", "loss"]
    near = 1e-6 if tool == "tensorboard" else 1e-11  # events hold single precision
    key = ["lr", "layers", "opt", "nesterov", "seed"]
    before, after = (one.trials.sort_values(key, ignore_index=True) for one in (made, back))
    assert set(before["status"]) == {"ok", "failed", "stopped", "diverged"}
    pd.testing.assert_frame_equal(
        before[[*key, "status", "acc", "loss", "size"]],
        after.rename(columns={value: name for name, value in names.items()})[[*key, "status", "acc", "loss", "size"]],
        check_dtype=False,
        rtol=near,
    )
    ids = dict(zip(after["trial_id"], before["trial_id"], strict=True))
    curves = back.curves.assign(trial_id=back.curves["trial_id"].map(ids))
    curves = curves.rename(columns={value: name for name, value in names.items()})
    for name in quantities:
        ours, theirs = (
            one[["trial_id", "step", name]].dropna().sort_values(["trial_id", "step"], ignore_index=True)
            for one in (made.curves, curves)
        )  # fmt: skip
        pd.testing.assert_frame_equal(ours, theirs, check_dtype=False, rtol=near)
