"""Own labels through the whole product: a study with a rule of its own, and a finished run that is labelled anew."""

import json
import math
import shutil
from pathlib import Path

import jsonschema
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from conftest import SMALL, run_in_process, study_of

import phasemap as pm
from phasemap.api import relabel
from phasemap.cli import cli
from phasemap.diagram.tables import derive, study_rows
from phasemap.figures.report import report_payload
from phasemap.figures.spec import figure_spec
from phasemap.results.folder import RunFolder
from phasemap.study.claims import vocabulary
from phasemap.study.errors import StudyError, UserError
from phasemap.study.file import load_rule, load_study, parse_study
from phasemap.study.writing import dump_study, json_schema, study_hash
from phasemap.study.yaml_lines import parse_document

RULE = """
parameters: {fitted: 0.9, learned: 0.6}
labels:
  decayed: weight_norm < first(weight_norm) / 2
  learned: {when: test_accuracy >= learned and n_classes > 2, letter: "7", colour: "#123456"}
  plain: n_corrupted = 0 and weight_decay < 1
  told: memorized_accuracy >= fitted or n_corrupted = 0
  honest: memorized_accuracy < fitted and recovered_accuracy >= learned
  stuck: otherwise
groups: {fine: [learned, plain, honest]}
times: {grokking_step: test_accuracy >= learned, fitted_step: train_accuracy >= fitted}
columns: {late: grokking_step >= 3 * fitted_step, spread: max(test_accuracy) - min(test_accuracy)}
frontiers: {generalization: test_accuracy = learned}
"""
CONTENT = yaml.safe_load(RULE)
OWN = {"rule": "mine", **CONTENT}
CROSSING = "frontier({}, along=corruption, weight_decay=0) > 0"
CLAIMS = ["area(told) >= 0", "area(fine, corruption=0) <= 1", CROSSING.format("generalization")]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A finished run of a small study with labels of its own."""
    study = study_of(phases=OWN, claims=CLAIMS)
    return run_in_process(study, tmp_path_factory.mktemp("own"))


def test_a_study_keeps_its_labels_as_they_were_read(labelled):
    study = study_of(phases=OWN, claims=CLAIMS)
    assert study_of(dump_study(study)) == study
    assert load_study(labelled.study) == study
    assert hash(study.phases) == hash(study_of(phases=OWN).phases)
    assert study_hash(study) != study_hash(study_of())
    assert study.phases.phases == ("decayed", "fine", "told", "stuck")
    assert study.phases.generalized == 0.6
    assert vocabulary(study).labels == ("decayed", "learned", "plain", "told", "honest", "stuck", "fine")


def test_the_hash_and_the_text_of_studies_with_built_in_rules_are_as_before():
    study = study_of()
    assert yaml.safe_load(dump_study(study))["phases"] == {
        "rule": "memorized_fraction", "generalized": 0.9, "memorized": 0.9,
    }  # fmt: skip
    assert study_hash(study) == "693fc7f8457f5621"


def test_the_schema_has_all_three_forms():
    schema = json_schema()
    content = yaml.safe_load(SMALL)
    for phases in (OWN, {"labels": CONTENT["labels"]}, {"rule": "mine.yaml", "learned": 0.7}, {"rule": "doshi2024"}):
        jsonschema.validate(content | {"phases": phases}, schema)
    for phases in ({"rule": "doshi"}, {"generalised": 0.8}, {"labels": {}}, OWN | {"label": 3}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(content | {"phases": phases}, schema)


def test_the_table_of_trials_has_the_labels_the_reasons_and_the_rules_columns(labelled):
    trials = pm.open_run(labelled.path).trials
    assert set(trials["subphase"].dropna()) <= {"decayed", "learned", "plain", "told", "honest", "stuck"}
    assert (trials["rule"] == "mine").all()
    assert trials["phase"].nunique() > 1
    for _, row in trials.iterrows():
        assert row["phase"] == ("fine" if row["subphase"] in ("learned", "plain", "honest") else row["subphase"])
        assert row["label_reason"] is None or pd.isna(row["label_reason"])
        assert row["spread"] >= 0
        late = row["late"]
        reached = row[["grokking_step", "fitted_step"]].notna().all()
        assert pd.isna(late) if not reached else late == (row["grokking_step"] >= 3 * row["fitted_step"])
    assert not {"subphase_doshi2024", "memorization_step", "peak_test_accuracy"} & set(trials)


def test_points_go_by_the_rules_phases_and_its_frontier(labelled):
    points = pm.open_run(labelled.path).points
    told = (points["test_accuracy"] >= 0.6).tolist()
    assert points["generalizes"].tolist() == told
    assert set(points["phase"].dropna()) <= {"decayed", "fine", "told", "stuck"}
    assert points["phase"].nunique() > 1
    diagram = pm.open_run(labelled.path).diagram()
    assert diagram.frontier() == diagram.frontier("generalization")
    with pytest.raises(pm.UserError, match="'inversion' is not a frontier; allowed: generalization"):
        diagram.frontier("inversion")


def command(*arguments):
    done = CliRunner().invoke(cli, list(map(str, arguments)))
    return done.exit_code, done.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "RUN"],
        ["plot", "RUN", "-o", "TMP/a.png"],
        ["plot", "RUN", "--metric", "phase", "-o", "TMP/b.svg"],
        ["plot", "RUN", "--kind", "curves", "-o", "TMP/c.png"],
        ["plot", "RUN", "-x", "step", "-o", "TMP/d.png"],
        ["check", "RUN", "--claim", "area(learned) < 2"],
        ["report", "RUN", "-o", "TMP/r.html"],
        ["diff", "RUN", "RUN"],
        ["export", "RUN", "--table", "trials", "-o", "TMP/t.csv"],
    ],
    ids=lambda arguments: " ".join(arguments[:4:3]),
)
def test_commands_speak_the_rules_names(labelled, tmp_path, arguments):
    code, output = command(*[a.replace("RUN", str(labelled.path)).replace("TMP", str(tmp_path)) for a in arguments])
    assert code == 0, output
    if arguments[0] == "show":
        assert "labelled by mine" in output
        assert any(word in output for word in ("told", "learned", "stuck", "decayed"))


def test_the_report_has_the_rules_marks_phases_and_words(labelled):
    run = pm.open_run(labelled.path)
    payload = report_payload(derive(labelled), study_rows(labelled, run.study))
    marks = {mark["name"]: mark for mark in payload["marks"]}
    assert (marks["learned"]["letter"], marks["learned"]["colour"]) == ("7", "#123456")
    assert payload["marks"][marks["honest"]["phase"]]["name"] == "fine"
    assert payload["marks"][marks["told"]["phase"]]["name"] == "told"
    (labels,) = [part for part in payload["card"]["sections"] if part["title"] == "Labels"]
    words = dict(labels["rows"])
    assert words["rule"] == "mine"
    assert "told: memorized_accuracy >= fitted or n_corrupted = 0; honest: " in words["meaning"]
    assert "fitted = 0.9, learned = 0.6" in words["meaning"]


def test_figures_have_the_marks_of_the_rule(labelled):
    spec = figure_spec(pm.open_run(labelled.path).diagram().data)
    assert (spec.marks["learned"].letter, spec.marks["learned"].colour) == ("7", "#123456")
    assert {entry.mark.name for entry in spec.legend} <= {*CONTENT["labels"], "missing", "unlabelled"}
    assert [kind for kind, _, _ in spec.frontiers] in ([], ["generalization"])


def copy_of(finished, tmp_path):
    folder = RunFolder(tmp_path / "small")
    shutil.copytree(finished[1].path, folder.path)
    return folder


def test_a_finished_run_is_labelled_anew_by_a_file_and_back(finished, tmp_path, monkeypatch):
    folder = copy_of(finished, tmp_path)
    before = pm.open_run(folder.path).trials
    (tmp_path / "mine.yaml").write_text(RULE)
    code, output = command("relabel", folder.path, "--rule", tmp_path / "mine.yaml", "--json")
    assert code == 0, output
    content = json.loads(output)
    assert set(content["phase_counts"]) <= {"decayed", "fine", "told", "stuck"}
    (tmp_path / "mine.yaml").unlink()  # the run keeps the labels themselves
    run = pm.open_run(folder.path)
    assert run.study.phases.own == load_resolved_rule(RULE, tmp_path)
    assert (run.trials["rule"] == "mine").all()
    assert command("relabel", folder.path, "--at-step", 10)[0] == 0
    assert command("relabel", folder.path, "--rule", "memorized_fraction")[0] == 0
    pd.testing.assert_frame_equal(pm.open_run(folder.path).trials, before)


def load_resolved_rule(text, folder):
    path = folder / "mine.yaml"
    path.write_text(text)
    return load_rule(path).own


def test_labels_from_a_frame_are_those_of_the_run(labelled):
    run = pm.open_run(labelled.path)
    found = pm.label(run, rule=run.study.phases)
    assert found["subphase"].to_dict() == run.trials.set_index("trial_id")["subphase"].to_dict()
    assert "late" in found
    with pytest.raises(ValueError, match="the curves lack the columns n_classes, weight_decay"):
        pm.label(run.curves, rule=run.study.phases)


def test_a_label_that_cannot_be_told_is_null_with_its_reason_and_drawn_as_such(finished, tmp_path):
    folder = copy_of(finished, tmp_path)
    rule = load_own("labels: {told: memorized_accuracy > 0.5, other: otherwise}", tmp_path)
    run = pm_relabel(folder, rule)
    clean = run.trials["corruption"] == 0
    assert run.trials["subphase"].isna().tolist() == clean.tolist()
    assert set(run.trials.loc[clean, "label_reason"]) == {"told can't be told: memorized_accuracy is undefined"}
    assert run.trials["settled"].isna().tolist() == clean.tolist()
    points = run.points
    assert points["phase"].isna().tolist() == (points["corruption"] == 0).tolist()
    assert (points["n_seeds"] == 2).all()
    marks = figure_spec(run.diagram().data).panels[0].marks
    assert (marks == "unlabelled").sum() == 2
    code, output = command("show", folder.path)
    assert code == 0
    assert "unlabelled: 4 trials, told can't be told: memorized_accuracy is undefined" in output


def load_own(text, tmp_path, name="own_labels"):
    path = tmp_path / f"{name}.yaml"
    path.write_text(text)
    return path


def pm_relabel(folder, rule):
    return relabel(pm.open_run(folder.path), str(rule))


def test_a_run_whose_claims_need_other_labels_is_not_labelled_anew(finished, tmp_path):
    folder = copy_of(finished, tmp_path)
    study = finished[0].model_copy(update={"claims": ("area(coexistence) >= 0",)})
    folder.study.write_text(dump_study(study))
    before = folder.study.read_text()
    with pytest.raises(
        UserError, match=r"can't be labelled by this rule:\nclaims\[0\] 'coexistence' .* is not a label; allowed: a, b"
    ):
        pm_relabel(folder, load_own("labels: {a: test_loss > 1, b: otherwise}", tmp_path))
    assert folder.study.read_text() == before


def study_file(tmp_path, phases, rule=RULE):
    (tmp_path / "mine.yaml").write_text(rule)
    path = tmp_path / "study.yaml"
    path.write_text(SMALL + f"phases: {phases}\n")
    return path


def test_a_study_names_a_rule_file_beside_it_and_sets_its_thresholds(tmp_path):
    study = load_study(study_file(tmp_path, "{rule: mine.yaml, learned: 0.7}"))
    assert study.phases.rule == "mine"
    assert dict(study.phases.own.parameters) == {"fitted": 0.9, "learned": 0.7}
    assert study.phases.generalized == 0.7
    assert study_of(dump_study(study)).phases == study.phases


@pytest.mark.parametrize(
    ("phases", "rule", "message"),
    [
        (
            "{rule: mine.yaml, learnt: 0.7}",
            RULE,
            "phases.learnt is not a parameter of mine.yaml; allowed: rule, fitted, learned (did",
        ),
        (
            "{rule: mine.yaml, learned: high}",
            RULE,
            "phases.learned = 'high' is not allowed; allowed: a number  (STUDY:11)",
        ),
        ("{rule: other.yaml}", RULE, "phases.rule = 'other.yaml': "),
        (
            "{rule: mine.yaml}",
            RULE.replace("otherwise", "foo > 1"),
            "labels.stuck 'foo' at character 1 is not a quantity",
        ),
        ("{rule: mine.yaml}", RULE.replace("otherwise", "foo > 1"), "mine.yaml:9)"),
        ("{rule: mine.yaml}", "labels: [", "not valid YAML"),
        ("{rule: mine.yaml, learned: 2}", RULE, "labels.learned can never be given: its condition never holds"),
        (
            "{rule: mine}",
            RULE,
            "phases.rule = 'mine' is not allowed; allowed: one of memorized_fraction, doshi2024, a rule file",
        ),
        ("{rule: doshi2042}", RULE, "(did you mean doshi2024?)"),
        (
            "{rule: doshi2024, labels: {a: otherwise}}",
            RULE,
            "'doshi2024' is the name of a built-in rule; allowed: another",
        ),
        ("{labels: {a: foo > 1}}", RULE, "phases.labels.a 'foo' at character 1 is not a quantity"),
        (
            "{labels: {a: otherwise}, generalized: 0.8}",
            RULE,
            "phases.generalized is an unknown key; allowed: quantities",
        ),
        ("{labels: {a: otherwise}}\nclaims: [area(coexistence) > 0]", RULE, "is not a label; allowed: a"),
        (
            f"{{labels: {{a: otherwise}}}}\nclaims: ['{CROSSING.format('inversion')}']",
            RULE,
            "is not a frontier",
        ),
        (
            "{labels: {a: otherwise}, frontiers: {skill: test_loss = 1}}\nsearch: {kind: boundary, metric: skil}",
            RULE,
            "search.metric = 'skil' is not allowed; allowed: phases, skill (did you mean skill?)",
        ),
    ],
)
def test_mistakes_in_a_studys_rule_are_named_where_they_stand(tmp_path, phases, rule, message):
    path = study_file(tmp_path, phases, rule)
    with pytest.raises(StudyError) as caught:
        load_study(path)
    assert message.replace("STUDY", str(path)) in str(caught.value)


def test_a_study_sent_to_a_service_holds_its_labels_itself(tmp_path):
    text = SMALL + "phases: {rule: mine.yaml}\n"
    with pytest.raises(StudyError, match=r"phases.rule names a file, which a study sent to a service can't"):
        parse_study(parse_document(text, "sent"), files_allowed=False)
    text = SMALL + "phases: {labels: {high: test_accuracy > 0.5, low: otherwise}}\n"
    assert parse_study(parse_document(text, "sent"), files_allowed=False).phases.rule == "own"


def test_two_runs_with_other_labels_are_compared_with_as_marks(labelled, finished):
    found = pm.open_run(labelled.path).diff(pm.open_run(finished[1].path))
    counts = found.transitions["subphase"].counts
    assert set(counts.index) - {"diverged"} <= {*CONTENT["labels"], *pm.PhaseRule().labels}
    assert counts.to_numpy().sum() == found.n_points


def test_a_rule_that_knows_no_thresholds_is_as_robust_as_its_windows_and_seeds_say(labelled):
    found = pm.open_run(labelled.path).robustness()
    assert (found["n_variants"] == 4).all()  # the last record, half of the horizon, and each seed left out
    assert found["subphase_share"].between(0, 1).all()


def test_the_example_of_the_page_of_rules_is_a_rule():
    page = (Path(__file__).parents[1] / "docs" / "rules.md").read_text()
    example = yaml.safe_load(page.partition("```yaml")[2].partition("```")[0])
    study = study_of(phases=example)
    assert study.phases.labels == ("diverging", "grokking", "memorization", "forgetting", "confusion")
    assert math.isclose(study.phases.own.window, 0.1)


def test_a_study_may_have_no_labels_and_is_a_map_of_its_quantities(finished, tmp_path):
    folder = copy_of(finished, tmp_path)
    study = study_of(phases={"rule": "none"})
    assert study.phases.labels == study.phases.phases == ()
    assert parse_document(dump_study(study), "study.yaml").content["phases"] == {"rule": "none"}
    assert parse_study(parse_document(dump_study(study), "study.yaml")) == study
    folder.write_text(folder.study, dump_study(study))
    folder.remove_derived()
    run = pm.open_run(folder.path)
    assert run.trials[["phase", "subphase", "label_reason"]].isna().all(axis=None)
    assert run.points["phase"].isna().all()
    assert run.points["test_accuracy"].notna().all()
    for arguments in (
        ["show", folder.path],
        ["plot", folder.path, "--metric", "test_accuracy", "-o", tmp_path / "a.png"],
    ):
        code, output = command(*arguments)
        assert code == 0, output
