"""An audit of the probabilities of several trainings, without features: what these tell, and what they can't."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from small_data import blobs

from phasemap.auditing.predictions import read_rounds, tell
from phasemap.cli import cli


def answers_of(trainings=2, n=150, *, flips=0.1, sharpness=1.0, folds=False):
    """Probabilities by distance to the classes' means, except that rows that were trained on repeat their label."""
    points, labels, wrong = blobs(n, flips=flips)
    source, tables = np.random.default_rng(1), []
    order = source.permutation(n)
    for number in range(trainings):
        if folds:
            trained = order % trainings != number
        elif number % 2 == 0:
            trained = source.permutation(n) < n // 2
        else:
            trained = ~trained
        means = np.array([points[trained & (labels == c)].mean(axis=0) for c in range(3)])
        scores = -sharpness * ((points[:, None] - means) ** 2).sum(axis=2) / 2
        chances = np.exp(scores - scores.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        chances[trained] = 0.05 * chances[trained] + 0.95 * np.eye(3)[labels[trained]]
        table = pd.DataFrame(chances, columns=["c0", "c1", "c2"])
        tables.append(
            table.assign(training=f"t{number}", row=np.arange(n), trained=trained, label=[f"c{y}" for y in labels])
        )
    return pd.concat(tables).sample(frac=1, random_state=0), labels, wrong


def run(*words):
    result = CliRunner().invoke(cli, ["audit", *map(str, words)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def told_of(table, path):
    table.to_csv(path, index=False)
    return tell(read_rounds(path, "label"))


def test_two_trainings_tell_what_is_memorized_and_which_labels_are_wrong(tmp_path):
    table, labels, wrong = answers_of()
    told = told_of(table, tmp_path / "r.csv")
    held_out = np.empty(150)
    for row, one in table[~table["trained"]].set_index("row")[["c0", "c1", "c2"]].iterrows():
        held_out[row] = one.to_numpy().argmax() == labels[row]
    parts = told.decomposition
    assert parts.train_accuracy.value == 1.0
    assert parts.held_out_accuracy.value == pytest.approx(held_out.mean())
    assert parts.gap.value == pytest.approx(parts.useful.value + parts.harmful.value)
    assert parts.harmful.value > 3 * parts.useful.value
    assert wrong[told.suspects["row"].head(15)].mean() >= 0.9
    assert told.suspects["probability"].sum() == pytest.approx(15, abs=6)


def test_few_trainings_are_attacked_by_a_threshold(tmp_path):
    told = told_of(answers_of(sharpness=0.1)[0], tmp_path / "r.csv")
    assert told.attack == "threshold"
    assert told.exposure.value > 0.9


def test_more_trainings_are_attacked_by_their_shadows(tmp_path):
    told = told_of(answers_of(12)[0], tmp_path / "r.csv")
    assert told.attack == "lira"
    assert told.exposure.value > 0.5


def test_nothing_is_memorized_by_a_model_that_answers_all_rows_alike(tmp_path):
    table, *_ = answers_of()
    rows = table.groupby("row")[["c0", "c1", "c2"]].transform("mean")
    told = told_of(table.assign(**rows), tmp_path / "r.csv")
    assert told.decomposition.gap.value == 0
    assert told.exposure.value < 0.05


def test_calibration_is_that_of_held_out_answers(tmp_path):
    fair = told_of(answers_of(flips=0.0)[0], tmp_path / "fair.csv")
    sure = told_of(answers_of(flips=0.3, sharpness=20.0)[0], tmp_path / "sure.csv")
    assert fair.calibration.value < 0.05
    assert sure.calibration.value == pytest.approx(sure.confidence - sure.accuracy, abs=0.02)
    assert sure.calibration.low > 0.2


def test_rows_that_every_training_saw_are_not_judged(tmp_path):
    table, *_ = answers_of(folds=True, trainings=5)
    told = told_of(table.assign(trained=table["trained"] | (table["row"] < 30)), tmp_path / "r.csv")
    assert told.suspects["row"].min() == 30
    assert told.judged.sum() == told.both.sum() == 120
    assert np.isnan(told.scores.score[:30]).all()


def test_numbers_of_rows_are_those_of_the_table(tmp_path):
    table, *_ = answers_of()
    told, moved = (told_of(one, tmp_path / "r.csv") for one in (table, table.assign(row=1000 + 7 * table["row"])))
    assert (moved.suspects["row"] == 1000 + 7 * told.suspects["row"]).all()


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_command_writes_a_page_that_says_what_it_can_not_tell(tmp_path, language):
    answers_of()[0].to_csv(tmp_path / "rounds.csv", index=False)
    words = ["--predictions", tmp_path / "rounds.csv", "--label", "label", "-o", tmp_path / "out", "--lang", language]
    for _ in range(2):  # again into its own folder
        result = run(*words, "--json")
        assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content["cannot_tell"][0] == "neighbours"
    assert content["noise_rate"]["point"] is None
    assert "decision" not in content
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "audit.json",
        "audit.html",
        "suspects.csv",
        "scores.csv",
    }
    page = (tmp_path / "out" / "audit.html").read_text()
    assert page.count('class="card"') == 3
    assert "--verify-sheet" not in page
    assert "The advice" not in page
    assert content["memorization"]["largest_standard_error"] is None
    assert ("What these answers can" in page) == (language == "en")
    assert "{" not in re.sub(r"<style>.*?</style>", "", page, flags=re.S)
    declared = json.loads(run(*words, "--noise-model", "even", "--json").stdout)["noise_rate"]
    assert declared["point"]["low"] <= 0.1 <= declared["point"]["high"]


def drop_row(table):
    return table[~((table["training"] == "t1") & (table["row"] == 7))]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t[t["training"] == "t0"], "has only the training t0; needed: two or more"),
        (lambda t: t.assign(trained=True), "no row was held out of any training"),
        (lambda t: t.assign(trained=False), "no row was trained on in any training"),
        (lambda t: t.assign(c0=0.9, c1=0.9), r"the probabilities of row \d+ in training t\d don't add up to 1"),
        (lambda t: t.assign(c0=t["c0"] + 1, c1=t["c1"] - 1), "don't add up to 1"),
        (lambda t: t.assign(label="bird"), r"the label 'bird' of row \d+ has no column .* allowed: c0, c1, c2"),
        (lambda t: t.drop(columns="training"), "has no column 'training'; allowed: training, row, trained, label"),
        (lambda t: t.drop(columns="trained"), "has no column 'trained'"),
        (lambda t: t.drop(columns="label"), "has no column 'label'"),
        (lambda t: t.drop(columns=["c0", "c1", "c2"]), "has 0 columns of probabilities"),
        (drop_row, "training t1 lacks the row 7, which others have"),
        (lambda t: pd.concat([t, t.head(1)]), r"training t\d has the row \d+ twice"),
        (lambda t: t.assign(row=t["row"] + 0.5), "row is .*; allowed: the numbers of rows"),
        (lambda t: t.assign(trained="maybe"), "trained is 'maybe' in a row"),
        (lambda t: t[t["row"] < 20], "has 20 rows; an audit needs at least 50"),
        (lambda t: t.assign(label=t["label"].where(t["training"] == "t0", "c0")), r"row \d+ has different labels"),
    ],
)
def test_predictions_that_can_not_be_compared_are_refused_before_anything_is_written(tmp_path, spoil, message):
    spoil(answers_of()[0]).to_csv(tmp_path / "rounds.csv", index=False)
    result = run("--predictions", tmp_path / "rounds.csv", "--label", "label", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert re.search(message, result.stderr)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "DATA is missing; allowed: a file of labelled data, or --predictions"),
        (["--predictions", "nothing.csv"], "--predictions nothing.csv does not exist"),
        (["--predictions", "nothing.csv", "--group", "person"], "--group needs DATA"),
        (["--predictions", "nothing.csv", "--spend", "100"], "--spend needs DATA"),
    ],
)
def test_what_needs_features_is_refused_without_data(words, message):
    result = run("--label", "label", *words)
    assert result.exit_code == 2
    assert message in result.stderr
