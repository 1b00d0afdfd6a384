"""An audit of the user's own training, a program or a classifier, in the place of the small network."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from small_data import blobs, frame_of, table_of

from phasemap.auditing.decision import judge_trainings
from phasemap.auditing.own import OwnTraining
from phasemap.auditing.preparing import prepare
from phasemap.auditing.trainings import choose_own_size, half_of
from phasemap.cli import cli
from phasemap.results.folder import RunFolder
from phasemap.running.driver import RunOptions, run_study
from phasemap.running.runner import LocalRunner
from phasemap.runs import open_run
from phasemap.study.errors import UserError
from phasemap.tasks.dataset import Dataset
from phasemap.training.program_context import TrialContext

pytestmark = pytest.mark.usefixtures("forked")

EXAMPLE = Path(__file__).parents[2] / "examples" / "audit" / "train.py"
MEMORIZES = '''
import numpy as np
import phasemap as pm


@pm.program()
def train(trial: pm.TrialContext, *, share: float = 1.0):
    """Answer rows that were trained on by their label, others by the nearest mean of a class."""
    rows = trial.rows
    means = np.array([rows.inputs[rows.train][rows.given == c].mean(axis=0) for c in range(len(rows.classes))])
    found = ((rows.inputs[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    found[rows.train] = rows.given
    with open(__file__ + ".count", "a") as file:
        file.write("x")
    trial.answer(found)
'''


def run(*words):
    """Audit with the fewest trainings: a full effort has 200 of the first kind, which show no more of the way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("phasemap.auditing.trainings.SMALLER", ())
        result = CliRunner().invoke(cli, ["audit", *map(str, words)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """An audit of a program that memorizes every row: (folder, content, wrong)."""
    root = tmp_path_factory.mktemp("own")
    points, labels, wrong = blobs(90, flips=0.1)
    frame_of(points, labels).to_csv(root / "data.csv", index=False)
    (root / "mine.py").write_text(MEMORIZES)
    words = [root / "data.csv", "--label", "label", "-o", root / "out", "--in-process", "--budget", "30"]
    result = run(*words, "--program", root / "mine.py:train", "--json")
    assert result.exit_code == 0, result.output
    return root, json.loads(result.stdout), wrong, words


def test_the_training_that_is_named_is_what_is_judged(audited):
    root, content, wrong, _ = audited
    assert content["network"] == {"kind": "own", "name": f"{root / 'mine.py'}:train"}
    assert content["memorization"]["train_accuracy"]["value"] == 1.0
    assert content["memorization"]["gap"]["low"] > 0.05
    assert content["model"]["verdict"] == "retrain"
    assert content["model"]["fitted_suspects"] == 1.0
    cells = {cell["corruption"]: cell for cell in content["corruption_response"]["curve"]}
    assert cells[0.4]["memorized_accuracy"]["value"] == 1.0
    assert cells[0.4]["recovered_accuracy"]["value"] == 0.0
    suspects = pd.read_csv(root / "out" / "suspects.csv")["row"].head(9)
    assert wrong[suspects].mean() >= 0.7
    assert "regularize" not in content["decision"]["actions"]
    page = (root / "out" / "audit.html").read_text()
    assert "The model here is your training" in page
    assert "phasemap's small network" not in page


def test_the_map_of_its_corruption_is_a_run_like_any_other(audited):
    root, content, _, _ = audited
    trials = open_run(root / "out" / content["corruption_response"]["run"]).trials
    assert sorted(trials["corruption"].unique()) == [0.0, 0.1, 0.2, 0.4]
    assert set(trials["subphase"].dropna()) <= {"coexistence", "memorization", "clean_fit", "undetermined"}


def test_nothing_is_trained_twice_and_changed_code_is_trained_anew(audited):
    root, content, _, words = audited
    count = len((root / "mine.py.count").read_text())
    effort = content["data"]["effort"]
    new = effort["plantings"] * effort["planted_trainings"] + 6 * effort["rounds"] + 5 * effort["learning_seeds"]
    sizes = len(content["learning_curve"]["points"])
    assert count == effort["trainings"] + new - (5 - (sizes - 1)) * effort["learning_seeds"]
    assert run(*words, "--program", root / "mine.py:train").exit_code == 0
    assert len((root / "mine.py.count").read_text()) == count
    (root / "mine.py").write_text(MEMORIZES.replace("    found[rows.train] = rows.given\n", ""))
    changed = json.loads(run(*words, "--program", root / "mine.py:train", "--json").stdout)
    assert changed["memorization"]["train_accuracy"]["value"] < 1.0


def test_the_example_is_audited(tmp_path):
    points, labels, _ = blobs(60, flips=0.1)
    frame_of(points, labels).to_csv(tmp_path / "data.csv", index=False)
    (tmp_path / "train.py").write_text(EXAMPLE.read_text().replace("epochs: int = 60", "epochs: int = 8"))
    words = ["--label", "label", "-o", tmp_path / "out", "--in-process", "--budget", "30"]
    result = run(tmp_path / "data.csv", *words, "--program", tmp_path / "train.py:train", "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content["memorization"]["held_out_accuracy"]["value"] > 0.7
    assert content["exposure"]["true_positive_rate_at_1_percent"]["value"] is not None


def test_a_training_that_goes_elsewhere_when_it_is_imported_leaves_the_audit_in_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "away").mkdir()
    (tmp_path / "train.py").write_text("import os\n\nos.chdir('away')\n" + EXAMPLE.read_text())
    OwnTraining.of("train.py:train")
    assert Path.cwd() == tmp_path


def trained(training, folder, data, used, seeds):
    """Train on halves of the rows that are used; (rows, study, its folder)."""
    rows = training.rows(folder, data, used, data.labels[used])
    study = training.study("halves", rows, seeds=seeds, axes={"corruption": [0.0]}, question="", keep=True)
    run_study(study, RunFolder(folder / study.name), LocalRunner, RunOptions(quiet=True))
    return rows, study, RunFolder(folder / study.name)


@pytest.mark.parametrize(
    ("name", "verdict"),
    [("sklearn.tree:DecisionTreeClassifier", "retrain"), ("sklearn.linear_model:RidgeClassifier", "fix")],
)
def test_a_classifier_is_refitted_and_judged_by_its_answers(tmp_path, name, verdict):
    points, labels, wrong = blobs(600, flips=0.2)
    data, training = prepare(table_of(frame_of(points, labels))), OwnTraining.of(name)
    rows, study, folder = trained(training, tmp_path, data, np.arange(600), 8)
    found = judge_trainings(training.answers(folder, study, rows), wrong * 1.0, wrong.mean())
    assert found.verdict.startswith(verdict)
    assert (found.fitted_suspects > 0.95) == (verdict == "retrain")
    assert (found.fitted_suspects < 0.1) == (verdict == "fix")


def test_rows_beyond_the_sample_are_answered_too(tmp_path):
    points, labels, _ = blobs(120)
    data = prepare(table_of(frame_of(points, labels)))
    (tmp_path / "mine.py").write_text(MEMORIZES)
    training = OwnTraining.of(f"{tmp_path / 'mine.py'}:train")
    rows, study, folder = trained(training, tmp_path, data, np.arange(0, 120, 2), 2)
    others = training.of_others(folder, study, rows, data.inputs[1::2])
    assert (others.argmax(axis=1) == data.labels[1::2]).mean() > 0.9
    answers = training.answers(folder, study, rows)
    kept = Dataset(name=rows.path.stem, inputs=rows.inputs, labels=rows.labels, n_classes=3)
    assert (answers.trained == [half_of(kept, 0), half_of(kept, 1)]).all()
    assert answers.right[answers.trained].all()


def answered(body, classes=2):
    return (
        f"import numpy as np\nimport phasemap as pm\n\n@pm.program()\ndef train(trial: pm.TrialContext):\n    {body}\n"
    )


@pytest.mark.parametrize(
    ("code", "name", "message"),
    [
        (answered("pass"), "mine.py:train", "mine.py:train answered nothing; needed: trial.answer"),
        (answered("trial.answer(np.ones((7, 3)))"), "mine.py:train", r"answer: shape (7, 3); allowed: classes (60,)"),
        (answered("trial.answer(trial.rows.inputs[:, :3] * 9)"), "mine.py:train", "don't add up to 1"),
        (answered("trial.answer(np.full(60, 3))"), "mine.py:train", "classes beyond 0 to 2"),
        (answered("raise KeyError('x')"), "mine.py:train", "no network could be trained: KeyError: 'x' (mine.py:6)"),
        (answered("pass"), "mine.py:trian", "has no function trian (did you mean train?)"),
        (answered("pass"), "mine.py", "is not allowed; allowed: file.py:function"),
        (answered("pass"), "none.py:train", "there is no such file"),
        ("import nothing_there\n", "mine.py:train", "can't be imported: ModuleNotFoundError"),
        ("def train(x):\n    pass\n", "mine.py:train", "has x as its first parameter; allowed: trial"),
        ("def train(trial, *, lr: float):\n    pass\n", "mine.py:train", "its parameter lr has no default"),
        ("class Model:\n    pass\n", "mine.py:Model", "is not a scikit-learn classifier"),
        ("def Model():\n    return 1 / 0\n", "mine.py:Model", "can't be built: ZeroDivisionError"),
        ("", "sklearn.tree:Nothing", "has no function Nothing"),
        ("", "nowhere:Model", "there is no such module"),
        ("", "collections:Counter", "is not a scikit-learn classifier"),
    ],
)  # fmt: skip
def test_a_training_that_can_not_be_used_is_told_with_the_place(tmp_path, monkeypatch, code, name, message):
    points, labels, _ = blobs(60)
    frame_of(points, labels).to_csv(tmp_path / "data.csv", index=False)
    (tmp_path / "mine.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    result = run("data.csv", "--label", "label", "-o", "out", "--in-process", "--program", name)
    assert result.exit_code == 2
    assert message in result.stderr


def test_the_small_network_s_regularizer_is_none_of_a_program(tmp_path):
    points, labels, _ = blobs(60)
    frame_of(points, labels).to_csv(tmp_path / "data.csv", index=False)
    words = ["--label", "label", "-o", tmp_path / "out", "--regularizer", "dropout"]
    result = run(tmp_path / "data.csv", *words, "--program", "sklearn.tree:DecisionTreeClassifier")
    assert result.exit_code == 2
    assert "--regularizer applies to the audit's own network only" in result.stderr


def test_a_budget_buys_fewer_trainings_of_a_slow_program_and_says_what_the_least_costs():
    assert choose_own_size(2000, 0.1, 5.0, 2).trainings == 200
    slow = choose_own_size(2000, 4.0, 5.0, 2)
    assert slow.trainings == 16
    assert slow.own_trainings * 4.0 / 2 <= 0.6 * 5 * 60
    with pytest.raises(
        UserError, match=r"takes 60 s, and the smallest audit needs 68 .*--budget 57 \(minutes\) or more"
    ):
        choose_own_size(2000, 60.0, 5.0, 2)


def test_what_a_process_imports_at_first_is_not_the_time_of_a_training(tmp_path, monkeypatch):
    seen = []

    def choose(rows, seconds, *_):
        seen.append(seconds)
        raise UserError("enough is known")

    monkeypatch.setattr("phasemap.auditing.audit.choose_own_size", choose)
    points, labels, _ = blobs(60, flips=0.1)
    frame_of(points, labels).to_csv(tmp_path / "data.csv", index=False)
    slow = '    if "slow" not in globals():\n        globals()["slow"] = __import__("time").sleep(2)\n'
    (tmp_path / "mine.py").write_text(MEMORIZES.replace("    rows = trial.rows\n", slow + "    rows = trial.rows\n"))
    words = ["--label", "label", "-o", tmp_path / "out", "--in-process", "--program", tmp_path / "mine.py:train"]
    assert "enough is known" in run(tmp_path / "data.csv", *words).stderr
    assert seen[0] < 1


def test_a_study_asks_for_no_answers():
    trial = TrialContext(seed=0, settings={})
    assert trial.rows is None
    with pytest.raises(ValueError, match="only audits have rows that ask for answers"):
        trial.answer(np.zeros(3))
