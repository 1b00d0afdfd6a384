"""Every command prints with --json what it printed, and ends with the same exit code."""

import pytest
from golden_commands import GOLDEN, GROUPS
from golden_files import names
from golden_rules import RULES, normalised

from phasemap.cli import cli


@pytest.mark.parametrize("golden", GOLDEN, ids=names(GOLDEN))
def test_commands_print_what_they_printed(golden):
    golden.check()


def test_every_command_is_among_them():
    lines = [one.line for group in GROUPS.values() for one in group]
    assert set(cli.commands) <= {line.split()[0] for line in lines}


def test_a_rule_changes_what_it_is_for_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = {"run": f"{tmp_path}/runs/a", "seconds": 1.5, "verdict": "bit", "time": "2026-01-02T03:04:05+00:00"}
    assert normalised(content) == content
    assert normalised(content, "here") == content | {"run": "./runs/a"}
    assert normalised(content, "seconds") == content | {"seconds": "SECONDS"}
    assert normalised(content, "met") == content | {"verdict": "met"}
    assert normalised([content], "time") == [content | {"time": "TIME"}]
    assert all(rule.why for rule in RULES.values())
