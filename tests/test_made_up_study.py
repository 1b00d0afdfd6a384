"""A study in which nothing is built in: made-up labels, quantities and frontiers, through all that phasemap does."""

import json
import shutil
import textwrap

import pytest
from click.testing import CliRunner

import phasemap as pm
from phasemap.cli import cli

pytestmark = pytest.mark.usefixtures("forked")

PROGRAM = '''
"""A made-up training: five outcomes over two settings, by formulas."""

import math

import phasemap as pm


@pm.program(quantities={"skill": "accuracy", "rival": "accuracy", "strain": "loss", "drift": "number"})
def simulate(trial: pm.TrialContext, *, heat: float, pull: float, steps: int = 40):
    place = heat + 0.02 * trial.rng("place").standard_normal()
    for step in trial.steps(steps):
        share = step / steps
        skill = 1 / (1 + math.exp(-12 * (place * share - 0.35 - 0.3 * pull)))
        if 0.35 < pull < 0.7 and share > 0.85:
            skill *= 1 - 4 * (share - 0.85)
        strain = math.exp(-4 * share * (1 - pull)) + (5.0 if place > 0.94 and share > 0.8 else 0.0)
        rival = 1 / (1 + math.exp(-10 * (pull - 0.5)))
        trial.report(step, skill=skill, rival=rival, strain=strain, drift=place - pull * share)
'''

LABELS = """
  parameters: {able: 0.8}
  labels:
    bursting: {when: strain > 3, letter: B, colour: "#7b3294"}
    ripe: skill >= able and drift > 0.55
    tired: skill >= able
    spent: earlier(skill) >= able
    dull: otherwise
  groups: {good: [ripe, tired]}
  times: {ripening: skill >= able}
  columns: {late: ripening > 20}
  frontiers:
    able_line: skill = able
    rivalry: skill = rival
"""

STUDY = f"""
name: made_up
question: Does anything depend on names?
program: simulator.py:simulate
axes:
  heat: {{start: 0.0, stop: 1.0, num: 16}}
  pull: {{start: 0.0, stop: 1.0, num: 16}}
seeds: 2
phases:
{LABELS}
claims:
  - area(good) > area(bursting)
  - frontier(able_line, along=heat, pull=0.2) > 0.1
  - mean(strain) < 10
resources: {{pack_size: 64}}
"""
NAMES = ("bursting", "ripe", "tired", "spent", "dull")


def call(*arguments):
    done = CliRunner().invoke(cli, list(map(str, arguments)))
    assert done.exit_code == 0, done.output + done.stderr
    return done.output


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    """A storage with the whole map, made by the command."""
    root = tmp_path_factory.mktemp("made_up")
    (root / "simulator.py").write_text(PROGRAM)
    (root / "made_up.yaml").write_text(STUDY)
    call("run", root / "made_up.yaml", "--storage", root / "runs", "--in-process", "--json")
    return root


@pytest.fixture
def run(storage):
    return pm.open_run(storage / "runs" / "made_up")


def test_the_tables_have_the_study_s_names_and_no_others(run):
    assert len(run.trials) == 512
    assert set(run.trials["subphase"]) == set(NAMES)
    assert run.trials["subphase"].value_counts(normalize=True).min() > 0.01
    assert set(run.trials["phase"]) == {"bursting", "good", "spent", "dull"}
    known = {"heat", "pull", "steps", "skill", "rival", "strain", "drift", "ripening", "late"}
    fixed = {"trial_id", "seed", "status", "phase", "subphase", "rule", "label_reason", "horizon", "settled"}
    told = {"train_seconds", "pack_id", "host", "device", "kernel", "source", "error"}
    assert set(run.trials) == known | fixed | told
    assert {"frontier_able_line", "frontier_rivalry"} <= set(run.points)
    assert not {"generalizes", "generalization_wins", "test_accuracy"} & set(run.points)
    above = run.points["skill"] >= 0.8
    assert (run.points["frontier_able_line"] == "above").tolist() == above.tolist()
    assert len(run.curves) == 512 * 40


def test_labels_are_those_of_the_conditions(run):
    last = run.curves[run.curves["step"] >= 36].groupby("trial_id")[["skill", "strain", "drift"]].median()
    earlier = run.curves[run.curves["step"] < 36].groupby("trial_id")["skill"].max()
    trials = run.trials.set_index("trial_id")["subphase"]
    for trial_id, row in last.iterrows():
        expected = "dull"
        if row["strain"] > 3:
            expected = "bursting"
        elif row["skill"] >= 0.8:
            expected = "ripe" if row["drift"] > 0.55 else "tired"
        elif earlier[trial_id] >= 0.8:
            expected = "spent"
        assert trials[trial_id] == expected


def test_commands_speak_the_study_s_names(storage, tmp_path):
    run = storage / "runs" / "made_up"
    shown = call("show", run)
    for word in ("bursting", "ripe", "dull", "labelled by own"):
        assert word in shown
    assert "accuracy" not in shown
    content = json.loads(call("show", run, "--json"))
    assert set(content["subphase_counts"]) == set(NAMES)
    for name in ("a.png", "a.svg", "a.pdf"):
        call("plot", run, "-o", tmp_path / name)
    svg = (tmp_path / "a.svg").read_text()
    assert "able line" in svg
    assert "rivalry" in svg
    assert "test accuracy" not in svg
    assert "#7b3294" in svg
    for metric in ("skill", "strain", "drift", "phase"):
        call("plot", run, "--metric", metric, "-o", tmp_path / f"{metric}.png")
    call("plot", run, "--kind", "curves", "--fix", "pull=0.2", "-o", tmp_path / "curves.png")
    call("plot", run, "-x", "step", "--fix", "pull=0.2", "-o", tmp_path / "steps.png")
    refused = CliRunner().invoke(cli, ["plot", str(run), "--kind", "ipr", "-o", str(tmp_path / "x.png")])
    assert refused.exit_code == 2
    assert "trains none" in refused.stderr
    checked = json.loads(call("check", run, "--json"))
    assert [claim["verdict"] for claim in checked["claims"]] == ["holds"] * 3
    assert "rivalry" in call("diff", run, run)
    assert (
        "bursting"
        in call("export", run, "--table", "trials", "-o", tmp_path / "t.csv") + (tmp_path / "t.csv").read_text()
    )


def test_a_person_asks_for_its_frontiers_transitions_and_times(run):
    lines = run.diagram().frontier("able_line")
    assert len(lines) == 2  # a network may be spent in between
    assert run.diagram().frontier("rivalry")
    band = run.diagram().frontier_band("able_line")
    assert (band["low"] <= band["high"]).all()
    found = run.critical("heat", "able_line", fix={"pull": 0.2})
    assert 0.5 < found.location < 0.8
    assert run.critical("heat", "bursting", fix={"pull": 0.2}).location == pytest.approx(0.94, abs=0.04)
    assert run.survival("ripening")["n_reached"].iloc[0] > 50
    assert run.robustness()["phase_share"].between(0, 1).all()
    with pytest.raises(pm.UserError, match="able_line, rivalry"):
        run.diagram().frontier("generalization")


def test_its_trials_are_an_optuna_study(run):
    study = run.to_optuna()
    assert len(study.trials) == 512
    assert study.best_value == pytest.approx(run.trials["skill"].max())


def test_its_report_speaks_its_names_in_a_browser(storage, browser, tmp_path):
    page = tmp_path / "made_up.html"
    call("report", storage / "runs" / "made_up", "-o", page)
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    try:
        shown, heard = context.new_page(), []
        shown.on("pageerror", lambda error: heard.append(str(error)))
        shown.goto(page.as_uri())
        shown.wait_for_selector(".cells rect")
        shown.locator('.cells rect[data-point="20"]').click()
        shown.wait_for_selector("#curves > *")
        text = shown.inner_text("body")
    finally:
        context.close()
    assert not heard
    for word in ("bursting", "able line", "rivalry", "skill"):
        assert word in text
    for word in ("test accuracy", "memoriz", "grokking", "generaliz"):
        assert word not in text


def test_it_is_labelled_again_and_back(storage, tmp_path):
    shutil.copytree(storage / "runs" / "made_up", tmp_path / "made_up")
    rule = tmp_path / "other.yaml"
    rule.write_text(textwrap.dedent(LABELS).replace("able: 0.8", "able: 0.6"))
    before = pm.open_run(tmp_path / "made_up").trials["subphase"]
    call("relabel", tmp_path / "made_up", "--rule", rule)
    run = pm.open_run(tmp_path / "made_up")
    good = run.trials["phase"] == "good"
    assert good.sum() > before.isin(["ripe", "tired"]).sum()
    assert run.trials.loc[good, "skill"].min() < 0.8
    rule.write_text(textwrap.dedent(LABELS))
    call("relabel", tmp_path / "made_up", "--rule", rule)
    assert pm.open_run(tmp_path / "made_up").trials["subphase"].tolist() == before.tolist()
    for name in ("doshi2024", "memorized_fraction"):
        refused = CliRunner().invoke(cli, ["relabel", str(tmp_path / "made_up"), "--rule", name])
        assert refused.exit_code == 2
        assert "looks at" in refused.stderr
        assert "test_accuracy" in refused.stderr


def test_a_boundary_search_at_15_percent_finds_its_map(storage, run):
    text = STUDY.replace("name: made_up", "name: searched").replace("pack_size: 64", "pack_size: 4")
    (storage / "searched.yaml").write_text(text + "search: {kind: boundary, budget: 0.15, tolerance: 0}\n")
    call("run", storage / "searched.yaml", "--storage", storage / "runs", "--in-process", "--json")
    found = pm.open_run(storage / "runs" / "searched")
    assert len(found.trials) == round(0.15 * 512)
    assert found.points["inferred"].sum() > 150
    agreed = run.points["agreement"] == 1
    right = (found.points["phase"] == run.points["phase"])[agreed]
    assert right.mean() > 0.95
    assert "expected wrong" in call("show", storage / "runs" / "searched")


def test_it_is_served(storage, serve):
    client = serve(storage / "runs", tokens=False)
    assert client.get("/api/v1/runs/made_up").json()["summary"]["phase_counts"]["dull"] > 100
    trial = pm.open_run(storage / "runs" / "made_up").trials["trial_id"].iloc[0]
    curve = client.get(f"/api/v1/runs/made_up/trials/{trial}/curve").json()
    assert set(curve["quantities"]) == {"skill", "rival", "strain", "drift"}
    assert client.get("/api/v1/runs/made_up/map").status_code == 200
    assert client.get("/api/v1/runs/made_up/report").status_code == 200
