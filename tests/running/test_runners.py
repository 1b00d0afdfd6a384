"""One contract, run over each runner; then a whole study over each."""

import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from conftest import study_of
from processes import children

import phasemap as pm
from phasemap.diagram.tables import derive
from phasemap.phases.curves import QUANTITIES
from phasemap.planning.packs import plan_packs
from phasemap.results.folder import RunFolder
from phasemap.results.provenance import read_provenance
from phasemap.results.shards import finished_ids, read_shards
from phasemap.running.devices import DeviceChoice
from phasemap.running.driver import run_study
from phasemap.running.local import LocalRunner
from phasemap.running.ray_tune import RayRunner
from phasemap.running.runner import Failed, Finished
from phasemap.running.worker import Workload
from phasemap.study.errors import UserError
from phasemap.study.spec import ResourceSpec
from phasemap.study.trials import expand

TOO_WIDE = 10**9  # its weights alone need hundreds of gigabytes: a failure that is real


@pytest.fixture(scope="module")
def on_ray():
    """One Ray for all tests of this module: what runs while it is there uses it."""
    made = RayRunner(ResourceSpec(), cpus=2)
    yield made
    made.close()


@pytest.fixture(params=["in-process", "ray"])
def runner(request):
    """A runner; that on Ray trains one pack at a time unless a test asks for two, since each worker imports PyTorch."""
    if request.param == "in-process":
        yield LocalRunner()
        return
    on_ray = request.getfixturevalue("on_ray")
    made = on_ray if request.param == "ray, two at a time" else RayRunner(ResourceSpec(max_concurrent=1))
    yield made
    if made is not on_ray:
        made.close()


@pytest.fixture
def workload(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create()
    return Workload(folder=folder, study=study_of(), device="cpu")


def outcomes(runner, packs, workload):
    events = []
    runner.run(packs, workload, events.append)
    finished = [event.report for event in events if isinstance(event, Finished)]
    failed = [event for event in events if isinstance(event, Failed)]
    return finished, failed


def comparable(frame):
    """Leave out what may differ between two executions of the same study."""
    return frame.drop(columns=["train_seconds", "pack_id", "host"]).to_csv(index=False)


@pytest.mark.parametrize("runner", ["in-process", "ray, two at a time"], indirect=True)
def test_every_pack_is_told_once_and_stored(runner, workload):
    packs = plan_packs(expand(study_of()), pack_size=3)
    finished, failed = outcomes(runner, packs, workload)
    assert not failed
    assert sorted(report.pack_id for report in finished) == sorted(pack.pack_id for pack in packs)
    assert finished_ids(workload.folder) == {trial.trial_id for trial in expand(study_of())}
    for report in finished:
        assert (workload.folder.shards / report.shard).exists()
        assert sum(report.phase_counts.values()) == report.n_ok
    assert not list(workload.folder.checkpoints.iterdir())


def test_a_pack_that_is_stored_is_reported_again_and_not_trained(runner, workload):
    packs = plan_packs(expand(study_of()), pack_size=4)
    first, _ = outcomes(runner, packs, workload)
    written = {path: path.stat().st_mtime_ns for path in workload.folder.shards.iterdir()}
    second, failed = outcomes(runner, packs, workload)
    assert not failed
    assert sorted(map(repr, second)) == sorted(map(repr, first))
    assert {path: path.stat().st_mtime_ns for path in workload.folder.shards.iterdir()} == written


def test_a_pack_that_fails_is_told_with_its_error_and_the_others_finish(runner, workload):
    packs = plan_packs(expand(study_of(axes={"width": [16, TOO_WIDE]}, model={}, seeds=1)))
    finished, (failed,) = outcomes(runner, packs, workload)
    assert [report.n_ok for report in finished] == [1]
    assert "allocate" in failed.error


def test_a_run_of_gpus_needs_one(runner):
    assert runner.choose_device(DeviceChoice(wanted="auto")) == ("cuda" if torch.cuda.is_available() else "cpu")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="trained on cuda"):
            runner.choose_device(DeviceChoice(wanted="auto", trained_on=frozenset({"cuda"})))


def test_a_study_ends_with_each_trial_and_names_the_one_that_failed(runner, tmp_path):
    study = study_of(axes={"width": [16, TOO_WIDE]}, model={}, seeds=1)
    folder = RunFolder(tmp_path / study.name)
    outcome = run_study(study, folder, lambda: nullcontext(runner), quiet=True)
    assert outcome.n_trained == 1
    trials = derive(folder).trials.set_index("width")
    assert trials["status"].to_dict() == {16: "ok", TOO_WIDE: "failed"}
    assert outcome.failures == [trials.loc[TOO_WIDE, "trial_id"]]
    assert "allocate" in trials.loc[TOO_WIDE, "error"]
    assert trials.loc[[TOO_WIDE], "phase"].isna().all()
    assert (folder.diagram).exists()


def test_both_runners_give_the_same_trials(finished, on_ray, tmp_path):
    study, folder = finished
    run = pm.run(study, storage=tmp_path, cpus=2, quiet=True)
    assert comparable(run.trials) == comparable(derive(folder).trials)
    (execution,) = [one.content for one in read_provenance(run.folder)]
    assert execution["runner"] == "Ray Tune"
    assert execution["outcome"] == "done"
    assert execution["n_trained"] == 8
    assert execution["core_hours"] == pytest.approx(run.trials["train_seconds"].sum() / 3600, abs=1e-6)


def test_a_user_s_own_callback_counts_the_phases_that_show_counts(on_ray, tmp_path):
    from ray import tune

    class Counting(tune.Callback):
        def __init__(self):
            self.phases, self.packs, self.singles = {}, [], []

        def on_trial_complete(self, iteration, trials, trial, **info):
            for name, n in trial.last_result["phase_counts"].items():
                self.phases[name] = self.phases.get(name, 0) + n
            self.packs.append(trial.last_result["pack_id"])
            self.singles.append({"subphase", *QUANTITIES} <= set(trial.last_result))

    for pack_size, n_packs in ((1, 8), (4, 2)):
        counting = Counting()
        resources = {"pack_size": pack_size, "max_concurrent": 1}
        study = study_of(resources=resources, name=f"callback{pack_size}")
        run = pm.run(study, storage=tmp_path, cpus=2, callbacks=[counting], quiet=True)
        assert counting.phases == run.trials["phase"].value_counts().to_dict()
        assert len(set(counting.packs)) == len(counting.packs) == n_packs
        assert all(counting.singles) == (pack_size == 1)
        assert len(read_shards(run.folder)) == 8


OPEN_PORTS = """
import sys, os
sys.path.insert(0, {tests!r})
from processes import children
from phasemap.running.ray_tune import RayRunner
from phasemap.study.spec import ResourceSpec
import ray
runner = RayRunner(ResourceSpec(), cpus=1)
sockets = set()
for pid in [os.getpid(), *children(os.getpid())]:
    try:
        names = [os.readlink(f"/proc/{{pid}}/fd/{{fd}}") for fd in os.listdir(f"/proc/{{pid}}/fd")]
    except OSError:
        continue
    sockets |= {{name[8:-1] for name in names if name.startswith("socket:[")}}
listening = []
for table in ("tcp", "tcp6"):
    for line in open(f"/proc/net/{{table}}").read().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and fields[9] in sockets:
            listening.append(fields[1].split(":")[0])
runner.close()
print(len(listening), sorted(set(listening)))
print(sorted(os.environ.get(n) or "" for n in ("RAY_AUTH_TOKEN", "RAY_USAGE_STATS_ENABLED")))
"""
LOOPBACK = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}


def test_the_embedded_ray_listens_on_loopback_only_and_leaves_no_trace(tmp_path):
    """Also where Ray was imported before."""
    code = OPEN_PORTS.format(tests=str(Path(__file__).parents[1]))
    ours = ("RAY_", "TUNE_", "OMP_")  # another test's runner may have set them
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environment["HOME"] = str(tmp_path)
    before, pipe = set(children(os.getpid())), subprocess.PIPE
    started = [
        subprocess.Popen([sys.executable, "-c", first + code], stdout=pipe, text=True, env=environment)
        for first in ("", "import ray.tune\n")
    ]
    for process in started:
        out, _ = process.communicate(timeout=120)
        count, _, addresses = out.splitlines()[0].partition(" ")
        assert int(count) >= 4
        assert set(eval(addresses)) <= LOOPBACK
        assert out.splitlines()[1] == "['', '']"
    assert not (tmp_path / ".ray").exists()
    assert set(children(os.getpid())) <= before


def test_a_logger_of_ray_tune_is_refused_before_anything_starts(tmp_path):
    from ray.tune.logger import CSVLoggerCallback, JsonLoggerCallback, TBXLoggerCallback

    for logger, way in (
        (TBXLoggerCallback(), "run --track tensorboard"),
        (CSVLoggerCallback(), "export RUN --table trials"),
        (JsonLoggerCallback(), "export RUN --table trials"),
    ):
        with pytest.raises(UserError, match=f"{type(logger).__name__} logs .*packs.*{way}"):
            pm.run(study_of(name="logged"), storage=tmp_path, callbacks=[logger], quiet=True)
    assert not list(tmp_path.iterdir())
