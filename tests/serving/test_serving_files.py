"""The files to run the service: they start it with options that it has."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from phasemap.cli.serve import serve

FILES = Path(__file__).parents[2] / "cluster"


def check_options(command):
    words = shlex.split(command)
    words = words[words.index("serve") + 1 :]
    with serve.make_context("serve", words) as context:
        assert context.params["token_file"] is not None
        return context.params


def test_the_systemd_unit_starts_the_service_and_stops_it_alone():
    text = (FILES / "phasemap-serve.service").read_text()
    lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    assert check_options(lines["ExecStart"])["host"] == "127.0.0.1"
    assert lines["KillMode"] == "process"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_systemd_understands_the_unit(tmp_path):
    python = shutil.which("true")
    text = (FILES / "phasemap-serve.service").read_text().replace("/opt/phasemap/bin/phasemap", python)
    (tmp_path / "phasemap-serve.service").write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / "phasemap-serve.service"], capture_output=True, text=True
    )
    assert (done.returncode, [line for line in done.stderr.splitlines() if "phasemap" in line]) == (0, [])


def test_the_kuberay_file_starts_the_service_beside_the_head():
    parts = {part["kind"]: part for part in yaml.safe_load_all((FILES / "phasemap-serve.yaml").read_text())}
    pod = parts["RayCluster"]["spec"]["headGroupSpec"]["template"]["spec"]
    head, service = pod["containers"]
    options = check_options(service["args"][0])
    assert (options["address"], options["storage"]) == ("auto", "/runs")
    assert "/runs" in [mount["mountPath"] for mount in service["volumeMounts"]]
    shared = [mount for mount in service["volumeMounts"] if mount in head["volumeMounts"]]
    assert {mount["mountPath"] for mount in shared} == {"/tmp", "/runs"}
    assert {mount["name"] for mount in service["volumeMounts"]} <= {volume["name"] for volume in pod["volumes"]}
    (port,) = parts["Service"]["spec"]["ports"]
    assert port["targetPort"] in [port["name"] for port in service["ports"]]
    assert service["readinessProbe"]["httpGet"]["path"] == "/api/v1/readyz"
