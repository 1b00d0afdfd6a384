"""Slow tests are run where what they test has changed, and in full where that is unknown."""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import slow

TESTS = Path(__file__).parent


def marked():
    """Return the group of each slow test as the code names it: by its mark, or as cases of a parametrized test."""
    found = []
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = path.relative_to(slow.ROOT).as_posix()
            if ast.unparse(node.func) == "pytest.mark.slow":
                (keyword,) = node.keywords
                found.append((keyword.arg, ast.literal_eval(keyword.value), name))
            elif ast.unparse(node.func) == "slow":
                found.append(("group", ast.literal_eval(node.args[0]), name))
    return found


@pytest.fixture
def checkout(tmp_path):
    """A copy of what the groups cover."""
    for group in slow.GROUPS:
        for path in slow.files_of(group):
            there = tmp_path / path.relative_to(slow.ROOT)
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, there)
    return tmp_path


def record(root):
    return {group: slow.digest(group, root) for group in slow.GROUPS}


def test_every_slow_test_is_of_a_group_that_covers_its_own_file():
    assert {group for _, group, _ in marked()} == set(slow.GROUPS)
    for name, group, path in marked():
        assert name == "group"
        assert slow.ROOT / path in slow.files_of(group)


def test_nothing_is_run_where_nothing_has_changed_since_the_record(checkout):
    assert slow.changed(record(slow.ROOT), checkout) == []  # a copy elsewhere, with other times
    (checkout / "phasemap/running/__pycache__").mkdir()
    (checkout / "phasemap/running/__pycache__/driver.pyc").write_bytes(b"compiled")
    (checkout / "README.md").write_text("no group covers it")
    assert slow.changed(record(slow.ROOT), checkout) == []


@pytest.mark.parametrize(
    ("path", "groups"),
    [
        ("phasemap/running/driver.py", ["chaos", "clusters", "programs"]),
        ("phasemap/search/sampler.py", ["search"]),
        ("phasemap/diagram/points.py", ["search", "report", "statistics"]),
        ("phasemap/results/shards.py", ["chaos", "report"]),
        ("tests/data/search/space.yaml", ["search"]),
        ("constraints.txt", list(slow.GROUPS)),
    ],
)
def test_a_group_is_run_when_a_file_that_it_covers_is_changed_added_or_removed(checkout, path, groups):
    before = record(checkout)
    file = checkout / path
    content = file.read_bytes()
    file.write_bytes(content + b"\n")
    assert slow.changed(before, checkout) == groups
    file.write_bytes(content)
    assert slow.changed(before, checkout) == []
    if len(Path(path).parts) > 2:
        file.rename(file.with_name("renamed.py"))
        there = [group for group in groups if path not in slow.GROUPS[group]]
        with_folder = {group: slow.digest(group, checkout) for group in there}
        assert all(with_folder[group] != before[group] for group in there)


@pytest.mark.parametrize("text", [None, "", "[]", "null", "{", '{"chaos": 3}'])
def test_all_groups_are_run_where_the_record_is_missing_or_damaged(text, tmp_path, monkeypatch):
    monkeypatch.setattr(slow, "RECORD", tmp_path / "slow.json")
    if text is not None:
        slow.RECORD.write_text(text)
    assert slow.changed(slow.recorded()) == list(slow.GROUPS)


def test_a_path_that_is_not_there_is_a_mistake(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"the slow group search covers constraints.txt, which is not there"):
        slow.digest("search", tmp_path)


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder of its own with a quick test and two slow ones, whose pytest starts without plug-ins."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\nmarkers = ['slow(group): slow']\n")
    slow_test = "@pytest.mark.slow(group={group!r})\ndef test_{group}(): pass\n"
    tests = ["import pytest\ndef test_quick(): pass\n", *(slow_test.format(group=name) for name in ("chaos", "search"))]
    (tmp_path / "test_some.py").write_text("".join(tests))
    return tmp_path


def test_the_selection_is_one_that_pytest_understands(own):
    for groups, n in ((["chaos"], 1), (["search", "chaos"], 2)):
        words = [sys.executable, "-m", "pytest", "-m", slow.selection(groups)]
        assert f"{n} passed" in subprocess.run(words, capture_output=True, text=True, cwd=own).stdout


def test_only_groups_that_changed_are_run(own, monkeypatch, capfd):
    monkeypatch.setattr(slow, "RECORD", own / "slow.json")
    monkeypatch.setattr(slow, "ROOT", own)
    monkeypatch.setattr(slow, "digest", lambda group, root=None: f"{group} now")
    monkeypatch.setattr(sys, "argv", ["slow.py", "changed"])
    slow.RECORD.write_text(json.dumps({group: f"{group} now" for group in slow.GROUPS if group != "chaos"}))
    assert slow.main() == 0
    assert "1 passed" in capfd.readouterr().out
    slow.RECORD.write_text(json.dumps({group: f"{group} now" for group in slow.GROUPS}))
    assert slow.main() == 0
    assert "none" in capfd.readouterr().out


def test_a_record_is_kept_only_of_what_passed(own, monkeypatch):
    monkeypatch.setattr(slow, "RECORD", own / "slow.json")
    monkeypatch.setattr(slow, "ROOT", own)
    monkeypatch.setattr(slow, "digest", lambda group: f"{group} now")
    monkeypatch.setattr(sys, "argv", ["slow.py", "run", "--", "--no-such-option"])
    assert slow.main() != 0
    assert not slow.RECORD.exists()
    monkeypatch.setattr(sys, "argv", ["slow.py", "run"])
    assert slow.main() == 0
    assert json.loads(slow.RECORD.read_text()) == {group: f"{group} now" for group in slow.GROUPS}
