"""Nothing finished is lost or trained twice: real runs on Ray, and real kills."""

import json
import os
import signal
import socket
import subprocess
import sys

import forks
import matplotlib
import pytest
from click.testing import CliRunner
from conftest import LONGER, run_in_process, study_of
from processes import LOOPBACK, alive, children, end, kill, listening, wait_for
from test_runners import comparable

from phasemap.cli import cli
from phasemap.diagram.tables import derive
from phasemap.results.folder import RunFolder
from phasemap.results.shards import finished_ids

STUDY = LONGER.format(name="killed", steps=1500, seeds=4, pack_size=4)
N_TRIALS = 36


@pytest.fixture
def undisturbed(tmp_path):
    """Return what the trials of so many seeds are where nothing happens to them."""

    def undisturbed(**changed):
        return comparable(derive(run_in_process(study_of(STUDY, **changed), tmp_path / "whole")).trials)

    return undisturbed


@pytest.fixture
def start(tmp_path):
    """Start the command line on the study; what is still alive at the end is killed."""
    path = tmp_path / "killed.yaml"
    path.write_text(STUDY)
    started = []

    def run(*options):
        process = forks.Forked(["-m", "phasemap", "run", path, "--storage", tmp_path, "--json", *options])
        started.append(process)
        return process

    run.folder = RunFolder(tmp_path / "killed")
    yield run
    for process in started:
        end(process)


def shards(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.shards.glob("*.parquet") if path.name[0] != "."}


def busy_workers(process):
    return [pid for pid, command in children(process.pid).items() if "ray::ImplicitFunc" in command]


def end_well(process):
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    return json.loads(out)


@pytest.mark.slow(group="chaos")
def test_a_killed_driver_leaves_a_run_that_continues(start, undisturbed):
    seeds, few = 2, ("--set", "seeds=2", "--set", "training.steps=900")
    first = start("--cpus", "1", *few)
    wait_for(lambda: len(shards(start.folder)) >= 2, what="two shards")
    workers = busy_workers(first)
    assert workers
    kill(first.pid)
    first.wait()
    kept = shards(start.folder)
    assert 2 <= len(kept) < 5
    done = finished_ids(start.folder)
    wait_for(lambda: not any(map(alive, workers)), seconds=20, what="the end of the killed driver's workers")
    late = shards(start.folder)  # workers may have finished a pack before they noticed
    again = end_well(start("--in-process", *few))  # on Ray: the full chaos
    assert again["n_reused"] >= len(done)
    assert again["n_trained"] + again["n_reused"] == 9 * seeds
    assert {name: time for name, time in shards(start.folder).items() if name in late} == late
    assert comparable(derive(start.folder).trials) == undisturbed(seeds=2, training={"steps": 900})
    assert not list(start.folder.path.rglob("*.tmp*"))


@pytest.mark.slow(group="chaos")
def test_a_killed_worker_is_replaced_its_pack_goes_on_and_packs_still_train_two_at_a_time(start, undisturbed):
    process = start("--cpus", "2")
    wait_for(lambda: shards(start.folder) and len(busy_workers(process)) == 2, what="two busy workers and a shard")
    before = shards(start.folder)
    lost = busy_workers(process)[0]
    kill(lost)
    wait_for(lambda: len(busy_workers(process)) < 2, what="the loss to be seen")
    wait_for(lambda: len(busy_workers(process)) == 2, what="two busy workers again")
    found = end_well(process)
    assert found["n_trained"] == N_TRIALS
    assert found["failures"] == []
    assert {name: time for name, time in shards(start.folder).items() if name in before} == before
    assert "failed (attempt 1)" in start.folder.log.read_text()
    assert comparable(derive(start.folder).trials) == undisturbed()


@pytest.mark.parametrize(
    ("number", "option"),
    [
        (signal.SIGINT, "--in-process"),
        pytest.param(signal.SIGTERM, "--cpus=1", marks=pytest.mark.slow(group="chaos")),
        pytest.param(signal.SIGINT, "--cpus=1", marks=pytest.mark.slow(group="chaos")),
    ],
)
def test_an_interrupted_run_keeps_what_is_finished_and_ends_with_130(start, number, option, tmp_path, monkeypatch):
    monkeypatch.setenv("MPLCONFIGDIR", matplotlib.get_cachedir())  # its list of fonts, which takes long to make
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("RAY_")]:  # another test's runner may have set it
        monkeypatch.delenv(name)
    process = start(option)
    wait_for(lambda: shards(start.folder), what="a shard")
    family, addresses = children(process.pid), listening(process.pid)
    process.send_signal(number)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 130
    assert json.loads(out)["exit_code"] == 130
    assert "interrupted; what was finished is kept" in err
    assert "Traceback" not in err
    assert len(derive(start.folder).trials) == len(finished_ids(start.folder))
    assert start.folder.points.exists()
    assert not start.folder.lock.exists()
    wait_for(lambda: not any(map(alive, family)), what="the end of all processes")
    assert json.loads(start.folder.provenance.read_text())[-1]["outcome"] == "interrupted"
    assert len(addresses) >= (4 if option.startswith("--cpus") else 0)
    assert set(addresses) <= LOOPBACK
    assert not (tmp_path / ".ray").exists()


BRANCHES = """
name: branches
task: {kind: modular_addition, modulus: 17}
model: {width: 64}
training: {steps: 4000}
axes: {weight_decay_at: [200, 400], weight_decay_to: [0, 8]}
fixed: {data_fraction: 0.7, corruption: 0.2, weight_decay: 4}
seeds: 2
resources: {pack_size: 4}
"""
HORIZON, FIRST_CHANGE = 4000, 200
DISTINCT = 200 + 3 * 200 + 4 * 3600  # of one seed: after step 200 there are three networks, after 400 four
COUNTED = """
import sys
from functools import partial
from phasemap.cli import cli
from phasemap.training import recording
from phasemap.training.grouped import GroupedKernel

advance, log = GroupedKernel.advance, open({log!r}, "a", buffering=1)

def counted(kernel, members, after, until):
    advance(kernel, members, after, until)
    print(len(members), after, until, file=log)

GroupedKernel.advance = counted
recording.Hooks = partial(recording.Hooks, save_seconds=0.0)
cli({words!r})
"""


@pytest.mark.slow(group="chaos")
def test_a_driver_that_is_killed_in_a_branch_trains_no_step_before_its_checkpoint_again(tmp_path):
    path, log = tmp_path / "branches.yaml", tmp_path / "steps.txt"
    path.write_text(BRANCHES)
    words = ["run", str(path), "--storage", str(tmp_path), "--in-process", "--json"]
    code = COUNTED.format(log=str(log), words=words)
    folder = RunFolder(tmp_path / "branches")

    def steps():  # (networks, after, until) of each time that networks were trained
        return [tuple(map(int, line.split())) for line in log.read_text().splitlines()] if log.exists() else []

    def of_second_pack(taken):
        ends = [number for number, (_, _, until) in enumerate(taken, 1) if until == HORIZON]
        return taken[ends[0] :] if ends else []

    def total(taken):
        return sum(networks * (until - after) for networks, after, until in taken)

    process = forks.Forked(["-c", code])
    try:
        wait_for(lambda: any(after > FIRST_CHANGE for _, after, _ in of_second_pack(steps())), what="a branch")
        kill(process.pid)
    finally:
        end(process)
    kept, before = shards(folder), steps()
    assert len(kept) == 1
    again = end_well(forks.Forked(["-c", code]))
    assert (again["n_reused"], again["n_trained"]) == (4, 4)
    assert kept.items() <= shards(folder).items()
    begin = steps()[len(before)][1]
    assert begin > FIRST_CHANGE
    lost = total(one for one in of_second_pack(before) if one[1] >= begin)
    assert lost <= 4 * 50  # one stride, since each is followed by a checkpoint here
    assert total(steps()) == 2 * DISTINCT + lost
    whole = comparable(derive(run_in_process(study_of(BRANCHES), tmp_path / "whole")).trials)
    assert comparable(derive(folder).trials) == whole


@pytest.mark.slow(group="chaos")
def test_a_ray_whose_node_does_not_start_ends_with_3_and_a_word(start):
    process = start("--cpus=1")
    nodes = wait_for(
        lambda: [pid for pid, command in children(process.pid).items() if "raylet/raylet" in command[:200]],
        what="Ray's node",
    )
    for pid in nodes:
        os.kill(pid, signal.SIGSTOP)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 3
    assert "an embedded Ray can't be reached" in json.loads(out)["error"]
    assert "Traceback" not in err


def test_a_second_driver_is_refused_while_the_first_runs_also_one_on_another_host(start, tmp_path):
    options = ("--in-process", "--set", "training.steps=50000")
    first = start(*options)
    wait_for(lambda: start.folder.lock.exists(), what="the lock")
    second = start(*options)
    words = [sys.executable, "-m", "phasemap", "run", str(tmp_path / "killed.yaml"), "--storage", str(tmp_path)]
    other_host = ["unshare", "--uts", "sh", "-c", 'hostname another && exec "$@"', "sh"]
    third = subprocess.Popen([*other_host, *words, *options], stderr=subprocess.PIPE, text=True)
    out, err = second.communicate(timeout=60)
    assert second.returncode == 2
    assert f"is being run by process {first.pid}" in err
    assert "allowed: one driver at a time" in json.loads(out)["error"]
    _, err = third.communicate(timeout=90)
    os.kill(first.pid, signal.SIGINT)
    assert first.wait(60) == 130
    if "Operation not permitted" in err:
        pytest.skip("a host name of its own is not allowed here: only the rival on this host was tried")
    assert third.returncode == 2, err
    assert "checking for up to" in err
    assert f"is being run by process {first.pid} on {socket.gethostname()}" in err


def test_a_run_at_work_is_seen_by_status_and_ended_in_order_by_cancel(start, tmp_path):
    def command(*words):
        found = CliRunner().invoke(cli, [*words, "--storage", str(tmp_path), "--json"])
        return found.exit_code, json.loads(found.stdout)

    first = start("--in-process")
    log = start.folder.log
    wait_for(lambda: log.is_file() and "stored" in log.read_text(), what="a pack that is told of in the log")
    assert command("status", "killed")[1]["state"] == f"at work (process {first.pid} on {socket.gethostname()})"
    assert command("cancel", "killed") == (0, {"run": str(start.folder.path), "pid": first.pid})
    assert first.wait(60) == 130
    code, status = command("status", "killed")
    assert (code, status["state"]) == (0, "interrupted")
    assert 0 < status["n_done"] < N_TRIALS
    assert command("cancel", "killed")[0] == 2
    assert "stored" in command("logs", "killed")[1]["log"]
