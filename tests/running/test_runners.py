"""One contract, run over each runner; then a whole study over each."""

import importlib
import os
from collections import Counter

import pytest
import ray
import torch
from conftest import slow, study_of
from libraries import need
from processes import LOOPBACK, children, listening, wait_for
from ray import tune

import phasemap as pm
from phasemap.diagram.tables import derive
from phasemap.planning.packs import plan_packs
from phasemap.results.folder import RunFolder
from phasemap.results.provenance import read_provenance
from phasemap.results.shards import finished_ids
from phasemap.running.devices import DeviceChoice
from phasemap.running.driver import RunOptions, run_study
from phasemap.running.ray_tune import RayRunner
from phasemap.running.runner import Failed, Finished, LocalRunner
from phasemap.running.worker import Workload
from phasemap.study.errors import UserError
from phasemap.study.names import QUANTITIES
from phasemap.study.spec import ResourceSpec
from phasemap.study.trials import expand

TOO_WIDE = 10**9  # its weights alone need hundreds of gigabytes: a failure that is real


class Counting(tune.Callback):
    """A user's own callback: counts what it is told of packs."""

    def __init__(self):
        self.phases, self.packs, self.singles = Counter(), [], []

    def on_trial_complete(self, iteration, trials, trial, **info):
        self.phases.update(trial.last_result["phase_counts"])
        self.packs.append(trial.last_result["pack_id"])
        self.singles.append({"subphase", *QUANTITIES} <= set(trial.last_result))


def answers():
    """Have a task done by the Ray that is there."""
    return ray.get(ray.remote(lambda: 1).remote()) == 1


@pytest.fixture(scope="module")
def on_ray(tmp_path_factory):
    """The second Ray of this process, for all tests of this module: what runs meanwhile uses it."""
    before, home = (environment(), set(rays())), tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))  # where Ray would look for a token, or leave one
        first = RayRunner(ResourceSpec(), cpus=1)
        assert answers()
        token = os.environ["RAY_AUTH_TOKEN"]
        first.close()
        assert environment() == before[0]
        made = RayRunner(ResourceSpec(), cpus=2, callbacks=[Counting()])
        made.first_token, made.home = token, home
    yield made
    made.close()
    assert environment() == before[0]
    try:
        wait_for(lambda: set(rays()) <= before[1], 60)
    except TimeoutError:
        assert [command for pid, command in rays().items() if pid not in before[1]] == []


def rays():
    """Return Ray's processes among those that this one started."""
    return {pid: command for pid, command in children(os.getpid()).items() if "ray" in command}


def environment():
    names = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_USAGE_STATS_ENABLED", "OMP_NUM_THREADS")
    return [os.environ.get(name) for name in names]


@pytest.fixture(params=["in-process", "ray"])
def runner(request):
    """A runner; that on Ray trains two packs at a time."""
    return LocalRunner() if request.param == "in-process" else request.getfixturevalue("on_ray")


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


@pytest.mark.parametrize(
    "runner", ["in-process", pytest.param("ray", marks=pytest.mark.slow(group="chaos"))], indirect=True
)
def test_packs_are_stored_and_told_once_and_a_failure_with_its_error_also_when_they_are_given_again(runner, workload):
    trials = list(expand(study_of(axes={"corruption": [0, 0.3], "width": [16, TOO_WIDE]}, model={})))
    packs = sorted(plan_packs(trials, pack_size=3), key=lambda pack: pack.trials[0].width)
    good = [pack for pack in packs if pack.trials[0].width == 16]
    packs = [*good, packs[-1]]  # one that fails is enough
    assert len(good) == 2
    first, (failed,) = outcomes(runner, packs, workload)
    assert (failed.pack_id, "allocate" in failed.error) == (packs[-1].pack_id, True)
    assert sorted(report.pack_id for report in first) == sorted(pack.pack_id for pack in good)
    assert finished_ids(workload.folder) == {trial.trial_id for pack in good for trial in pack.trials}
    written = {path: path.stat().st_mtime_ns for path in workload.folder.shards.iterdir()}
    assert {path.name for path in written} == {report.shard for report in first}
    for report in first:
        assert sum(report.phase_counts.values()) == report.n_ok == len(trials) // 4
    assert not list(workload.folder.checkpoints.iterdir())
    again = packs if isinstance(runner, LocalRunner) else good  # each attempt that fails on Ray takes a new worker
    second, failures = outcomes(runner, again, workload)  # what is stored is told again, and not trained
    assert [failed.pack_id for failed in failures] == [pack.pack_id for pack in again[len(good) :]]
    assert sorted(map(repr, second)) == sorted(map(repr, first))
    assert {path: path.stat().st_mtime_ns for path in workload.folder.shards.iterdir()} == written
    if isinstance(runner, RayRunner):
        (told,) = runner.callbacks
        assert sorted(told.packs) == sorted(2 * [pack.pack_id for pack in good])
        assert not any(told.singles)


def test_a_run_of_gpus_needs_one(runner):
    assert runner.choose_device(DeviceChoice(wanted="auto")) == ("cuda" if torch.cuda.is_available() else "cpu")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="trained on cuda"):
            runner.choose_device(DeviceChoice(wanted="auto", trained_on=frozenset({"cuda"})))


@pytest.mark.parametrize("widths", [(16, 24), *slow("chaos", ([16, 24, TOO_WIDE],))])
def test_both_runners_end_a_study_with_the_same_trials_and_name_the_one_that_failed(on_ray, tmp_path, widths):
    axes = {"width": list(widths)}
    study = study_of(axes=axes, model={}, seeds=1, resources={"pack_size": 1, "max_concurrent": 1})
    folder, counting = RunFolder(tmp_path / study.name), Counting()
    outcome = run_study(study, folder, LocalRunner, RunOptions(quiet=True))
    run = pm.run(study, storage=tmp_path / "ray", cpus=2, callbacks=[counting], quiet=True)
    assert outcome.n_trained == 2
    trials = derive(folder).trials
    assert comparable(run.trials) == comparable(trials)
    trials = trials.set_index("width")
    wide = [width for width in widths if width == TOO_WIDE]  # on Ray each attempt that fails takes a new worker
    assert trials["status"].to_dict() == {16: "ok", 24: "ok", **dict.fromkeys(wide, "failed")}
    assert outcome.failures == list(trials.loc[wide, "trial_id"])
    assert trials.loc[wide, "error"].str.contains("allocate").all()
    assert trials.loc[wide, "phase"].isna().all()
    assert folder.diagram.exists()
    (execution,) = [one.content for one in read_provenance(run.folder)]
    assert execution["runner"] == "Ray Tune"
    assert execution["outcome"] == "done"
    assert execution["n_trained"] == 2
    assert execution["core_hours"] == pytest.approx(run.trials["train_seconds"].sum() / 3600, abs=1e-6)
    assert counting.phases == run.trials["phase"].value_counts().to_dict()
    assert len(set(counting.packs)) == len(counting.packs) == 2
    assert all(counting.singles)  # of a pack of one trial all of its quantities


def test_the_embedded_ray_listens_on_loopback_only(on_ray):
    """Also where Ray was imported before; where it was not, see test_kill.py."""
    addresses = listening(os.getpid())
    assert len(addresses) >= 4
    assert set(addresses) <= LOOPBACK


def test_a_logger_of_ray_tune_is_refused_before_anything_starts(tmp_path):
    from ray.tune.logger import CSVLoggerCallback, JsonLoggerCallback, TBXLoggerCallback

    for logger, way in (
        (TBXLoggerCallback(), "run --track tensorboard"),
        (CSVLoggerCallback(), "export RUN --table trials"),
        (JsonLoggerCallback(), "export RUN --table trials"),
    ):
        assert_refused(logger, way, tmp_path)


@pytest.mark.parametrize(("library", "name"), [("mlflow", "MLflow"), ("wandb", "Wandb")])
def test_a_tracker_s_logger_is_refused_before_anything_starts(tmp_path, library, name):
    need(library)
    module = importlib.import_module(f"ray.air.integrations.{library}")
    assert_refused(getattr(module, f"{name}LoggerCallback")(), f"run --track {library}", tmp_path)


def assert_refused(logger, way, folder):
    with pytest.raises(UserError, match=f"{type(logger).__name__} logs .*packs.*{way}"):
        pm.run(study_of(name="logged"), storage=folder, callbacks=[logger], quiet=True)
    assert not list(folder.iterdir())


def test_embedded_rays_in_one_process_have_each_a_token_of_their_own_and_none_is_left(on_ray):
    assert answers()
    assert os.environ["RAY_AUTH_TOKEN"] != on_ray.first_token
    assert list(on_ray.home.iterdir()) == []
