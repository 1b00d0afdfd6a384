"""One kernel a run: the first decides, a machine without numba goes on in plain words, and the tables name each."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import run_in_process, study_of

import phasemap as pm
from phasemap.planning.kernels import choose_kernel, mixture
from phasemap.planning.packs import make_pack
from phasemap.results.folder import RunFolder
from phasemap.results.shards import read_shards
from phasemap.running.replay import replay_trial
from phasemap.running.worker import Workload, store_failure
from phasemap.study.trials import expand
from phasemap.study.writing import dump_study

NOTICE = "the run was started with the fused kernel, which needs numba"


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of the finished run, which the fused kernel trained, that a test may change."""
    shutil.copytree(finished[1].path, tmp_path / "small")
    return RunFolder(tmp_path / "small")


WITHOUT_NUMBA = r"""
import sys
from pathlib import Path
import phasemap as pm
from phasemap.cli import main
from phasemap.planning.packs import make_pack
from phasemap.results.folder import RunFolder
from phasemap.results.shards import read_shards
from phasemap.running.worker import Workload, train_and_store
from phasemap.study.trials import expand

place, run = Path(sys.argv[1]), pm.open_run(sys.argv[2])
for study in ("wider", "begun"):
    sys.argv = ["phasemap", "run", f"{study}.yaml", "--storage", str(place / study), "--in-process"]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, ended
    print("---", file=sys.stderr)

folder = RunFolder(place / "at_work")
folder.create()
trials = list(expand(run.study))[:2]
workload = Workload(folder=folder, study=run.study, device="cpu", fused=True)
train_and_store(make_pack(trials), workload, lambda share: None)
print("---", *read_shards(folder, ["kernel"])["kernel"].to_pylist())
replayed = run.replay(trials[0].trial_id, quiet=True)
print(replayed.comparison.verdict, *replayed.kernels)
print(*replayed.differences, sep="\n")
"""


@pytest.fixture(scope="module")
def without_numba(finished, tmp_path_factory):
    """A folder, and what a process said that could not import numba: of a wider run, of a new one, and of a worker."""
    place = tmp_path_factory.mktemp("without")
    (place / "blocked").mkdir()
    (place / "blocked" / "numba.py").write_text("raise ImportError('Numba needs another NumPy')")
    path = os.pathsep.join([str(place / "blocked"), str(Path(pm.__file__).parents[1])])
    shutil.copytree(finished[1].path, place / "wider" / "small")
    for name, seeds in (("wider", 3), ("begun", 1)):
        (place / f"{name}.yaml").write_text(dump_study(study_of(seeds=seeds)))
    command = [sys.executable, "-c", WITHOUT_NUMBA, str(place), str(finished[1].path)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    wider, begun, _ = done.stderr.split("---\n")
    return place, wider, begun, done.stdout.rpartition("--- ")[2]


def kernels(folder):
    """Return by seed which kernels trained its trials."""
    found = {}
    for row in pq.read_table(folder.trials, columns=["seed", "kernel"]).to_pylist():
        found.setdefault(row["seed"], set()).add(row["kernel"])
    return found


def forget_kernels(folder):
    """Make the shards what releases wrote that stored no kernel."""
    for path in folder.shards.glob("*.parquet"):
        table = pq.read_table(path)
        pq.write_table(table.drop_columns(["kernel"]), path)


def test_a_new_run_is_fused_and_its_tables_say_so(finished):
    folder = finished[1]
    assert choose_kernel(None).fused
    assert set(read_shards(folder, ["kernel"])["kernel"].to_pylist()) == {"explicit_fused"}
    assert kernels(folder) == {0: {"explicit_fused"}, 1: {"explicit_fused"}}
    assert choose_kernel(folder).fused


def test_a_run_of_a_release_that_stored_no_kernel_goes_on_with_the_plain_one(copy):
    forget_kernels(copy)
    assert read_shards(copy, ["kernel"])["kernel"].null_count == 8
    assert run_in_process(study_of(seeds=3), copy.path.parent).path == copy.path
    assert kernels(copy) == {0: {None}, 1: {None}, 2: {"explicit"}}
    assert mixture(pm.open_run(copy.path).trials) is None
    assert run_in_process(study_of(seeds=4), copy.path.parent).path == copy.path
    assert kernels(copy)[3] == {"explicit"}


def test_a_fused_run_goes_on_without_numba_and_says_so(without_numba):
    place, told, *_ = without_numba
    folder = RunFolder(place / "wider" / "small")
    assert sum(NOTICE in line for line in told.splitlines()) == 1
    assert "the fused one 8 trials, the plain one 4" in told
    assert kernels(folder) == {0: {"explicit_fused"}, 1: {"explicit_fused"}, 2: {"explicit"}}
    assert NOTICE in folder.log.read_text()
    run_in_process(study_of(seeds=4), place / "wider")
    assert kernels(folder)[3] == {"explicit_fused"}


def test_a_run_begun_without_numba_stays_plain_where_it_is(without_numba):
    place, _, told, _ = without_numba
    assert "kernel" not in told
    folder = run_in_process(study_of(), place / "begun")
    assert kernels(folder) == {0: {"explicit"}, 1: {"explicit"}}
    done = pm.open_run(folder.path).replay(pm.open_run(folder.path).trials["trial_id"][0], quiet=True)
    assert (done.comparison.verdict, done.kernels) == ("bit", ("explicit", "explicit"))


def test_a_worker_and_a_replay_without_numba_use_the_plain_kernel_and_say_so(without_numba):
    shard, replayed, difference, *_ = without_numba[3].splitlines()
    assert shard == "explicit explicit"
    assert replayed in ("bit explicit_fused explicit", "tolerance explicit_fused explicit")
    assert difference == "trained by the kernel explicit_fused, replayed by explicit: equal bits can't be expected"


def test_trials_that_failed_decide_nothing(tmp_path):
    study = study_of()
    folder = RunFolder(tmp_path / "small")
    folder.create()
    pack = make_pack(list(expand(study))[:1])
    store_failure(pack, "MemoryError", Workload(folder=folder, study=study, device="cpu"))
    assert read_shards(folder, ["kernel"])["kernel"].to_pylist() == [None]
    assert choose_kernel(folder).fused


def test_networks_of_other_kinds_name_their_kernels(tmp_path):
    model = {"kind": "transformer", "width": 8, "heads": 2, "depth": 1}
    study = study_of(name="attentive", model=model, training={"steps": 5}, seeds=1)
    assert kernels(run_in_process(study, tmp_path)) == {0: {"explicit_transformer"}}
    study = study_of(name="deep", model={"depth": 3, "width": 8}, training={"steps": 5}, seeds=1)
    folder = run_in_process(study, tmp_path)
    assert kernels(folder) == {0: {"functional"}}
    assert replay_trial(folder, study, next(iter(expand(study))).trial_id, quiet=True).differences == ()
