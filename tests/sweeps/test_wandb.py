"""W&B: what its runs hold comes in by the table that its page exports; what is logged for it stands in its files."""

import json
import random
import struct

import pandas as pd
import pytest
from libraries import need
from sources import MANY, accuracy

import phasemap as pm
from phasemap.sweeps.outward import TrialRecord, WandbWriter

pytestmark = pytest.mark.filterwarnings("default")  # of the library
STATUS = {"finished": "ok", "failed": "failed", "crashed": "failed", "killed": "stopped", "running": "stopped"}
WAYS = {"finished": 0, "failed": 1, "crashed": 1, "killed": 255, "running": None}


def made(wandb, number):
    """Make a real run, which sends nothing; returns the row that the page of runs exports of it."""
    chance = random.Random(number)
    config = {
        "lr": 10 ** chance.uniform(-5, -1),
        "wd": chance.random(),
        "opt": {"name": chance.choice(["sgd", "adam"])},
    }
    run = wandb.init(project="mine", mode="disabled", name=f"run-{number}", config=config)
    for step, value in enumerate(accuracy(config["lr"], config["wd"])):
        run.log({"val/acc": value, "loss": 1 - value}, step=step)
    state = list(STATUS)[number % 5 if number % 2 else 0]
    shown = {"Name": run.name, "State": state, "Notes": "-", "Tags": "", "Created": "2026-01-01", "ID": run.id}
    flat = {"lr": run.config["lr"], "wd": run.config["wd"], "opt.name": run.config["opt"]["name"]}
    row = {**shown, **flat, "loss": run.summary["loss"], "val/acc": run.summary["val/acc"]}
    run.finish(exit_code=WAYS[state])
    return row


def test_the_export_of_200_runs_equals_its_run(tmp_path, monkeypatch):
    need("wandb")
    import wandb

    monkeypatch.chdir(tmp_path)
    table = pd.DataFrame([made(wandb, number) for number in range(MANY)])
    table.to_csv(tmp_path / "export.csv", index=False)
    run = pm.sweeps.from_wandb(tmp_path / "export.csv", ["lr", "wd"], settings=["opt.name"], run=tmp_path / "mine")
    rows = run.trials.set_index("source_id").loc[table["ID"]]
    assert len(run.trials) == MANY
    assert rows["source_state"].tolist() == table["State"].tolist()
    assert rows["status"].tolist() == [STATUS[state] for state in table["State"]]
    assert rows["lr"].tolist() == pytest.approx(table["lr"].tolist(), rel=1e-11)
    assert rows["wd"].tolist() == pytest.approx(table["wd"].tolist(), rel=1e-11)
    assert rows["opt_name"].tolist() == table["opt.name"].tolist()
    assert rows["val_acc"].tolist() == table["val/acc"].tolist()
    assert rows["loss"].tolist() == table["loss"].tolist()
    assert run.study.axis("lr").scale == "log"


def records(path):
    """Yield the records of a run's file: a header of 7 bytes, then LevelDB's log in blocks of 32 KiB."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, at, whole = path.read_bytes(), 7, b""
    while at + 7 <= len(content):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + 7])
        whole += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(whole)
            whole = b""


def test_an_offline_run_holds_settings_curves_values_and_state(tmp_path):
    need("wandb")
    import wandb

    curve = {step: step / 10 for step in range(1, 6)}
    trial = TrialRecord(
        trial_id="a1b2", status="failed", settings={"lr": 0.1, "opt": "adam", "seed": 3}, records={"acc": curve},
        numbers={"acc": 0.5, "size": 7.0}, tags={"phase": "good"},
    )  # fmt: skip
    WandbWriter("mine", tmp_path / "out").write(trial)
    wandb.teardown()  # its service writes on for a moment after a run has finished
    (path,) = (tmp_path / "out").glob("wandb/offline-run-*/*.wandb")
    found = list(records(path))
    (run,) = [one.run for one in found if one.HasField("run")]
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert (run.run_id, run.project) == ("a1b2", "mine")
    expected = {**trial.settings, "phasemap_phase": "good"}
    assert {name: config[name] for name in expected} == expected
    history = [_items(one.history.item) for one in found if one.HasField("history")]
    assert {row["_step"]: row["acc"] for row in history} == curve
    summary = {}
    for one in found:
        summary |= _items(one.summary.update) if one.HasField("summary") else {}
    assert (summary["acc"], summary["size"]) == (0.5, 7.0)
    (left,) = [one.exit.exit_code for one in found if one.HasField("exit")]
    assert left == 1


def _items(items):
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}
