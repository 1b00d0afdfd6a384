"""A whole audit of a small table: what it writes, that it can be continued, and what it refuses."""

import dataclasses
import json
import re

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from small_data import blobs, frame_of, options_of

from phasemap.auditing import suspects
from phasemap.auditing.audit import audit
from phasemap.auditing.decision import decide, judge_predictions
from phasemap.auditing.inputs import texts
from phasemap.auditing.output import content_of, write_findings
from phasemap.auditing.page import page_html, summary
from phasemap.cli import cli
from phasemap.phases.marks import BUILT_IN_MARKS
from phasemap.running.runner import LocalRunner


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """An audit of 90 rows of which 9 have a wrong label: (folder, findings, content, wrong)."""
    root = tmp_path_factory.mktemp("audit")
    points, labels, wrong = blobs(90, flips=0.1)
    frame = frame_of(points, labels).assign(person=[f"secret-{i}" for i in range(90)])
    frame.to_csv(root / "data.csv", index=False)
    options = options_of(root / "data.csv", root / "out", verify_sheet=20)
    found = audit(options, LocalRunner, cores=1, quiet=True)
    return root, found, write_findings(found), wrong


def test_the_folder_holds_every_table_and_the_page(audited):
    root, *_ = audited
    names = {path.name for path in (root / "out").iterdir()}
    assert names >= {"audit.json", "audit.html", "suspects.csv", "scores.csv", "verify_sheet.csv", "learning_curve.csv"}


def test_suspects_are_every_row_most_suspect_first_and_find_the_flips(audited):
    root, _, _, wrong = audited
    table = pd.read_csv(root / "out" / "suspects.csv")
    assert list(table.columns) == ["row", "given_label", "suggested_label", "probability", "kind"]
    assert sorted(table["row"]) == list(range(90))
    assert (table["probability"].diff().dropna() <= 0).all()
    assert table["probability"].between(0, 1).all()
    assert set(table["kind"]) <= {"wrong", "rare", "ambiguous"}
    assert wrong[table["row"].head(9)].mean() >= 0.7


def test_it_is_told_how_much_neighbours_counted(audited):
    _, found, content, _ = audited
    assert found.neighbourhood in (suspects.USUAL, *suspects.OTHERS)
    told = content["suspects"]["neighbours"]
    assert told == {"count": 10, "held_out": found.neighbourhood.held_out, "votes": found.neighbourhood.votes}


def test_no_more_labels_are_expected_wrong_than_the_bound_allows(audited):
    _, found, *_ = audited
    certain = np.ones_like(found.probability)
    sure = dataclasses.replace(found, probability=certain, cautious=certain)
    content = content_of(sure)
    assert content["suspects"]["expected_wrong_share"] == found.noise.bound < 1
    assert content["headlines"][1]["rate"] == found.noise.bound


@pytest.fixture
def half_as_sure(monkeypatch):
    """Cautious probabilities that are half of the others; on data as clear as the example's they are the same."""
    monkeypatch.setattr(suspects.Calibration, "cautious", lambda self, suspicion: self.probability(suspicion) / 2)


@pytest.mark.usefixtures("half_as_sure")
def test_what_costs_money_counts_on_the_cautious_probabilities(audited):
    root, *_ = audited
    found = audit(options_of(root / "data.csv", root / "out"), no_runner, cores=1, quiet=True)
    content = content_of(found)
    assert found.cautious.mean() < found.probability.mean()
    again = decide(found.response, found.learning, found.cautious, found.options.prices, n_classes=3)
    assert (again.action, again.net) == (found.decision.action, found.decision.net)
    assert content["headlines"][1]["rate"] == pytest.approx(found.cautious.mean())
    assert content["suspects"]["cautious_wrong_share"] == pytest.approx(found.cautious.mean())
    assert content["stages"][1]["expected"] == pytest.approx(np.sort(found.cautious)[-30:].mean())


@pytest.mark.usefixtures("half_as_sure")
def test_a_model_is_judged_on_the_suspects_that_the_page_counts_and_by_the_share_that_advice_rests_on(
    audited, tmp_path, monkeypatch
):
    root, found, *_ = audited
    chances = pd.DataFrame(np.eye(3)[found.data.labels], columns=list(found.data.classes))
    trained = np.arange(90) % 2 == 0
    chances.assign(row=np.arange(90), trained=trained).to_csv(tmp_path / "predictions.csv", index=False)
    options = options_of(root / "data.csv", root / "out", predictions=tmp_path / "predictions.csv")
    seen = []

    def watched(predictions, data, wrong, expected):
        seen.append(wrong)
        return judge_predictions(predictions, data, wrong, expected)

    monkeypatch.setattr("phasemap.auditing.audit.judge_predictions", watched)
    again = audit(options, no_runner, cores=1, quiet=True)
    assert again.verdict.expected_wrong == pytest.approx(again.cautious.mean()) != pytest.approx(seen[0].mean())
    np.testing.assert_allclose(seen[0], found.probability)


def test_wrong_labels_cost_no_more_than_all_accuracy(audited):
    _, found, _, _ = audited
    huge = dataclasses.replace(found, decision=dataclasses.replace(found.decision, visibility=0.01))
    cost = content_of(huge)["headlines"][1]["estimate"]
    assert -1 <= cost["low"] <= cost["value"] <= cost["high"] <= 1


def test_the_parts_of_training_accuracy_add_up_and_memorized_labels_are_mostly_the_flips(audited):
    _, found, content, wrong = audited
    parts = content["memorization"]
    total = sum(parts[name]["value"] for name in ("held_out_accuracy", "useful", "harmful"))
    assert parts["train_accuracy"]["value"] == pytest.approx(total)
    assert found.scores.score[wrong].mean() > found.scores.score[~wrong].mean()
    assert not parts["claims_about_single_rows"]


def test_wrong_labels_cost_accuracy_and_rounds_are_shared_by_what_is_compared(audited):
    _, found, *_ = audited
    response = found.response
    assert response.losses().shape == (len(response.rounds),)
    assert response.losses().mean() > 0
    assert (response.gains(response.current) == 0).all()
    curve = response.curve(response.current)
    assert curve[0]["effective"] == 0
    assert curve[-1]["test_accuracy"]["value"] < curve[0]["test_accuracy"]["value"]
    assert response.trials["trial_id"].is_unique


def test_the_document_is_plain_json_with_three_headlines(audited):
    root, _, content, _ = audited
    text = (root / "out" / "audit.json").read_text()
    assert json.loads(text) == json.loads(json.dumps(content))
    assert "NaN" not in text
    assert [headline["question"] for headline in content["headlines"]] == ["memorizing", "wrong_labels", "next_step"]
    for headline in content["headlines"]:
        assert headline["estimate"]["low"] <= headline["estimate"]["value"] <= headline["estimate"]["high"]
    assert content["noise_rate"]["point"] is None
    assert content["noise_rate"]["bound"][0] == 0


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_page_asks_nothing_of_other_places_and_holds_no_data(audited, language):
    _, _, content, _ = audited
    page = page_html(content, language, {})
    assert f'<html lang="{language}">' in page
    assert not re.search(r"(src|href)=|url\(|https?://|<script", page)
    assert "secret" not in page
    assert page.count('class="card"') == 3
    assert "{" not in re.sub(r"<style>.*?</style>", "", page, flags=re.S)


def test_rows_are_embedded_only_when_asked_for(audited):
    _, _, content, _ = audited
    rows = {row["row"]: f"person: secret-{row['row']}" for row in content["suspects"]["top"]}
    assert "secret-" in page_html(content, "en", rows)


def test_every_built_in_phase_is_explained():
    assert set(texts("en")["phases"]) == set(BUILT_IN_MARKS) - {"grokking"}  # a group of others, never on the map


@pytest.mark.parametrize(("language", "share"), [("en", "61.2\u00a0% (0.0 to 63.0)"), ("ja", "61.2%（0.0～63.0）")])
def test_a_share_has_its_unit_and_interval_and_no_negative_zero(audited, language, share):
    _, _, content, _ = audited
    estimate = {"value": 0.612, "low": -0.0001, "high": 0.63}
    page = page_html({**content, "exposure": {"true_positive_rate_at_1_percent": estimate}}, language, {})
    assert share in page
    assert "-0.0 " not in page


@pytest.mark.parametrize(("visibility", "told"), [(0.9, True), (0.9996, False), (1.0, False)])
def test_what_wrong_test_labels_hide_is_told_where_they_hide_something(audited, visibility, told):
    content = audited[2]
    page = page_html({**content, "decision": {**content["decision"], "visibility": visibility}}, "en", {})
    assert ("of a gain" in page) is told


def test_names_of_options_are_code_on_the_page_and_plain_in_the_terminal(audited):
    _, _, content, _ = audited
    assert "<code>--verify-sheet</code>" in page_html(content, "en", {})
    assert "`" not in page_html(content, "en", {})
    assert "`" not in summary(content, "en")


def test_the_summary_is_in_the_language(audited):
    _, _, content, _ = audited
    assert "Is the model memorizing?" in summary(content, "en")
    assert "モデルは暗記しているか" in summary(content, "ja")


def no_runner():
    raise AssertionError("everything is trained")


def test_continuing_trains_nothing_and_a_filled_sheet_gives_a_point(audited, tmp_path):
    root, _, _, wrong = audited
    sheet = pd.read_csv(root / "out" / "verify_sheet.csv")
    _, labels, _ = blobs(90, flips=0.1)
    truth = np.where(wrong[sheet["row"]], (labels[sheet["row"]] + 1) % 3, labels[sheet["row"]])
    sheet.assign(verified_label=[f"c{label}" for label in truth]).to_csv(tmp_path / "filled.csv", index=False)
    options = options_of(root / "data.csv", root / "out", verified=tmp_path / "filled.csv")
    point = write_findings(audit(options, no_runner, cores=1, quiet=True))["noise_rate"]["point"]
    assert point["low"] <= wrong.mean() <= point["high"]


def test_what_people_found_bounds_the_probabilities(audited, tmp_path):
    root, *_ = audited
    sheet = pd.read_csv(root / "out" / "verify_sheet.csv")
    _, labels, _ = blobs(90, flips=0.1)
    others = [f"c{(labels[row] + 1) % 3}" for row in sheet["row"]]  # each label is found wrong
    sheet.assign(verified_label=others).to_csv(tmp_path / "filled.csv", index=False)
    options = options_of(root / "data.csv", root / "out", verified=tmp_path / "filled.csv")
    found = audit(options, no_runner, cores=1, quiet=True)
    assert found.noise.point.low > 0.5
    assert found.cautious.mean() == pytest.approx(found.noise.point.low, abs=1e-6)


def run(*words):
    result = CliRunner().invoke(cli, ["audit", *map(str, words)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_a_mistake_ends_with_code_2_and_leaves_nothing(tmp_path):
    points, labels, _ = blobs(60)
    frame_of(points, labels).to_csv(tmp_path / "data.csv", index=False)
    result = run(tmp_path / "data.csv", "--label", "lable", "-o", tmp_path / "out", "--json")
    assert result.exit_code == 2
    assert "has no column 'lable' (did you mean label?)" in json.loads(result.stdout)["error"]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rater", "x0", "--rater", "x1"], "--rater is given 2 times; allowed: 3 raters or more"),
        (["--verify-sheet", "61"], "--verify-sheet 61 is not possible; allowed: 1 to 60 rows"),
        (["--predictions", "p.csv", "--estimator", "a:B"], "are both given; allowed: one of them"),
        (["--predictions", "p.csv"], "--predictions p.csv does not exist"),
        (["--verified", "v.csv"], "--verified v.csv does not exist"),
    ],
)
def test_options_that_can_not_be_met_are_refused_before_anything_is_trained(tmp_path, words, message):
    points, labels, _ = blobs(60)
    frame_of(points, labels).to_csv(tmp_path / "data.csv", index=False)
    result = run(tmp_path / "data.csv", "--label", "label", "-o", tmp_path / "out", *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_things_is_not_written_into(tmp_path):
    points, labels, _ = blobs(60)
    frame_of(points, labels).to_csv(tmp_path / "data.csv", index=False)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    result = run(tmp_path / "data.csv", "--label", "label", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "holds files that are not an" in result.stderr


def test_the_command_continues_an_audit_with_a_declared_noise_model_and_prints_the_document(audited):
    root, _, _, wrong = audited
    words = ["--label", "label", "-o", root / "out", "--budget", "0.05", "--in-process", "--json", "--lang", "ja"]
    result = run(root / "data.csv", *words, "--noise-model", "even")
    assert result.exit_code == 0
    content = json.loads(result.stdout)
    options, rate = content["options"], content["noise_rate"]
    assert rate["basis"] == "declared_model"
    assert rate["point"]["low"] <= wrong.mean() <= rate["point"]["high"]
    assert (options["language"], options["data"], options["output"]) == ("ja", "data.csv", "out")  # no path of ours
    assert '<html lang="ja">' in (root / "out" / "audit.html").read_text()


@pytest.mark.parametrize("language", ["en", "ja"])
def test_a_browser_shows_three_answers_first_without_a_complaint(audited, browser, tmp_path, language):
    from axe_playwright_python.sync_playwright import Axe

    _, _, content, _ = audited
    (tmp_path / "audit.html").write_text(page_html(content, language, {}), encoding="utf-8")
    page = browser.new_page(viewport={"width": 1100, "height": 760})
    complaints, asked = [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "audit.html").as_uri())
    boxes = [card.bounding_box() for card in page.query_selector_all(".card")]
    found = Axe().run(page)
    page.close()
    assert len(boxes) == 3
    assert all(box["y"] + box["height"] <= 760 for box in boxes)
    assert complaints == []
    assert len(asked) == 1
    assert found.violations_count == 0, found.generate_report()
