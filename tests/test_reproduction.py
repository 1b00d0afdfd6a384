"""The pages of the reproduction: written from the stored tables, the same again, and the comparison with a sub-grid."""

import json
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from conftest import run_in_process, study_of

import phasemap as pm
from phasemap.cli import cli

DOCS = Path(__file__).parent.parent / "docs"
HOLDS = "area(memorization) + area(generalizes) + area(confusion) + area(forgetting) >= 1"
FAILS = "max(weight_norm, weight_decay=2) > min(weight_norm, weight_decay=0) + 100"
ENTRY = {
    "page": "figure-7b",
    "figure": "Figures 7b and 14",
    "studies": ["fig07b"],
    "claim": "It does | hold.",
    "paper": "A picture.",
    "found": "The same.",
    "refuted": "That it fails.",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of the small study with a claim."""
    study = study_of(name="fig07b_small", question="Does | it hold?", claims=[HOLDS])
    return run_in_process(study, tmp_path_factory.mktemp("reproduction")).path


def write(page):
    subprocess.run([sys.executable, DOCS / "reproduction.py", page], check=True)
    return page.read_text()


def store(run, page, *claims):
    """Put a run's check.json where a page is written from, and return its folder and content."""
    folder = page.with_suffix("") / run.name
    folder.mkdir(parents=True)
    more = [part for claim in claims for part in ("--claim", claim)]
    content = json.loads(CliRunner().invoke(cli, ["check", str(run), *more, "--json"]).stdout)
    content["execution"]["command"] = ["phasemap", "run", "a.yaml", "--set", "axes.dropout=[0]"]  # quoted for a shell
    (folder / "check.json").write_text(json.dumps(content))
    return folder, content


def test_a_figure_has_a_row_and_a_page_that_tell_what_check_found(run, tmp_path):
    folder, content = store(run, tmp_path / "page.md", FAILS, "median(forgetting_step) < 10")
    (folder / "notes.md").write_text("Looked into by hand.\n")
    (folder.parent / "figures.yaml").write_text(yaml.safe_dump([ENTRY]))
    shutil.copy(run / "diagram.png", folder)
    (row,) = [line for line in write(tmp_path / "page.md").splitlines() if line.startswith("| [")]
    assert row.startswith("| [Figures 7b and 14](page/figure-7b.md) | It does \\| hold. | A picture. | The same. | ")
    assert "| paper: **holds partly** (1 of 3; 2 seeds; " in row
    assert row.endswith("]) |")
    text = (folder.parent / "figure-7b.md").read_text()
    assert text.startswith("# Figures 7b and 14\n\nIt does | hold.\n\n**The paper.** A picture.\n\n**Here.** The same.")
    assert "**What did not hold.** That it fails." in text
    assert "Does | it hold? **Holds partly.**" in text
    assert "corruption 0, 0.3, weight decay 0, 2; labelled by memorized_fraction. 8 of 8 trials" in text
    assert f"| `{HOLDS}` | **holds** | 1 | >= | 1 | 0 [0, 0] | 8 of 8 |  |" in text
    assert f"| `{FAILS}` | **refuted** | {content['claims'][1]['left']:.4g} | > |" in text
    assert "| **refuted** | not reached | < | 10 | not reached [not reached, not reached] | 8 of 8 | forgetting" in text
    assert "\n\nLooked into by hand.\n" in text
    assert f"]({run.name}/diagram.png)\n*Figure 7b, study fig07b_small: diagram*" in text
    assert f"by `{shlex.join(content['execution']['command'])}`." in text


def test_a_study_that_no_page_names_gets_one_of_its_own(run, tmp_path):
    folder, _ = store(run, tmp_path / "page.md")
    (folder.parent / "old.md").write_text("of a study that is gone")
    assert "| [Figure 7b](page/fig07b-small.md) | Does \\| it hold? | not in the paper |" in write(tmp_path / "page.md")
    assert [path.name for path in folder.parent.glob("*.md")] == ["fig07b-small.md"]


def test_the_cost_of_a_search_comes_from_its_provenance_and_points(run, tmp_path):
    folder, _ = store(run, tmp_path / "page.md")
    executions = [("2026-11-26T20:00:00+00:00", "2026-11-26T21:30:00+00:00"), ("2026-11-26T22:00:00+00:00", None)]
    rows = [{"started": started, "ended": ended} for started, ended in executions]
    (folder / "provenance.json").write_text(json.dumps(rows))
    points = pd.DataFrame({"inferred": [True, True, False, False], "confidence": [0.9, 0.7, None, None]})
    points.to_parquet(folder / "points.parquet")
    write(tmp_path / "page.md")
    text = (folder.parent / "fig07b-small.md").read_text()
    assert ", 1.5 hours of wall time; 2 of 4 points inferred, 10 % of the map expected to be wrong, ended " in text


def test_a_search_says_how_many_trials_its_claims_rest_on_and_shows_the_shares_of_its_map(run, tmp_path):
    folder, content = store(run, tmp_path / "page.md")
    content |= {"counts": {"holds": 2, "fails": 0, "undecided": 0}, "axes": {"x": [0, 1], "y": [0, 1], "decay": [0, 5]}}
    (folder / "check.json").write_text(json.dumps(content))
    rows = {"decay": [0, 0, 5, 5], "subphase": ["memorization", "full_inversion", "forgetting", "forgetting"]}
    pd.DataFrame(rows | {"inferred": [True, False, True, True], "confidence": 0.9}).to_parquet(
        folder / "points.parquet"
    )
    assert "**holds** (2 of 2; a search of 8 of 8 trials)" in write(tmp_path / "page.md")
    text = (folder.parent / "fig07b-small.md").read_text()
    assert "| decay | forgetting | full inversion | memorization |" in text
    assert "| 0 | 0 % | 50 % | 50 % |\n| 5 | 100 % | 0 % | 0 % |" in text


def test_verdicts_over_areas_from_before_they_allowed_for_steps_are_marked(run, tmp_path):
    folder, content = store(run, tmp_path / "page.md", "area(generalizes) >= 0")
    write(tmp_path / "page.md")
    page = folder.parent / "fig07b-small.md"
    assert "before claims over areas" not in page.read_text()
    content["execution"]["ended"] = "2026-11-25T12:00:00+00:00"
    (folder / "check.json").write_text(json.dumps(content))
    write(tmp_path / "page.md")
    assert "Tested on 2026-11-25, before claims over areas and shares allowed for the steps" in page.read_text()


@pytest.mark.parametrize(
    ("holds", "fails", "undecided", "verdict"),
    [
        (3, 0, 0, "holds"),
        (2, 1, 0, "holds partly"),
        (2, 0, 1, "holds partly"),
        (0, 2, 1, "refuted"),
        (0, 0, 2, "undecided"),
        (0, 0, 0, "no claims"),
    ],
)
def test_the_verdict_on_a_study_sums_its_claims_up(holds, fails, undecided, verdict):
    page = runpy.run_path(str(DOCS / "reproduction.py"))
    assert page["verdict"]({"counts": {"holds": holds, "fails": fails, "undecided": undecided}}) == verdict


def test_small_versions_stand_behind_their_figure_and_own_studies_last():
    page = runpy.run_path(str(DOCS / "reproduction.py"))
    names = ["fig03a_x", "small_fig03a_x", "fig03b_a", "small_fig07a_a", "fig10_x", "small_fig10_x", "modulus"]
    assert sorted(set(names), key=page["place"]) == names
    assert [page["kind"](name) for name in names[-3:]] == ["paper", "small", "own"]
    assert [page["figure"](name) for name in ("small_fig03a_x", "modulus")] == ["Figure 3a", "modulus"]


def test_the_committed_pages_are_those_that_the_stored_tables_make(tmp_path):
    shutil.copytree(
        DOCS / "reproduction", tmp_path / "reproduction", ignore=shutil.ignore_patterns("figure-*.md", "own-*.md")
    )
    assert write(tmp_path / "reproduction.md") == (DOCS / "reproduction.md").read_text()
    made = {path.name: path.read_text() for path in (tmp_path / "reproduction").glob("*.md")}
    assert made == {path.name: path.read_text() for path in (DOCS / "reproduction").glob("*.md")}


def test_every_stored_study_has_a_page_of_figures_yaml():
    page = runpy.run_path(str(DOCS / "reproduction.py"))
    assert all("studies" in entry for entry, _ in page["entries"](DOCS / "reproduction"))


def test_every_committed_check_is_of_a_study_that_ships_with_the_same_claims():
    studies = {study.name: study for study in map(pm.load_study, (DOCS.parent / "studies").rglob("*.yaml"))}
    for path in (DOCS / "reproduction").glob("*/check.json"):
        content = json.loads(path.read_text())
        assert content["study"] == path.parent.name
        assert [claim["claim"] for claim in content["claims"]] == list(studies[content["study"]].claims)
