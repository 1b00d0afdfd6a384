"""Runs that are trained on to a longer horizon: the same as one long run, and nothing is trained twice."""

import io
import json
import shutil
from functools import partial

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner
from conftest import CPU, run_in_process, slow, study_of

import phasemap as pm
from phasemap.cli import cli
from phasemap.results.folder import RunFolder
from phasemap.results.shards import read_shards
from phasemap.study.file import load_resolved
from phasemap.study.names import FUSED_KERNEL
from phasemap.study.trials import expand
from phasemap.training.kernel import make_kernel
from phasemap.training.population import train_pack
from phasemap.training.recording import Hooks, record_steps
from phasemap.training.states import missing_steps, read_start

STATE = ["state"]
EVERYTHING = ["state", "norms", "ipr", "neurons", "pruning", "logits", "extracted", "weights"]
KINDS = {
    "dropout": {"fixed": {"data_fraction": 0.6, "dropout": 0.2}, "record": ["state", "norms"]},
    "transformer": {"model": {"kind": "transformer", "width": 8, "heads": 2}, "record": ["state", "ipr"]},
    "features": {"task": {"kind": "images"}, "model": {"width": 8}, "fixed": {"data_fraction": 0.1}},
    "general": {"model": {"width": 8, "depth": 3, "norm": "batch"}},
    "interventions": {"model": {"width": 8}, "interventions": {"repair": 0.5, "repair_at": 40}},
    "schedule": {"model": {"width": 8}, "schedule": {"weight_decay": "33: 0.5"}},
    "muon": {"model": {"width": 8}, "training": {"optimizer": "muon", "gradient": "grokfast"}},
    "minibatches": {"model": {"width": 8}, "training": {"batch_size": 8, "optimizer": "sgd", "learning_rate": 0.05}},
}


def run(root, name, steps, **replaced):
    """Run a small study in this process and return it."""
    training = {"steps": steps, **replaced.pop("training", {})}
    study = study_of(name=name, **{"record": STATE, **replaced, "training": training})
    return pm.Run(run_in_process(study, root))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The runs that most tests extend or compare with, trained once."""
    root = tmp_path_factory.mktemp("made")
    return run(root, "short", 60), run(root, "whole", 240)


@pytest.fixture
def short(made, tmp_path):
    """A finished run of 60 steps that a test may change."""
    return pm.open_run(shutil.copytree(made[0].path, tmp_path / "short"))


def extended(done, steps):
    return pm.extend(done, steps, in_process=True, quiet=True)


def invoke(*arguments):
    return CliRunner().invoke(cli, [*map(str, arguments)])


def table(done, name):
    """Read a derived table without what differs between two runs of the same trials."""
    frame = pq.read_table(done.path / f"{name}.parquet").to_pandas()
    frame = frame.drop(columns=["train_seconds", "host", "pack_id"], errors="ignore")
    keys = [key for key in ("trial_id", "record", "step", "series", "index") if key in frame]
    return frame.sort_values(keys).reset_index(drop=True)


def assert_same(done, whole, *names):
    for name in ("trials", "curves", "points", *names):
        found, expected = (table(one, name) for one in (done, whole))
        if name == "points":
            found, expected = (pq.read_table(one.path / "points.parquet").to_pandas() for one in (done, whole))
        pd.testing.assert_frame_equal(found, expected, check_exact=True)


@pytest.mark.parametrize(
    "kind", ["dropout", "transformer", *slow("kernels", *sorted(KINDS.keys() - {"dropout", "transformer"}))]
)
def test_a_training_that_goes_on_is_one_long_training_to_the_bit(tmp_path, kind):
    content = {"record": STATE, **KINDS[kind]}
    training = content.pop("training", {})
    former, trials = (list(expand(study_of(**content, training={"steps": n, **training}))) for n in (60, 240))
    train = partial(train_pack, device=CPU, record=content["record"])
    starts = []
    for before, trial, result in zip(former, trials, train(former), strict=True):
        path = tmp_path / trial.trial_id
        path.write_bytes(result.state)
        starts.append(read_start(path, before, trial, content["record"]))
    mixed = [*range(1, len(trials)), 0]  # which makes other groups of the same networks
    found = train([trials[i] for i in mixed], starts=[starts[i] for i in mixed])
    whole = train([trials[i] for i in mixed])
    for one, other in zip(found, whole, strict=True):
        assert str(one.curves) == str(other.curves)  # with nan
        assert one.steps == other.steps
        assert one.finals == pytest.approx(other.finals, nan_ok=True, abs=0)
        assert [(r.record, r.step) for r in one.inside] == [(r.record, r.step) for r in other.inside]
        assert [str(r.columns) for r in one.inside] == [str(r.columns) for r in other.inside]
        kept, expected = (torch.load(io.BytesIO(result.state), weights_only=True) for result in (one, other))
        assert torch.equal(kept["network"]["weights"], expected["network"]["weights"])
        assert str(kept) == str(expected)


def test_an_extended_run_is_one_long_run_to_the_bit(tmp_path):
    content = {"record": EVERYTHING, "seeds": 1}
    short = run(tmp_path, "short", 60, **content)
    kept = {path.name: path.read_bytes() for path in (short.path / "shards").iterdir()}
    done = extended(short, 240)
    whole = run(tmp_path, "whole", 240, **content)
    assert_same(done, whole, "neurons")
    assert done.study.training.steps == 240
    now = {path.name: path.read_bytes() for path in (short.path / "shards").iterdir()}
    assert kept.items() <= now.items()
    for trial in expand(whole.study):
        one, other = (torch.load(one.folder.state_file(trial.trial_id), weights_only=True) for one in (done, whole))
        assert torch.equal(one["network"]["weights"], other["network"]["weights"])
        assert str(one["recorder"]) == str(other["recorder"])  # with nan


def test_an_extension_takes_only_the_steps_that_are_missing(tmp_path, monkeypatch):
    from phasemap.training.grouped import GroupedKernel

    taken, advance = [], GroupedKernel.advance
    monkeypatch.setattr(GroupedKernel, "advance", lambda *given: (taken.append(given[3] - given[2]), advance(*given)))
    short = run(tmp_path, "short", 60)
    assert sum(taken) == 60
    done = extended(short, 240)
    assert sum(taken) == 240
    again = extended(done, 500)
    assert sum(taken) == 500
    assert again.study.training.steps == 500
    assert extended(again, 500).study == again.study
    assert sum(taken) == 500


def test_labels_at_the_former_horizon_are_those_of_the_former_trials(short):
    before, points = short.trials, short.points
    done = extended(short, 240)
    assert set(done.trials["horizon"]) == {240}
    then = pm.relabel(done, at_step=60)
    for name in ("subphase", "settled", "test_accuracy", "test_loss", "horizon", "grokking_step"):
        assert then.trials[name].tolist() == pytest.approx(before[name].tolist(), nan_ok=True), name
    assert then.trials["trial_id"].tolist() == done.trials["trial_id"].tolist()
    assert set(then.trials["steps"]) == {240}
    assert then.points["subphase"].tolist() == points["subphase"].tolist()
    assert then.points["test_loss"].tolist() == points["test_loss"].tolist()
    former = read_shards(done.folder, ["trial_id", "step"]).to_pandas().set_index("trial_id").loc[before["trial_id"]]
    assert {tuple(steps) for steps in former["step"]} == {record_steps(60)}


def test_labels_at_the_former_horizon_see_its_whole_window(tmp_path):
    """The longer curve has one record in the shorter one's last tenth, the shorter one five."""
    short = run(tmp_path, "short", 100)
    rule = tmp_path / "rule.yaml"
    rule.write_text("labels:\n  spread: max(test_loss) > 0 and test_loss > last(test_loss)\n  level: otherwise\n")
    before = pm.relabel(short, str(rule)).trials["subphase"].tolist()
    done = extended(short, 400)
    assert pm.relabel(done, str(rule), at_step=100).trials["subphase"].tolist() == before
    assert extended(pm.open_run(done.path), 400).study.phases.at_step is None


def test_a_diverged_trial_stays_as_it_is_or_is_trained_from_its_start(tmp_path):
    content = {"axes": {"learning_rate": [0.01, 1e18]}, "seeds": 1}
    short = run(tmp_path, "short", 60, **content)
    assert sorted(short.trials["status"]) == ["diverged", "ok"]
    done = extended(short, 240)
    assert_same(done, run(tmp_path, "whole", 240, **content))


def test_missing_steps_are_those_of_a_window_that_begins_before_the_former_horizon():
    assert missing_steps(1000, 4000) == []
    assert missing_steps(1000, 1112) == []
    assert missing_steps(1000, 1050) == [945, 972, 998]
    assert missing_steps(100, 400, ["ipr", "norms"]) == []
    for horizon in range(20, 200):
        for longer in range(horizon + 1, 260, 7):
            expected = {step for step in record_steps(longer) if step <= horizon} - set(record_steps(horizon))
            assert missing_steps(horizon, longer) == sorted(expected)
            assert 0.9 * longer < horizon or not expected


@pytest.mark.parametrize("lost", ["file", "damaged", "kernel"])
def test_a_trial_whose_end_is_not_kept_is_trained_from_its_start(made, short, lost):
    path = next(iter(sorted((short.path / "states").iterdir())))
    if lost == "file":
        path.unlink()
    elif lost == "damaged":
        path.write_bytes(path.read_bytes()[:100])
    else:
        torch.save(torch.load(path, weights_only=True) | {"kernel": "another"}, path)
    assert_same(extended(short, 240), made[1])


def test_a_kept_end_of_other_records_is_no_start(short):
    trial = next(expand(short.study))
    longer = next(expand(study_of(name="long", training={"steps": 240})))
    path = short.folder.state_file(trial.trial_id)
    assert read_start(path, trial, longer, STATE).step == 60
    assert read_start(path, trial, longer, ["state", "norms"]) is None
    assert read_start(path, longer, longer, STATE) is None
    near = next(expand(study_of(name="near", training={"steps": 61})))
    assert read_start(path, trial, near, STATE) is None


def test_an_extension_that_was_interrupted_is_completed(made, tmp_path, monkeypatch):
    from phasemap.running import driver

    short = run(tmp_path, "short", 60, resources={"pack_size": 2})
    stored = driver._Run._take
    seen = []

    def interrupted(self, event, *rest):
        stored(self, event, *rest)
        seen.append(event)
        if sum(isinstance(one, driver.Finished) for one in seen) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(driver._Run, "_take", interrupted)
    with pytest.raises(KeyboardInterrupt):
        extended(short, 240)
    monkeypatch.undo()
    stamps = {path.name: path.stat().st_mtime_ns for path in (short.path / "shards").iterdir()}
    assert len(stamps) == 6
    told = invoke("extend", short.path, "--steps", 240, "--in-process", "--json")
    assert told.exit_code == 0, told.output
    assert {path.name: path.stat().st_mtime_ns for path in (short.path / "shards").iterdir()}.items() >= stamps.items()
    assert_same(pm.open_run(short.path), made[1])


def test_a_training_that_goes_on_is_checkpointed_like_any_other(short):
    """Killed in the middle of an extension, a pack goes on from its checkpoint and ends the same."""
    former = list(expand(short.study))
    trials = list(expand(study_of(name="long", training={"steps": 240})))
    starts = [
        read_start(short.folder.state_file(before.trial_id), before, trial, STATE)
        for before, trial in zip(former, trials, strict=True)
    ]
    kept, kernel = [], partial(make_kernel, fused=starts[0].kernel == FUSED_KERNEL)
    train = partial(train_pack, trials, device=CPU, record=STATE, kernel=kernel)
    expected = train(hooks=Hooks(save=kept.append, save_seconds=0), starts=starts)
    for saved in (kept[0], kept[len(kept) // 2]):
        found = train(hooks=Hooks(saved=saved), starts=starts)
        assert [str(one.curves) for one in found] == [str(one.curves) for one in expected]


def test_the_kept_ends_are_told_by_the_plan(short, tmp_path):
    path = short.path / "study.yaml"
    told = invoke("plan", path, "--storage", tmp_path / "elsewhere", "--json")
    content = json.loads(told.stdout)
    measured = sum(file.stat().st_size for file in (short.path / "states").iterdir())
    assert measured == pytest.approx(content["state_bytes"], rel=0.3)
    assert "end states" in invoke("plan", path, "--storage", tmp_path / "elsewhere").output


WRONG = [
    ({"record": []}, 240, "its record has no state"),
    ({}, 40, "not more than the 60 steps"),
    ({}, 60, "not more than the 60 steps"),
    ({}, 10**20, "--steps 100000000000000000000 is not allowed; allowed: at most 1e+15"),
    ({}, 61, "such a training has records at step 58, which the run of 60 steps lacks; allowed: 65 or more"),
    ({"axes": {"steps": [20, 60], "weight_decay": [0, 2]}, "training": {}}, 240, "steps is an axis"),
    ({"search": {"kind": "random", "budget": 4}}, 240, "depends on the horizon"),
    ({"schedule": {"learning_rate": "cosine"}}, 240, "a cosine schedule depends on the number of steps"),
]


@pytest.mark.parametrize(("content", "steps", "message"), WRONG)
def test_what_can_t_be_extended_is_told_and_nothing_is_done(tmp_path, content, steps, message):
    training = {"steps": 60} if "training" not in content else {}
    study = study_of(name="short", **{"record": STATE, "training": training, **content})
    done = pm.Run(run_in_process(study, tmp_path))
    before = {path: path.stat().st_mtime_ns for path in done.path.rglob("*") if path.is_file()}
    told = invoke("extend", done.path, "--steps", steps, "--in-process")
    assert told.exit_code == 2, told.output
    assert message in told.output
    assert {path: path.stat().st_mtime_ns for path in done.path.rglob("*") if path.is_file()} == before


def test_a_changed_number_of_steps_in_the_study_is_refused_with_the_way_out(short, tmp_path):
    study = study_of(name="short", record=STATE, training={"steps": 240})
    with pytest.raises(pm.UserError, match=r"training.steps: was 60, is now 240; allowed: phasemap extend"):
        run_in_process(study, tmp_path)


def test_records_and_weights_of_an_extended_run_are_its_own(tmp_path):
    short = run(tmp_path, "short", 60, record=["state", "weights"])
    done = extended(short, 240)
    trial_id = done.trials["trial_id"][0]
    network = pm.load_network(done, trial_id)
    assert np.array_equal(network.W.detach().numpy(), np.load(done.folder.weights_file(trial_id))["W"])
    assert done.replay(trial_id, quiet=True).comparison.verdict == "bit"
    assert load_resolved(RunFolder(done.path).study).training.steps == 240
