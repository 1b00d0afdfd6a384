"""phasemap diff, as a user meets it."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from phasemap.cli import cli
from phasemap.study.file import load_resolved
from phasemap.study.writing import dump_study

BAND = Path(__file__).parent / "data" / "band"


def diff(*arguments):
    return CliRunner().invoke(cli, ["diff", *map(str, arguments)])


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    """Two runs that hold weight decay at 0 and at 8, the second under a name that must be escaped."""
    root, study = tmp_path_factory.mktemp("held"), load_resolved(BAND / "study.yaml")
    for name, value in (("none", 0.0), ("strong", 8.0)):
        (root / name).mkdir()
        part = study.model_copy(
            update={
                "name": name,
                "axes": study.axes[:1],
                "fixed": study.fixed.model_copy(update={"weight_decay": value}),
                "seeds": (0, 1, 2),
            }
        )
        (root / name / "study.yaml").write_text(dump_study(part))
        shutil.copy(BAND / "trials.parquet", root / name)
    return root


def test_a_run_equals_itself(tmp_path):
    done = diff(BAND, BAND, "--fail-on-change", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["verdict"] == "equal"


def test_a_change_fails_only_where_asked(held):
    asked = diff(held / "none", held / "strong", "--fail-on-change", "--json")
    assert asked.exit_code == 1
    found = json.loads(asked.stdout)
    assert (found["verdict"], found["n_points"]) == ("changed", 9)
    assert found["differences"] == ["fixed.weight_decay: 0 and 8"]
    assert found["transitions"]["phase"]["counts"]["memorization"]["grokking"] == 3
    calm = diff(held / "none", held / "strong")
    assert calm.exit_code == 0
    assert "A none, B strong: changed" in calm.stdout
    assert "differs: fixed.weight_decay: 0 and 8" in calm.stdout


@pytest.fixture(scope="module")
def relabelled(tmp_path_factory):
    """The stored run under the paper's rule: the same networks."""
    folder = tmp_path_factory.mktemp("relabelled") / "doshi"
    folder.mkdir()
    study = load_resolved(BAND / "study.yaml")
    rule = study.phases.model_copy(update={"rule": "doshi2024"})
    (folder / "study.yaml").write_text(dump_study(study.model_copy(update={"phases": rule})))
    trials = pd.read_parquet(BAND / "trials.parquet")
    trials.assign(subphase=trials["subphase_doshi2024"], rule="doshi2024").to_parquet(folder / "trials.parquet")
    return folder


def test_the_same_networks_under_two_rules_are_said_to_be_the_same(relabelled, tmp_path):
    told = "the same 1080 networks, labelled by two rules (memorized_fraction"
    page = tmp_path / "diff.html"
    done = diff(BAND, relabelled, "--fail-on-change", "-o", page)
    assert done.exit_code == 1
    assert "A band, B doshi: labelled differently" in done.stdout
    assert told in done.stdout
    assert "the labelling has changed, not the networks" in done.stdout
    assert "paired over the 20 seeds of both runs" in done.stdout
    assert told in page.read_text()
    assert "<h1>A: band, B: doshi: labelled differently</h1>" in page.read_text()
    assert "paired over the 20 seeds of both runs" in page.read_text()
    found = json.loads(diff(BAND, relabelled, "--json").stdout, parse_constant=pytest.fail)
    assert (found["verdict"], found["same_networks"], found["n_same_networks"]) == ("labelled differently", True, 1080)
    assert found["reason"].startswith(told)
    assert (found["p_seeds"], found["changed_points"][0]["p_value"]) == (None, None)
    assert found["shifts_paired_over_seeds"] == list(range(20))


@pytest.mark.parametrize("ending", [".html", ".png", ".svg", ".pdf"])
def test_the_comparison_is_written_as_a_page_or_a_picture(held, ending, tmp_path):
    path = tmp_path / f"diff{ending}"
    assert diff(held / "none", held / "strong", "-o", path).exit_code == 0
    assert path.stat().st_size > 5000
    if ending == ".html":
        page = path.read_text()
        assert "fixed.weight_decay: 0 and 8" in page
        assert "data:image/png;base64," in page
        assert "<script" not in page
        assert "http" not in page


def test_every_text_of_the_page_is_escaped(held):
    import dataclasses

    import phasemap as pm
    from phasemap.figures.difference import difference_page

    found = pm.open_run(held / "none").diff(pm.open_run(held / "strong"))
    attack = "<script>alert(1)</script>"
    table = found.points.assign(subphase_a=lambda f: f["subphase_a"])
    evil = dataclasses.replace(found, name_a=attack, reason=attack, differences=(attack,), points=table)
    page = difference_page(evil)
    assert attack not in page
    assert page.count("&lt;script&gt;") == 3 + 1  # title and heading both name the run


def test_mistakes_end_with_2(held, tmp_path):
    for arguments, message in (
        ((BAND, tmp_path), "is not a run"),
        ((BAND, BAND, "-o", tmp_path / "diff.gif"), "allowed: .html, .png, .svg, .pdf"),
    ):
        done = diff(*arguments)
        assert done.exit_code == 2
        assert message in done.output


def test_markdown_has_verdict_claims_changed_points_and_the_picture(held, tmp_path):
    claim = "share(test_accuracy > 0.5) > 0.5"
    for name in ("none", "strong"):
        shutil.copytree(held / name, tmp_path / name)
    study = load_resolved(tmp_path / "strong" / "study.yaml")
    (tmp_path / "strong" / "study.yaml").write_text(dump_study(study.model_copy(update={"claims": (claim,)})))
    done = diff(tmp_path / "none", tmp_path / "strong", "--format", "markdown", "-o", tmp_path / "change.png")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[:2] == ["<!-- phasemap diff -->", "### Phase diagram: changed"]
    assert "![phase diagrams of A and B, and where they differ](change.png)" in lines
    assert (tmp_path / "change.png").read_bytes().startswith(b"\x89PNG")
    (row,) = [line for line in lines if line.startswith(f"| `{claim}`")]
    assert len(row.split("|")) == 5
    found = json.loads(diff(tmp_path / "none", tmp_path / "strong", "--json").stdout)["changed_points"]
    table = lines[next(n for n, line in enumerate(lines) if line.startswith("| corruption")) + 2 :][: len(found)]
    assert [float(line.split("|")[1]) for line in table] == [point["corruption"] for point in found]
    letters = lines[lines.index("```") + 1]
    assert letters.count("*") == len(found)


def test_markdown_gives_no_meaning_to_what_runs_contain(held):
    from phasemap.diagram.comparison_texts import comparison_markdown
    from phasemap.runs import open_run

    found = open_run(held / "none").diff(open_run(held / "strong"))
    text = comparison_markdown(found, [("a `b` | <img src=x> | c\n# d", "holds", "fails")])
    (row,) = [line for line in text.splitlines() if "img" in line]
    assert row == r"| `a 'b' \| <img src=x> \| c # d` | **holds** | **fails** |"
