"""A run in an object store: a real S3-compatible server, real processes, and the same laws as on a disk."""

import json
import os
import signal
import socket
import uuid

import forks
import pytest
from click.testing import CliRunner
from conftest import study_of

import phasemap as pm
from phasemap.cli import cli
from phasemap.diagram.tables import derive
from phasemap.results.compact import compact
from phasemap.results.folder import run_folder
from phasemap.results.lock import holder_of, locked
from phasemap.results.provenance import read_provenance
from phasemap.results.shards import shard_files
from phasemap.running.driver import RunOptions, run_study
from phasemap.running.runner import Finished, LocalRunner

SETTINGS = {
    "AWS_MAX_ATTEMPTS": "1",
    "AWS_ACCESS_KEY_ID": "any",
    "AWS_SECRET_ACCESS_KEY": "any",
    "AWS_DEFAULT_REGION": "us-east-1",
}


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def server():
    """The endpoint of an S3-compatible server on this machine, which this process and its children use."""
    from moto.server import ThreadedMotoServer

    started = ThreadedMotoServer(ip_address="127.0.0.1", port=free_port(), verbose=False)
    started.start()
    host, port = started.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**SETTINGS, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}.items():
            patch.setenv(name, value)
        yield started
    started.stop()


@pytest.fixture
def store(server, monkeypatch):
    """The URI of an empty bucket, and its file system."""
    import s3fs

    monkeypatch.setattr("phasemap.results.lock.CONFIRM_SECONDS", 0.05)
    bucket = f"runs-{uuid.uuid4().hex}"
    fs = s3fs.S3FileSystem()
    fs.mkdir(bucket)
    return f"s3://{bucket}/deep/runs", fs


def names(fs, uri):
    """The objects under a URI, without it."""
    fs.invalidate_cache()
    root = uri.removeprefix("s3://") + "/"
    return sorted(name.removeprefix(root) for name in fs.find(root))


def comparable(frame):
    return frame.drop(columns=["train_seconds", "pack_id", "host"]).to_csv(index=False)


def phasemap(*words):
    found = CliRunner().invoke(cli, [str(word) for word in words])
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found


def test_a_run_in_a_store_ends_with_the_same_trials_and_nothing_else(store, finished):
    uri, fs = store
    study, local = finished
    run = pm.run(study, storage=uri, in_process=True, quiet=True)
    assert comparable(run.trials) == comparable(derive(local).trials)
    n_shards = len(list(local.shards.glob("*.parquet")))
    files = [
        "curves.parquet",
        "diagram.png",
        "points.parquet",
        "provenance.json",
        "run.log",
        "study.yaml",
        "trials.parquet",
    ]
    found = names(fs, f"{uri}/{study.name}")
    assert [name for name in found if not name.startswith("shards/")] == files
    assert len(found) == len(files) + n_shards
    assert run.location == f"{uri}/small"


def test_a_run_in_a_store_continues_and_trains_nothing_twice(store):
    uri, fs = store
    pm.run(study_of(seeds=1), storage=uri, in_process=True, quiet=True)
    shards = {name: fs.info(f"{uri}/small/{name}")["ETag"] for name in names(fs, f"{uri}/small") if "shards" in name}
    run = pm.run(study_of(), storage=uri, in_process=True, quiet=True)
    assert [(e.content["n_trained"], e.content["n_reused"]) for e in read_provenance(run.folder)] == [(4, 0), (4, 4)]
    assert {name: fs.info(f"{uri}/small/{name}")["ETag"] for name in shards} == shards
    assert len(run.trials) == 8
    assert run.folder.log.read_text().count("done") == 2


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from conftest import study_of
from phasemap.results.folder import run_folder
from phasemap.running.driver import RunOptions, run_study
from phasemap.running.runner import LocalRunner
from phasemap.running.runner import Finished

class Killed(LocalRunner):
    def run(self, packs, workload, tell):
        def told(event):
            tell(event)
            if isinstance(event, Finished):
                os.kill(os.getpid(), signal.SIGKILL)
        super().run(packs, workload, told)

run_study(study_of(resources={"pack_size": 2}), run_folder(sys.argv[2], "small"), Killed, RunOptions(quiet=True))
"""


def test_a_driver_that_is_killed_leaves_a_run_that_continues(store, finished):
    uri, fs = store
    tests = __file__.rpartition("/results/")[0]
    killed = forks.finish("-c", KILLED, tests, uri)
    assert killed.returncode == -signal.SIGKILL
    found = names(fs, f"{uri}/small")
    assert sum(name.startswith("shards/") for name in found) == 1
    assert "lock.json" in found
    run = pm.run(study_of(resources={"pack_size": 2}), storage=uri, in_process=True, quiet=True)
    assert comparable(run.trials) == comparable(derive(finished[1]).trials)
    assert [e.outcome for e in read_provenance(run.folder)] == ["lost", "done"]
    assert not [name for name in names(fs, f"{uri}/small") if "lock" in name or "probe" in name]


RIVAL = """
import sys, time
from phasemap.results.folder import run_folder
from phasemap.results.lock import locked
from phasemap.study.errors import UserError
folder, end, held = run_folder(sys.argv[1], "small"), time.time() + 60, 0
while held < 5 and time.time() < end:
    try:
        with locked(folder):
            folder.remote.write("inside", b"", new=True)  # fails if another is inside
            folder.remote.remove("inside")
            held += 1
        time.sleep(0.05)
    except UserError:
        time.sleep(0.02)
print(held)
"""


@pytest.mark.slow(group="chaos")
def test_rivals_never_hold_the_lock_of_a_store_together(store):
    rivals = [forks.Forked(["-c", RIVAL, store[0]]) for _ in "ab"]
    assert [(rival.communicate(), rival.returncode) for rival in rivals] == [(("5\n", ""), 0)] * 2


def test_a_second_driver_is_refused_and_the_run_says_who_holds_it(store):
    uri, _ = store
    pm.run(study_of(seeds=1), storage=uri, in_process=True, quiet=True)
    with locked(run_folder(uri, "small")) as mine:
        assert holder_of(run_folder(uri, "small")).pid == os.getpid()
        with pytest.raises(pm.UserError, match=f"is being run by process {os.getpid()}"):
            pm.run(study_of(), storage=uri, in_process=True, quiet=True)
        assert f"at work (process {os.getpid()}" in phasemap("status", "small", "--storage", uri).stdout
        mine.check()
    assert "small: done, 4/4 trials" in phasemap("status", f"{uri}/small").stdout


def test_commands_read_and_change_a_run_in_a_store(store, tmp_path):
    uri, fs = store
    pm.run(study_of(record=["norms"]), storage=uri, in_process=True, quiet=True)
    assert json.loads(phasemap("list", "--storage", uri, "--json").stdout)[0]["n_done"] == 8
    assert json.loads(phasemap("show", f"{uri}/small", "--json").stdout)["run"] == f"{uri}/small"
    for ending in ("png", "html"):
        command = "plot" if ending == "png" else "report"
        assert phasemap(command, "small", "--storage", uri, "-o", tmp_path / f"a.{ending}").exit_code == 0
    assert phasemap("bundle", "small", "--storage", uri, "-o", tmp_path / "bundle").exit_code == 0
    assert (tmp_path / "bundle" / "neurons.parquet").exists()
    before = fs.info(f"{uri}/small/trials.parquet")["ETag"]
    assert phasemap("relabel", f"{uri}/small", "--rule", "doshi2024").exit_code == 0
    fs.invalidate_cache()
    assert fs.info(f"{uri}/small/trials.parquet")["ETag"] != before
    assert set(pm.open_run(f"{uri}/small").trials["rule"]) == {"doshi2024"}
    assert "8 to train" not in phasemap("logs", f"{uri}/small").stderr


def test_an_old_run_is_moved_aside_in_the_store(store):
    uri, fs = store
    pm.run(study_of(seeds=1), storage=uri, in_process=True, quiet=True)
    old = [name for name in names(fs, f"{uri}/small") if name != "run.log"]
    run_study(study_of(seeds=1), run_folder(uri, "small"), LocalRunner, RunOptions(fresh=True, quiet=True))
    (aside,) = {name.split("/")[0] for name in names(fs, uri)} - {"small"}
    assert aside.startswith("small.old-")
    assert [name for name in names(fs, f"{uri}/{aside}") if name != "run.log"] == old
    assert len(read_provenance(run_folder(uri, "small"))) == 1


def test_shards_of_a_store_are_made_one(store):
    uri, _ = store
    run = pm.run(study_of(resources={"pack_size": 1}), storage=uri, in_process=True, quiet=True)
    before = comparable(derive(run.folder).trials)
    assert compact(run.folder, fewest=8) == 8
    assert len(shard_files(run_folder(uri, "small"))) == 1
    assert comparable(derive(run_folder(uri, "small")).trials) == before


def test_a_damaged_shard_of_a_store_is_set_aside_and_its_trials_are_trained_again(store):
    uri, fs = store
    run = pm.run(study_of(resources={"pack_size": 2}), storage=uri, in_process=True, quiet=True)
    before = comparable(run.trials)
    damaged = next(name for name in names(fs, f"{uri}/small") if name.startswith("shards/"))
    fs.pipe_file(f"{uri}/small/{damaged}", b"PAR1 no longer PAR1")
    again = pm.run(study_of(resources={"pack_size": 2}), storage=uri, in_process=True, quiet=True)
    assert comparable(again.trials) == before
    assert [e.content["n_trained"] for e in read_provenance(again.folder)] == [8, 2]
    assert fs.cat_file(f"{uri}/small/{damaged.replace('shards', 'damaged')}") == b"PAR1 no longer PAR1"


def test_a_store_that_is_gone_stops_the_run_which_continues_when_it_is_back(store, server, monkeypatch, finished):
    uri, _ = store
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
    monkeypatch.setattr("phasemap.running.retries.PAUSES", (0.1,))

    class Losing(LocalRunner):
        def run(self, packs, workload, tell):
            def told(event):
                tell(event)
                if isinstance(event, Finished):
                    server.stop()

            super().run(packs, workload, told)

    study = study_of(resources={"pack_size": 2})
    with pytest.raises(pm.UnreachableError, match=r"s3://.*can't be"):
        run_study(study, run_folder(uri, "small"), Losing, RunOptions(quiet=True))
    server.start()
    run = pm.run(study, storage=uri, in_process=True, quiet=True)
    assert comparable(run.trials) == comparable(derive(finished[1]).trials)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "can't be reached"),
        ({}, "s3://no-such-bucket"),
    ],
)
def test_a_store_out_of_reach_ends_with_3_and_is_named(server, change, message, tmp_path):
    (tmp_path / "a.yaml").write_text("name: a\ntask: {kind: modular_addition, modulus: 7}\naxes: {corruption: [0]}\n")
    words = ["-m", "phasemap", "run", tmp_path / "a.yaml", "--storage", "s3://no-such-bucket", "--in-process"]
    environment = {**os.environ, **change}
    found = forks.finish(*words, env=environment, timeout=120)
    assert found.returncode == 3, found.stderr
    assert message in found.stderr
    assert "Traceback" not in found.stderr
