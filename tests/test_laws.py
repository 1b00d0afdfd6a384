"""The law book: its page is what laws.py writes, and its verdicts are of the claims that stand in the studies."""

import json
import runpy
import sys
from pathlib import Path

import pytest

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
