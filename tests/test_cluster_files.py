"""The files in cluster/: held to the schemas of those who read them, and run as far as one machine can."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from conftest import SMALL

import phasemap as pm
from phasemap.study.file import load_study

ROOT = Path(__file__).parents[1]
FILES = ROOT / "cluster"
CRDS = os.environ.get("PHASEMAP_KUBERAY_CRDS")  # a checkout's ray-operator/config/crd/bases
KUBERAY = sorted((FILES / "kuberay").glob("*.yaml"))


def documents(path):
    return list(yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader))  # a CRD has a megabyte


@pytest.mark.parametrize("name", ["aws", "gcp"])
def test_launcher_files_meet_ray_s_own_schema_with_its_defaults_filled_in(name):
    from ray.autoscaler._private.util import fillout_defaults, validate_config

    (config,) = documents(FILES / f"{name}.yaml")
    validate_config(fillout_defaults(config))
    assert config["head_node_type"] in config["available_node_types"]
    assert config["available_node_types"]["head"]["resources"]["CPU"] == 0
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        assert any("RAY_AUTH_MODE=token ray start" in command for command in config[key])
    assert "/home/ray/.ray/auth_token" in config["file_mounts"]


def strict(schema):
    """Forbid what a Kubernetes schema only would drop: fields that it doesn't know."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", False)
    return found


@pytest.mark.skipif(not CRDS, reason="PHASEMAP_KUBERAY_CRDS names no folder of KubeRay's CRDs")
@pytest.mark.parametrize("path", KUBERAY, ids=lambda path: path.stem)
def test_kuberay_manifests_meet_the_schemas_of_its_resources(path):
    checked = 0
    for document in documents(path):
        if document["apiVersion"] != "ray.io/v1":
            continue
        (crd,) = documents(Path(CRDS) / f"ray.io_{document['kind'].lower()}s.yaml")
        (version,) = (version for version in crd["spec"]["versions"] if version["name"] == "v1")
        spec = strict(version["schema"]["openAPIV3Schema"]["properties"]["spec"])
        jsonschema.validate(document["spec"], spec)
        checked += 1
    assert checked == 1


def clusters(document):
    spec = document["spec"]
    return spec.get("rayClusterSpec", spec)


@pytest.mark.parametrize("path", KUBERAY, ids=lambda path: path.stem)
def test_kuberay_manifests_ask_for_a_token_and_one_image_of_ray_s_tested_version(path):
    tested = re.search(r"^ray==(.*)$", (ROOT / "constraints.txt").read_text(), re.M)[1]
    for document in documents(path):
        if document["kind"] == "ConfigMap":
            continue
        cluster = clusters(document)
        assert cluster["authOptions"] == {"mode": "token"}
        assert str(cluster["rayVersion"]) == tested
        groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
        assert {group["template"]["spec"]["containers"][0]["image"] for group in groups} == {"REGISTRY/phasemap:0.1.0"}


def test_the_study_in_the_job_s_manifest_is_the_quickstart(tmp_path):
    (content,) = (d["data"] for d in documents(FILES / "kuberay" / "rayjob.yaml") if d["kind"] == "ConfigMap")
    (tmp_path / "study.yaml").write_text(content["study.yaml"])
    found, quickstart = load_study(tmp_path / "study.yaml"), load_study(ROOT / "studies" / "quickstart.yaml")
    assert (found.axes, found.settings(), found.seeds) == (quickstart.axes, quickstart.settings(), quickstart.seeds)


def test_the_image_s_versions_are_those_of_the_project():
    tested = re.search(r"^ray==(.*)$", (ROOT / "constraints.txt").read_text(), re.M)[1]
    recipe = (FILES / "Dockerfile").read_text()
    assert f"rayproject/ray:{tested}-py311\n" in recipe
    assert pm.__version__ in recipe
    for source in re.findall(r"^COPY (?:--chown=\S+ )?(.+) \S+$", recipe, re.M):
        assert all((ROOT / name).exists() for name in source.split())


def test_the_slurm_script_is_sound_shell():
    found = subprocess.run(
        [Path(sys.executable).parent / "shellcheck", FILES / "slurm" / "phasemap.sh"], capture_output=True, text=True
    )
    assert found.returncode == 0, found.stdout


SRUN = """#!/usr/bin/env bash
while [[ ${1:-} == --* ]]; do shift; done
exec "$@"
"""


@pytest.mark.slow(group="clusters")
def test_the_ray_part_of_the_slurm_script_runs_a_study_and_ends_every_process(tmp_path):
    """Slurm's own commands are stood in for: each node of the allocation is this machine."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, text in {"srun": SRUN, "scontrol": "#!/bin/sh\nprintf 'a\\nb\\n'\n"}.items():
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    (tmp_path / "small.yaml").write_text(SMALL)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "TUNE_"))}
    environment |= {
        "PATH": f"{commands}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "SLURM_JOB_NODELIST": "a,b",
        "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_CPUS_PER_TASK": "1",
    }
    words = ["bash", FILES / "slurm" / "phasemap.sh", tmp_path / "small.yaml", tmp_path / "runs"]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=180, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(pm.open_run(tmp_path / "runs" / "small").trials) == 8
    (execution,) = json.loads((tmp_path / "runs" / "small" / "provenance.json").read_text())
    assert execution["outcome"] == "done"
    left = subprocess.run(["pgrep", "-f", str(20000 + os.getpid() % 10000)], capture_output=True, text=True).stdout
    assert not left.strip()
