"""The law book: its page is what laws.py writes, and its verdicts are of the claims that stand in the studies."""

import json
import runpy
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
import yaml

from phasemap.study.file import load_study

ROOT = Path(__file__).parent.parent
LAWS = sorted((ROOT / "docs" / "laws").glob("*/check.json"))


def test_the_page_is_what_the_stored_checks_make_it(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    monkeypatch.setattr(sys, "argv", ["laws.py"])
    page = runpy.run_path(str(ROOT / "docs" / "laws.py"))["page"]
    assert page(ROOT / "docs" / "laws") == (ROOT / "docs" / "laws.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", LAWS, ids=[path.parent.name for path in LAWS])
def test_a_law_is_checked_by_the_claims_of_its_study(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    study = load_study(ROOT / "studies" / "laws" / f"{path.parent.name}.yaml")
    assert [claim["claim"] for claim in content["claims"]] == list(study.claims)
    assert content["n_done"] == content["n_trials"]
    assert len(study.seeds) >= 5


@pytest.mark.parametrize("path", LAWS, ids=[path.parent.name for path in LAWS])
def test_the_commit_that_a_law_was_run_from_is_older_and_holds_its_claims(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    execution = content["execution"]
    study = f"{execution['git']['commit']}:studies/laws/{path.parent.name}.yaml"
    stored = subprocess.run(["git", "show", study], cwd=ROOT, capture_output=True, text=True, check=False)
    if stored.returncode:
        pytest.skip("this copy has no history")
    assert yaml.safe_load(stored.stdout)["claims"] == [claim["claim"] for claim in content["claims"]]
    command = ["git", "show", "--no-patch", "--format=%cI", execution["git"]["commit"]]
    time = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    assert datetime.fromisoformat(time) < datetime.fromisoformat(execution["started"])
