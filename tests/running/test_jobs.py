"""Studies are submitted to a real Ray of three nodes through its job server, and survive what happens to its parts."""

import json
import os
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from random import Random
from threading import Thread

import pytest
from chaos import Chaos
from chaos import rows as without_packs
from click.testing import CliRunner
from clusters import ROOT, Cluster, free_port
from conftest import LONGER, SMALL, run_in_process, study_of
from processes import end, wait_for

import phasemap as pm
from phasemap.cli import cli
from phasemap.diagram.tables import derive
from phasemap.results.folder import RunFolder
from phasemap.running.jobs import Job
from phasemap.study.file import load_study


@pytest.fixture(scope="module")
def cluster():
    made = Cluster(workers=2)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def strangers(cluster):
    """Drivers with no token and a wrong one; the first test asks for them, as Ray takes 20 s to give up."""
    path = cluster.home / "strange.yaml"
    path.write_text(SMALL)
    none = {name: value for name, value in cluster.client_environment.items() if name != "RAY_AUTH_TOKEN"}
    words = ("run", path, "--address", cluster.gcs_address, "--storage")
    environments = {"no-token": none, "wrong-token": none | {"RAY_AUTH_TOKEN": "wrong"}}
    started = {
        name: cluster.start(*words, cluster.home / name, environment=environment, inside=True)
        for name, environment in environments.items()
    }
    yield started
    for process in started.values():
        end(process)


@pytest.fixture
def study(cluster):
    """Write a study to a file of the user's, and return its path."""

    def write(text, name):
        path = cluster.home / f"{name}.yaml"
        path.write_text(text)
        return path

    return write


def place(cluster):
    return ("--address", cluster.address, "--storage", cluster.storage)


def ask(cluster, *words, token=""):
    """Run a command of the command line in this process, with the cluster's token if none is given; None is without."""
    names = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH")  # another test's runner may have set them
    found = {"HOME": str(cluster.home), "RAY_AUTH_TOKEN": cluster.token if token == "" else token}
    return CliRunner().invoke(cli, [*map(str, words)], env=dict.fromkeys(names) | found)


def rows(trials):
    """What must be equal wherever a study was run."""
    return trials.drop(columns=["train_seconds", "host"]).sort_values("trial_id").to_csv(index=False)


@pytest.mark.parametrize(
    ("status", "state"),
    [("SUCCEEDED", "done"), ("STOPPED", "interrupted"), ("FAILED", "failed"), ("RUNNING", "running")],
)
def test_a_job_is_told_in_the_words_of_a_run(status, state):
    told = {"job_id": "a-1", "run": "a", "storage": "/s", "message": ""}
    assert Job(**told, status=status, started=None, ended=None, driver_exit_code=None).state == state


@pytest.mark.slow(group="clusters")
def test_a_submitted_study_ends_with_the_same_trials_as_a_local_run(cluster, strangers, study, tmp_path):
    path = study(SMALL + "resources: {pack_size: 2}\n", "small")
    done = cluster.run("submit", path, *place(cluster), "--follow", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_trained"] == 8
    assert "cluster: phasemap" in done.stderr
    local = run_in_process(study_of(SMALL, resources={"pack_size": 2}), tmp_path)
    run = pm.open_run("small", cluster.storage)
    assert rows(run.trials) == rows(derive(local).trials)
    again = cluster.run("submit", path, *place(cluster), "--follow")
    assert again.returncode == 0, again.stderr
    assert "0 trained, 8 reused, 0 failed" in again.stdout
    status = json.loads(ask(cluster, "status", "small", "--address", cluster.address, "--json").stdout)
    assert (status["status"], status["exit_code"]) == ("SUCCEEDED", 0)
    assert "pack" in ask(cluster, "logs", "small", "--storage", cluster.storage).stdout


@pytest.mark.slow(group="clusters")
def test_nothing_is_lost_or_trained_twice_when_a_worker_and_a_node_are_killed(cluster, tmp_path):
    """The driver and the head are killed too in test_chaos.py."""
    text = LONGER.format(name="chaos", steps=3000, seeds=5, pack_size=2)
    chaos = Chaos(cluster, text, Random(15))  # which waits for little: the run is short
    figures = chaos.run(workers=1, nodes=1, drivers=0, heads=0)
    assert figures["kills"] == {"worker": 1, "node": 1}
    assert (figures["lost_trials"], figures["retrained_trials"], figures["partial_files"]) == (0, 0, 0)
    assert figures["executions"] == ["done"]
    undisturbed = run_in_process(study_of(text), tmp_path)
    assert without_packs(derive(chaos.folder).trials) == without_packs(derive(undisturbed).trials)


@pytest.mark.slow(group="clusters")
def test_a_cancelled_job_ends_in_order_and_a_second_is_refused_while_it_runs(cluster, study):
    path = study(LONGER.format(name="cancelled", steps=20_000, seeds=2, pack_size=2), "cancelled")
    first = cluster.run("submit", path, *place(cluster))
    assert first.returncode == 0, first.stderr
    assert "cancelled runs as job cancelled-" in first.stdout
    second = ask(cluster, "submit", path, *place(cluster))
    assert second.exit_code == 2
    assert "cancelled is running as job" in second.stderr
    wait_for(lambda: cluster.workers(), what="a worker")
    assert ask(cluster, "cancel", "cancelled", "--address", cluster.address).exit_code == 0
    status = json.loads(ask(cluster, "status", "cancelled", "--storage", cluster.storage, "--json").stdout)
    assert status["state"] == "interrupted"
    assert "cancelled: interrupted (job" in ask(cluster, "status", "cancelled", "--address", cluster.address).stdout
    assert not RunFolder(cluster.storage / "cancelled").lock.exists()
    assert ask(cluster, "cancel", "cancelled", "--address", cluster.address).exit_code == 2


@pytest.mark.slow(group="clusters")
def test_a_run_from_inside_the_cluster_and_a_wheel_of_another_version(cluster, study, tmp_path):
    path = study(SMALL.replace("name: small", "name: inside"), "inside")
    words = ("run", path, "--storage", cluster.storage, "--address", cluster.gcs_address)
    done = cluster.run(*words, inside=True)
    assert done.returncode == 0, done.stderr
    assert "8 trained" in done.stdout
    wheel = tmp_path / "phasemap-9.9-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("phasemap/__init__.py", "")
        file.writestr("phasemap/_version.py", '__version__ = "9.9"\n')
    other = cluster.run("submit", path, *place(cluster), "--wheel", wheel)
    assert other.returncode == 3
    assert "the cluster has phasemap 9.9 (/" in other.stderr
    assert "), but the study was submitted by" in other.stderr


PROGRAM = """
from pathlib import Path

import beside

import phasemap as pm


@pm.program(quantities={"test_loss": "loss"})
def train(trial: pm.TrialContext, *, lr: float):
    rows = Path(__file__).with_name("data").joinpath("rows.csv").read_text()
    for step in trial.steps(3):
        trial.report(step, test_loss=lr * beside.FACTOR * float(rows) / step)
"""


def write_program(folder, program):
    """Write a study of a program with a module and data beside it, and return its path."""
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "rows.csv").write_text("2.5")
    (folder / "beside.py").write_text("FACTOR = 3.0\n")
    (folder / "own_training.py").write_text(PROGRAM)
    path = folder / "study.yaml"
    path.write_text(f"name: sent\nprogram: {program}\naxes: {{lr: [0.1, 0.2, 0.4]}}\nseeds: 2\n")
    return path


@pytest.mark.slow(group="clusters")
def test_a_program_is_sent_with_its_files_and_one_of_a_package_that_is_not_there_is_refused(cluster, tmp_path):
    path = write_program(cluster.home / "users", "own_training.py:train")
    done = cluster.run("submit", path, *place(cluster), "--ship", "data", "--follow", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_trained"] == 6
    local = run_in_process(load_study(path), tmp_path)
    assert without_packs(pm.open_run("sent", cluster.storage).trials) == without_packs(derive(local).trials)
    installed_here = cluster.client_environment | {"PYTHONPATH": f"{ROOT}{os.pathsep}{path.parent}"}
    package = path.with_name("package.yaml")
    package.write_text(path.read_text().replace("own_training.py:train", "own_training:train").replace("sent", "other"))
    refused = cluster.run("submit", package, *place(cluster), "--follow", environment=installed_here)
    assert refused.returncode == 3
    assert "has no module own_training; needed: the packages that the study names, installed in the" in refused.stderr


class NoJobServer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(404)

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture
def other_server():
    server = HTTPServer(("127.0.0.1", 0), NoJobServer)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.slow(group="clusters")
@pytest.mark.parametrize("command", ["submit", "status", "logs", "cancel"])
def test_a_missing_or_wrong_token_is_told_with_3(cluster, study, command):
    words = [command, study(SMALL, "small") if command == "submit" else "small", "--address", cluster.address]
    words += ["--storage", cluster.storage] if command == "submit" else []
    for token, message in ((None, "asks for Ray's token, and none was found"), ("wrong", "refuses the token")):
        found = ask(cluster, *words, token=token)
        assert (found.exit_code, message in found.stderr) == (3, True), found.stderr


@pytest.mark.slow(group="clusters")
def test_a_driver_without_the_right_token_is_refused_with_3(cluster, strangers):
    for name, process in strangers.items():
        _, err = process.communicate(timeout=60)
        assert process.returncode == 3, err
        assert "token" in err
        assert "Traceback" not in err
        assert not list((cluster.home / name).glob("*"))


@pytest.mark.parametrize(
    ("address", "storage", "code", "message"),
    [
        ("http://127.0.0.1:{closed}", "/tmp/x", 3, "can't be reached: Connection refused"),
        ("{other}", "/tmp/x", 3, "the head has no job server"),
        ("ray://127.0.0.1:10001", "/tmp/x", 2, "allowed: http://HEAD:8265"),
        ("{other}", "runs", 2, "an absolute path that all nodes share"),
    ],
)
def test_what_is_no_job_server_or_no_shared_storage_is_named(tmp_path, other_server, address, storage, code, message):
    (tmp_path / "small.yaml").write_text(SMALL)
    address = address.format(closed=free_port(), other=other_server)
    found = CliRunner().invoke(
        cli, ["submit", str(tmp_path / "small.yaml"), "--address", address, "--storage", storage]
    )
    assert found.exit_code == code
    assert message in found.stderr
