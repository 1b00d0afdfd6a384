"""Replaying a trial: the same curve to the bit, whatever pack it was trained in; clear words where there is none."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from conftest import run_in_process, study_of

import phasemap as pm
from phasemap.cli import cli
from phasemap.planning.packs import make_pack
from phasemap.results.folder import RunFolder
from phasemap.results.provenance import Execution
from phasemap.results.shards import read_shards
from phasemap.running.replay import _differences
from phasemap.running.worker import Workload, store_failure
from phasemap.study.trials import expand


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of the finished run that a test may change."""
    shutil.copytree(finished[1].path, tmp_path / "small")
    return RunFolder(tmp_path / "small")


def call(folder, trial_id, *options):
    return CliRunner().invoke(cli, ["replay", str(folder.path), trial_id, *options])


def test_every_trial_of_a_pack_is_met_to_the_bit_when_it_is_trained_alone(finished):
    run = pm.open_run(finished[1].path)
    for trial_id in run.trials["trial_id"]:
        assert run.replay(trial_id, quiet=True).comparison.verdict == "bit"


def test_the_command_takes_the_first_digits_and_ends_with_0(finished):
    trial_id = pm.open_run(finished[1].path).trials["trial_id"][3]
    done = call(finished[1], trial_id[:6])
    assert done.exit_code == 0
    assert f"trial {trial_id} (seed 1): identical to the stored curve, bit for bit" in done.stdout
    content = json.loads(call(finished[1], trial_id, "--json").stdout)
    assert content["verdict"] == "bit"
    assert content["stored"] == content["replayed"]
    assert content["quantities"]["train_loss"] == {
        "equal": True,
        "largest": 0.0,
        "at_step": None,
        "relative_early": 0.0,
    }


def rewrite(folder, name, change):
    """Change a list column of all stored rows."""
    for path in folder.shards.glob("*.parquet"):
        table = pq.read_table(path)
        values = [[change(value) for value in curve] for curve in table[f"curve.{name}"].to_pylist()]
        place = table.schema.get_field_index(f"curve.{name}")
        pq.write_table(
            table.set_column(place, table.schema.field(place), pa.array(values, pa.list_(pa.float64()))), path
        )


def test_a_curve_that_is_not_met_ends_with_1_and_names_the_quantity(copy):
    trial_id = read_shards(copy)["trial_id"][0].as_py()
    rewrite(copy, "train_loss", lambda value: value * (1 + 1e-6))
    close = call(copy, trial_id)
    assert close.exit_code == 0
    assert (
        "equal to the stored curve within tolerance (relative 0.001 over the first 50 steps, and the same phase)"
        in close.stdout
    )
    rewrite(copy, "train_loss", lambda value: value * 1.5)
    done = call(copy, trial_id)
    assert done.exit_code == 1
    assert "NOT equal to the stored curve" in done.stdout
    assert "train_loss           largest deviation" in done.stdout
    assert "test_loss" not in done.stdout
    assert json.loads(call(copy, trial_id, "--json").stdout)["quantities"]["train_loss"]["relative_early"] > 0.3


def test_a_diverged_trial_diverges_again_after_the_same_record(tmp_path):
    study = study_of(
        name="wild", axes={"learning_rate": [0.01, 1e6]}, training={"optimizer": "sgd", "steps": 60}, seeds=1
    )
    folder = run_in_process(study, tmp_path)
    trials = pm.open_run(folder.path).trials.set_index("learning_rate")
    assert trials.loc[1e6, "status"] == "diverged"
    done = call(folder, trials.loc[1e6, "trial_id"])
    assert done.exit_code == 0
    assert "identical to the stored curve, bit for bit" in done.stdout
    assert "stored: diverged " in done.stdout


def test_ids_that_can_not_be_replayed_end_with_2_and_say_why(copy):
    unknown, short = call(copy, "0123456789abcdef"), call(copy, "0123")
    assert (unknown.exit_code, short.exit_code) == (2, 2)
    assert "is not a trial of small" in unknown.stderr
    assert "too short" in short.stderr
    failed, missing = list(expand(pm.open_run(copy.path).study))[:2]
    for path in copy.shards.glob("*.parquet"):
        table = pq.read_table(path)
        gone = pa.array([i in (failed.trial_id, missing.trial_id) for i in table["trial_id"].to_pylist()])
        pq.write_table(table.filter(pa.compute.invert(gone)), path)
    work = Workload(folder=copy, study=pm.open_run(copy.path).study, device="cpu")
    store_failure(make_pack([failed]), "MemoryError: too large", work)
    lost, absent = call(copy, failed.trial_id), call(copy, missing.trial_id)
    assert (lost.exit_code, absent.exit_code) == (2, 2)
    assert "failed (MemoryError: too large): there is no curve to compare with" in lost.stderr
    assert "is not trained yet" in absent.stderr


def test_a_trial_of_another_device_is_judged_on_this_one_and_it_says_so(copy):
    for path in copy.shards.glob("*.parquet"):
        table = pq.read_table(path)
        place = table.schema.get_field_index("device")
        pq.write_table(table.set_column(place, "device", pa.array(["cuda"] * len(table), pa.string())), path)
    trial_id = read_shards(copy)["trial_id"][0].as_py()
    done = call(copy, trial_id, "--json")
    content = json.loads(done.stdout)
    assert content["stored"]["device"] == "cuda"
    if content["replayed"]["device"] == "cpu":
        assert content["differences"][0] == "trained on cuda, replayed on cpu: equal bits can't be expected"


def test_other_libraries_and_machines_are_named():
    now = {"versions": {"torch": "2.1", "numpy": "2"}, "processor": "B", "platform": "Linux", "host": "here"}
    then = {
        "n_trained": 3,
        "versions": {"torch": "1.9", "numpy": "2"},
        "processor": "A",
        "platform": "Linux",
        "host": "here",
    }
    idle = {"n_trained": 0, "versions": {"torch": "0.1"}, "processor": "C"}
    executions = [Execution(then), Execution(idle)]
    assert _differences(executions, now) == [
        "trained with torch 1.9, replayed with 2.1",
        "trained on the processor A, replayed on B",
    ]
    assert _differences([Execution({**then, **now})], now) == []
