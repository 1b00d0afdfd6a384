"""The law book: its page is what laws.py writes, and its verdicts are of the claims that stand in the studies."""

import json
import runpy
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest
import yaml

from phasemap.study.file import load_study

ROOT = Path(__file__).parent.parent
LAWS = sorted((ROOT / "docs" / "laws").glob("*/check.json"))
MOST_CORE_HOURS = 2 * 20 / 60  # two cores for 20 minutes
CHOSEN_ON = {100, 101}  # seeds


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
    assert not CHOSEN_ON & set(study.seeds)
    assert content["core_hours"] <= MOST_CORE_HOURS


def test_every_law_has_its_run_source_verdict_and_picture_and_the_book_begins_with_muon_and_repair():
    names = (ROOT / "docs" / "laws" / "order.txt").read_text(encoding="utf-8").split()
    assert sorted(names) == [path.parent.name for path in LAWS]
    assert sorted(names) == sorted(path.stem for path in (ROOT / "studies" / "laws").glob("*.yaml"))
    assert names[:2] == ["muon_map", "repair"]
    assert len(names) >= 8
    for name in names:
        folder = ROOT / "docs" / "laws" / name
        assert "**Claim.**" in (folder / "source.md").read_text(encoding="utf-8")
        assert (folder / "notes.md").exists()
        assert list(folder.glob("*.png"))


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


def test_the_map_of_optimizers_says_by_which_factor_one_is_earlier_and_where_seeds_disagree(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    script = runpy.run_path(str(ROOT / "docs" / "optimizer_map.py"))
    never = None
    found = {  # of three seeds at each learning rate: (AdamW, Muon)
        0.1: [(200, 100), (240, 100), (300, 100)],
        0.2: [(100, 200), (100, 210), (300, 200)],
        0.3: [(never, 90), (never, 80), (400, 500)],
        0.4: [(80, never), (80, never), (80, never)],
        0.5: [(never, never)] * 3,
        0.6: [(never, never), (never, never), (never, 600)],
    }
    rows = [
        {"weight_decay": 1.0, "width": 8, "batch_size": "full", "learning_rate": rate, "seed": seed, "optimizer": name}
        | {"grokking_step": step}
        for rate, seeds in found.items()
        for seed, steps in enumerate(seeds)
        for name, step in zip(("adamw", "muon"), steps, strict=True)
    ]
    points = script["compared"](script["steps_of"](pd.DataFrame(rows))).set_index("learning_rate")
    told = {rate: script["words"](point) for rate, point in points.iterrows()}
    assert told == {
        **{0.1: "2.4", 0.2: "2.0?", 0.3: "alone?", 0.4: "alone", 0.5: "neither", 0.6: "few"},
        "best": "1.1?",
    }
    assert points.loc["best", ["adamw", "muon", "muon_earlier"]].tolist() == [80, 90, 0]
    assert points.loc[0.1, "factor"] == 2.4
