"""Golden files are never made by a test or replaced without a word, and no difference is overlooked."""

import json
import math

import freeze
import golden_files
import golden_runs
import pytest
from golden_all import GOLDEN
from golden_files import DERIVED, FOLDER, Golden, MissingError, differences, dumped, names, plain
from golden_runs import StoredRun
from hypothesis import given, settings
from hypothesis import strategies as st

OLDER = {"band_figure.json"}  # of tests/figures/test_pages.py

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
contents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)


def test_every_golden_file_is_known_and_there():
    files = {path.name for path in FOLDER.iterdir() if path.is_file()}
    assert files == {golden.path.name for golden in GOLDEN} | OLDER
    assert len(set(names(GOLDEN))) == len(GOLDEN)


@settings(max_examples=40)
@given(contents)
def test_content_is_read_as_it_was_written(content):
    assert json.loads(dumped(content)) == plain(content)
    assert not differences(plain(content), json.loads(dumped(content)))


@settings(max_examples=40)
@given(st.dictionaries(st.text(), scalars, min_size=1, max_size=4), st.data())
def test_no_changed_value_is_overlooked(content, data):
    golden = plain(content)
    key = data.draw(st.sampled_from(sorted(golden)))
    other = data.draw(
        scalars.map(plain).filter(lambda value: repr(value) != repr(golden[key]) and value != golden[key])
    )
    (told,) = differences(golden, golden | {key: other})
    assert told.startswith(f"{key}: ")
    assert len(differences(golden, {k: v for k, v in golden.items() if k != key})) == 1
    assert len(differences([*golden.values()], [*golden.values(), 1])) == 1


def test_types_count_and_numbers_are_near_only_where_they_are_derived():
    near = 0.1 * (1 + 1e-13)
    assert differences({"a": 1}, {"a": 1.0})
    assert differences({"a": 1}, {"a": True})
    assert differences({"a": 0.1}, {"a": near})
    assert not differences({DERIVED: {"a": [0.1, 1]}}, {DERIVED: {"a": [near, 1.0]}})
    assert differences({DERIVED: {"a": 0.1}}, {DERIVED: {"a": 0.1 * (1 + 1e-11)}})
    assert differences({DERIVED: {"a": 1}}, {DERIVED: {"a": True}})
    assert not differences(plain({"a": math.nan}), plain({"a": math.nan}))
    assert differences(plain({"a": math.nan}), plain({"a": None}))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(golden_files, "FOLDER", tmp_path)
    monkeypatch.setattr(golden_runs, "ROOT", tmp_path / "runs")
    monkeypatch.setattr(golden_runs, "SUMS", tmp_path / "runs" / "SHA256SUMS")
    return tmp_path


def test_a_missing_file_fails_and_is_not_made(folder):
    golden = Golden(name="one", make=lambda: {"a": 1})
    with pytest.raises(MissingError, match=r"one\.json is missing; tests make no golden files"):
        golden.check()
    assert not list(folder.iterdir())


def test_what_differs_is_shown_and_stays_unless_it_is_accepted(folder, capsys):
    assert freeze.freeze(Golden(name="one", make=lambda: {"a": 1, "b": 2}), accept=False)
    changed = Golden(name="one", make=lambda: {"a": 3, "b": 2})
    with pytest.raises(AssertionError, match=r"one\.json differs:\na: 1 is now 3"):
        changed.check()
    assert not freeze.freeze(changed, accept=False)
    assert changed.read() == {"a": 1, "b": 2}
    assert freeze.freeze(changed, accept=True)
    assert changed.read() == {"a": 3, "b": 2}
    written = changed.path.stat().st_mtime_ns
    assert freeze.freeze(changed, accept=True)
    assert changed.path.stat().st_mtime_ns == written
    told = capsys.readouterr().out.splitlines()
    shown = ["one: 1 differences", "  a: 1 is now 3"]
    assert told == ["one: new, written", *shown, "one: 1 differences, written", shown[1], "one: unchanged"]


class Trained(StoredRun):
    """A run that takes no time."""

    def made(self, target):
        target.mkdir(parents=True)
        (target / "shard").write_text("new")

    def changes(self, other):
        return ["the shard is another"]


def test_a_stored_run_that_differs_stays_unless_runs_are_accepted_too(folder, monkeypatch):
    monkeypatch.setattr(freeze, "GOLDEN", ())
    monkeypatch.setattr(freeze, "RUNS", (Trained(name="plane", make=lambda: None),))
    shard = folder / "runs" / "plane" / "shard"
    assert freeze.main(["--all"]) == 0
    assert shard.read_text() == "new"
    shard.write_text("old")
    assert [freeze.main(["--all", *more]) for more in ([], ["--accept"], ["--runs"])] == [1, 1, 1]
    assert shard.read_text() == "old"
    assert freeze.main(["runs/plane", "--accept", "--runs"]) == 0
    assert shard.read_text() == "new"
    assert "plane/shard" in golden_runs.SUMS.read_text()


@pytest.mark.parametrize("given", [[], ["nothing"], ["--all", "trial_ids"]])
def test_a_mistake_in_the_command_writes_nothing(folder, given):
    with pytest.raises(SystemExit) as ended:
        freeze.main(given)
    assert ended.value.code == 2
    assert not list(folder.iterdir())
