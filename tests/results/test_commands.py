"""Commands as a reader can type them."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasemap.results.commands import portable_path, typed_command
from phasemap.results.folder import RunFolder
from phasemap.results.provenance import Provenance, read_provenance

STORAGE = Path("/data/me/runs")


@pytest.mark.parametrize(
    ("arguments", "typed"),
    [
        ("/opt/env/bin/phasemap run a.yaml --storage /data/me/runs", "phasemap run a.yaml --storage runs"),
        ("/src/phasemap/__main__.py run studies/a.yaml --in-process", "phasemap run studies/a.yaml --in-process"),
        ("/lib/pytest/__main__.py -q tests", "python -m pytest -q tests"),
        ("/home/me/sweep.py --storage=/data/me/runs", "python sweep.py --storage=runs"),
        ("-c", "python -c"),
        ("phasemap run /data/me/runs/.serve/a.yaml --storage .", "phasemap run runs/.serve/a.yaml --storage ."),
        ("phasemap run /home/me/a.yaml --storage file:///data/me/runs", "phasemap run a.yaml --storage runs"),
        ("phasemap run a.yaml --set task={path:/home/me/x.npz}", "phasemap run a.yaml --set task={path:x.npz}"),
        ("phasemap run a.yaml --set task.path=/home/me/x.npz", "phasemap run a.yaml --set task.path=x.npz"),
        ("phasemap run a.yaml --storage s3://bucket/home/runs", "phasemap run a.yaml --storage s3://bucket/home/runs"),
        ("phasemap submit a.yaml --address http://head:8265", "phasemap submit a.yaml --address http://head:8265"),
        (r"C:\env\Scripts\phasemap.exe run C:\Users\me\a.yaml", "phasemap run a.yaml"),
        ("phasemap run ../a.yaml --set axes.dropout=[0,.1]", "phasemap run ../a.yaml --set axes.dropout=[0,.1]"),
    ],
)  # fmt: skip
def test_a_command_names_its_program_and_paths_from_where_a_reader_stands(arguments, typed):
    assert typed_command(arguments.split(), STORAGE) == typed.split()


def test_paths_with_spaces_stay_whole():
    command = ["phasemap", "run", "/home/me/my studies/a.yaml", "--set", "task.path=/home/me/my data/x y.npz"]
    assert typed_command(command, STORAGE) == ["phasemap", "run", "a.yaml", "--set", "task.path=x y.npz"]


def test_paths_inside_the_working_directory_are_relative_to_it(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert typed_command(["phasemap", "run", f"{tmp_path}/studies/a.yaml", "--storage", str(tmp_path)], tmp_path) == [
        "phasemap", "run", "studies/a.yaml", "--storage", ".",
    ]  # fmt: skip
    monkeypatch.chdir("/")
    assert portable_path("/home/me/a.yaml") == "a.yaml"


PROGRAMS = st.sampled_from(["/env/bin/phasemap", "/src/phasemap/__main__.py", "/home/me/sweep.py", "-c", "a.exe", ""])


NAMES = st.text(alphabet="ab. -_1", min_size=1, max_size=6).filter(lambda name: name == name.strip(". "))
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
WORDS = st.one_of(
    NAMES, PATHS, PATHS.map("/{}".format), PATHS.map("/data/me/runs/{}".format), PATHS.map("s3://{}".format),
    PATHS.map("--storage=/{}".format), NAMES.map("task={{kind: arrays, path: /home/{}/x}}".format),
)  # fmt: skip


@given(PROGRAMS, st.lists(WORDS, max_size=4))
def test_what_can_be_typed_stays_as_it_is(program, arguments):
    once = typed_command([program, *arguments], STORAGE)
    assert typed_command(once, STORAGE) == once
    assert not any(Path(part.rpartition("=")[2]).is_absolute() or "/home" in part for part in once)


def test_an_execution_is_stored_and_read_with_the_command_that_can_be_typed(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path / "runs" / "mine")
    folder.create()
    monkeypatch.setattr("sys.argv", ["/bin/phasemap", "run", "/home/me/a.yaml", "--storage", str(folder.path.parent)])
    Provenance(folder, study_hash="abc", runner="in-process")
    wanted = ["phasemap", "run", "a.yaml", "--storage", "runs"]
    (stored,) = json.loads(folder.provenance.read_text())
    assert stored["command"] == wanted
    folder.provenance.write_text(json.dumps([stored | {"command": ["/src/phasemap/__main__.py", *wanted[1:]]}]))
    assert read_provenance(folder)[0].content["command"] == wanted
