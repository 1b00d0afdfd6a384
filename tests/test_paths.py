"""No path of anybody's machine stands in the repository: what is stored reads the same on every machine."""

import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLACES = "work|root|home|farm|tmp|Users|Volumes|mnt|media|data|scratch|private|var|opt|srv|shared|nfs|workspace|content"
FOLDERS = re.compile(rf"(?<![\w.~/:}})-])/(?:{PLACES})(?:/[\w.+@~-]+)+")
OTHERS = re.compile(r"file://+\w[\w./]*|\b[A-Z]:[\\/]+\w+")  # looked for in text only: pictures hold them by chance
ALLOWED = {
    "docs/tasks.md": {"/shared/runs"},
    "cluster/README.md": {"/shared/runs", "/shared/runs/quickstart"},
    "cluster/Dockerfile": {"/tmp/phasemap"},  # of the image that it makes
    "cluster/aws.yaml": {"/home/ray/.ray/auth_token"},  # of Ray's images
    "cluster/gcp.yaml": {"/home/ray/.ray/auth_token"},
    "cluster/phasemap-serve.service": {"/var/lib/phasemap", "/opt/phasemap/bin/phasemap"},
    "cluster/slurm/phasemap.sh": {"/shared/runs"},
}
"""What examples and templates may name, by file: folders of a cluster that a reader has in mind, not of a machine."""


def tracked():
    found = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip("not a checkout of git")
    return [name for name in found.stdout.split("\0") if name and (ROOT / name).is_file()]


def machine_paths(name, text):
    """Yield the paths of machines in a text, but for those that its file may name."""
    allowed = ALLOWED.get(name, set())
    found = [*FOLDERS.finditer(text), *([] if "\0" in text else OTHERS.finditer(text))]
    for match in found:
        if not any(match[0] == one or match[0].startswith(f"{one}/") for one in allowed):
            yield f"{name}: {match[0]}"


def test_no_file_names_a_path_of_a_machine():
    names = [name for name in tracked() if not (name.startswith("tests/") and name.endswith(".py"))]
    assert len(names) > 200
    texts = ((name, (ROOT / name).read_bytes().decode("utf-8", "replace")) for name in names)
    assert [path for name, text in texts for path in machine_paths(name, text)] == []


def test_every_allowed_path_is_still_there():
    for name, paths in ALLOWED.items():
        assert all(path in (ROOT / name).read_text() for path in paths), name


@pytest.mark.parametrize(
    "text",
    [
        '"run": "/work/full/runs/x"',
        "by `phasemap run a.yaml --storage /tmp/runs`",
        '["/root/phasemap/__main__.py"]',
        "--storage=/home/me/runs",
        "in /farm/7/checkout.",
        r'"C:\\Users\\me\\runs"',
        "D:/runs/small",
        "file:///data/runs",
        "/mnt/shared/runs",
    ],
)
def test_paths_of_machines_are_found(text):
    assert list(machine_paths("docs/reproduction.md", text))


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket/data/runs", "gs://tmp/work/x", "/usr/bin/chromium", "tests/data/band", "docs/work/x", "../work/x",
        "http://HEAD:8265/home/x", "runs/home/x", "~/data/x", "/proc/cpuinfo", "/api/runs/x", "{root}/data/x",
    ],
)  # fmt: skip
def test_uris_relative_paths_and_programs_are_not(text):
    assert not list(machine_paths("docs/reproduction.md", text))


def test_commands_of_the_stored_checks_can_be_typed():
    for path in (ROOT / "docs" / "reproduction").glob("*/check.json"):
        content = json.loads(path.read_text())
        program, command, study, *_ = content["execution"]["command"]
        assert (program, command) == ("phasemap", "run")
        assert f"name: {content['study']}\n" in (ROOT / study).read_text()
