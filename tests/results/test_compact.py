"""Many small shards become one file with the same trials, whatever moment the process is killed at."""

import dataclasses
import os
import shutil
import signal
import time

import forks
import pyarrow.parquet as pq
import pytest
from conftest import CPU, run_in_process, study_of, trial_of
from test_merge import failed

from phasemap.diagram.tables import derive
from phasemap.results.compact import compact, remove_unchanged
from phasemap.results.curves import read_curves
from phasemap.results.folder import RunFolder
from phasemap.results.inside import read_inside
from phasemap.results.merge import merge_rows
from phasemap.results.shards import failed_ids, finished_ids, read_shards, shard_files, shard_stamp, write_shard
from phasemap.running.driver import RunOptions, run_study
from phasemap.running.runner import LocalRunner
from phasemap.training.population import train_pack

N = 60
TRIALS = [trial_of(trial_id=f"t{i:02d}", seed=i, steps=20) for i in range(N)]


@pytest.fixture(scope="module")
def results():
    return train_pack(TRIALS, device=CPU)


@pytest.fixture(scope="module")
def written(results, tmp_path_factory):
    """A run of sixty packs, one of which failed before it was trained, and one of which failed for good."""
    made = RunFolder(tmp_path_factory.mktemp("written") / "run")
    made.create()
    for number, result in enumerate(results):
        write_shard(made, f"{number:016x}", [result])
    write_shard(made, "f" * 16, [failed(TRIALS[0]), failed(trial_of(trial_id="bad"))])
    return made


@pytest.fixture
def folder(written, tmp_path):
    """A copy of that run, to be changed."""
    return RunFolder(shutil.copytree(written.path, tmp_path / "run"))


def merged(folder):
    return str(merge_rows(read_shards(folder)).to_pylist())


def test_the_whole_file_holds_the_same_trials(folder):
    before = (merged(folder), finished_ids(folder), failed_ids(folder))
    curves = read_curves(folder, [trial.trial_id for trial in TRIALS])
    assert compact(folder) == N + 1
    (whole,) = shard_files(folder)
    assert (merged(folder), finished_ids(folder), failed_ids(folder)) == before
    assert (
        read_curves(folder, [trial.trial_id for trial in TRIALS]).sort_by("trial_id").equals(curves.sort_by("trial_id"))
    )
    assert pq.read_metadata(whole).num_rows == N + 1
    assert compact(folder) == 0


def test_few_shards_are_left(folder):
    for path in shard_files(folder)[10:]:
        path.unlink()
    before = shard_files(folder)
    assert compact(folder) == 0
    assert shard_files(folder) == before


def test_whole_files_are_joined_by_later_shards(folder, results):
    compact(folder)
    write_shard(folder, "e" * 16, [dataclasses.replace(results[0], trial=trial_of(trial_id="bad"))])
    assert failed_ids(folder) == set()
    assert compact(folder, fewest=2) == 2
    assert len(shard_files(folder)) == 1
    assert finished_ids(folder) == {trial.trial_id for trial in TRIALS} | {"bad"}


def test_a_shard_that_a_late_worker_writes_again_is_kept(folder, results):
    stamps = {path: shard_stamp(path) for path in shard_files(folder)}
    late = folder.shard(f"{5:016x}")
    write_shard(folder, late.stem, [dataclasses.replace(results[0], trial=trial_of(trial_id="late"))])
    remove_unchanged(folder, stamps)
    assert shard_files(folder) == [late]


COMPACT = """
import sys
from pathlib import Path
from phasemap.results.compact import compact
from phasemap.results.folder import RunFolder
while not Path(sys.argv[2]).exists():
    pass
compact(RunFolder(Path(sys.argv[1])))
"""


@pytest.mark.parametrize("moment", ["while it writes", "before the first removal", "after some removals"])
def test_a_killed_compaction_loses_no_trial_and_the_next_one_ends_it(folder, moment, tmp_path):
    before = merged(folder)
    n_files = len(shard_files(folder))
    child = forks.Forked(["-c", COMPACT, folder.path, tmp_path / "begin"])
    (tmp_path / "begin").touch()
    deadline = time.monotonic() + 60
    while child.poll() is None and time.monotonic() < deadline:
        names = os.listdir(folder.shards)  # noqa: PTH208 - quick, to meet the moment
        whole = any(name.startswith("whole-") for name in names)
        reached = {
            "while it writes": any(name.startswith(".whole-") for name in names),
            "before the first removal": whole,
            "after some removals": whole and sum(name[0] != "." for name in names) < n_files,
        }
        if reached[moment]:
            break
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert merged(folder) == before
    compact(folder, fewest=2)
    assert merged(folder) == before
    assert [path.name[:6] for path in folder.shards.iterdir()] == ["whole-"]


def test_a_run_of_many_packs_ends_with_one_file_and_the_same_records(tmp_path):
    parts = {"record": ["norms"], "resources": {"pack_size": 1}}
    few = run_in_process(study_of(name="few", record=["norms"]), tmp_path)
    many = study_of(name="many", seeds=10, **parts)
    folder = run_in_process(many, tmp_path)
    assert len(shard_files(folder)) == 1
    tables = derive(folder)
    assert len(tables.trials) == 40
    assert read_inside(folder, tables.trials).num_rows / 40 == read_inside(few, derive(few).trials).num_rows / 8
    again = run_study(many, folder, LocalRunner, RunOptions(quiet=True))
    assert (again.n_trained, again.n_reused) == (0, 40)
    wider = run_study(study_of(name="many", seeds=11, **parts), folder, LocalRunner, RunOptions(quiet=True))
    assert (wider.n_trained, wider.n_reused) == (4, 40)
    assert len(derive(folder).trials) == 44
