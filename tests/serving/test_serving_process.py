"""The service as a process: mistakes at its start, followers, logs, and a graceful end."""

import json
import socket
import threading
from contextlib import suppress

import forks
import httpx2 as httpx
import pytest
from click.testing import CliRunner
from conftest import study_of
from processes import wait_for
from services import write_runs
from synthetic import synthetic_run

from phasemap.cli import cli


def start(*options):
    return forks.finish("-m", "phasemap", "serve", *options, timeout=60)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "0.0.0.0"], "--host 0.0.0.0 can be reached from other machines; needed: --token-file"),
        (["--token-file", "none.yaml"], "--token-file none.yaml can't be read"),
    ],
)
def test_mistakes_end_with_a_message_before_anything_starts(tmp_path, options, message):
    done = CliRunner().invoke(cli, ["serve", "--storage", str(tmp_path / "s"), *options])
    assert done.exit_code == 2
    assert message in done.stderr
    assert not (tmp_path / "s").exists()


def test_a_port_that_is_taken_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = start("--storage", tmp_path / "s", "--port", taken.getsockname()[1])
    assert done.returncode == 3
    assert "can't listen on 127.0.0.1:" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "s/.serve").exists()


def test_a_service_follows_what_others_write_and_ends_in_peace(start_service, tmp_path):
    service = start_service()
    second = start("--storage", service.root, "--port", 0)
    assert (second.returncode, "is served already" in second.stderr) == (2, True)

    events = []

    def follow():
        stream = httpx.stream("GET", f"{service.url}/api/v1/events", timeout=60)
        with suppress(httpx.RemoteProtocolError), stream as answer:  # the service ends it in the middle
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    events.append(json.loads(line.removeprefix("data: ")))

    thread = threading.Thread(target=follow)
    thread.start()
    write_runs(service.root)  # as a run on the command line would
    wait_for(lambda: {event["name"] for event in events} == {"grid", "other"}, seconds=30, what="both runs")
    synthetic_run(study_of(name="late"), service.root)
    wait_for(lambda: events[-1]["name"] == "late", seconds=30, what="the late run")
    assert (events[-1]["n_trials"], events[-1]["n_done"]) == (8, 8)

    assert service.stop() == 0
    thread.join(10)
    assert not thread.is_alive()
    assert not (service.root / ".serve/lock.json").exists()
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    requests = [line for line in lines if line["message"] == "request"]
    assert {"method", "path", "status", "ms", "client", "who", "at"} <= set(requests[0])
    assert "Traceback" not in service.log.read_text()
