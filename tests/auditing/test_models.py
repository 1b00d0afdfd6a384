"""The model in use: an overfitted and a regularized one on the same data get different verdicts."""

import numpy as np
import pandas as pd
import pytest
from small_data import blobs, frame_of, table_of

from phasemap.auditing.models import judge_estimator, judge_predictions, load_estimator, read_predictions
from phasemap.auditing.preparing import prepare
from phasemap.auditing.trainings import write_rows
from phasemap.study.errors import UserError


@pytest.fixture(scope="module")
def noisy():
    points, labels, wrong = blobs(600, flips=0.2)
    return prepare(table_of(frame_of(points, labels))), wrong


@pytest.fixture
def rows(noisy, tmp_path):
    data, _ = noisy
    return write_rows(tmp_path, data.inputs, data.labels, data.groups)


def quiet(text):
    """Say nothing."""


def test_an_overfitted_and_a_regularized_estimator_get_different_verdicts(noisy, rows, tmp_path):
    _, wrong = noisy
    tree = judge_estimator(
        load_estimator("sklearn.tree:DecisionTreeClassifier"), rows, wrong * 1.0, 0.2, quiet, tmp_path
    )
    bayes = judge_estimator(load_estimator("sklearn.naive_bayes:GaussianNB"), rows, wrong * 1.0, 0.2, quiet, tmp_path)
    assert tree.verdict == "retrain"
    assert tree.fitted_suspects > 0.95
    assert bayes.verdict == "fix_labels"
    assert bayes.fitted_suspects < 0.1
    clean = judge_estimator(load_estimator("sklearn.naive_bayes:GaussianNB"), rows, wrong * 0.0, 0.0, quiet, tmp_path)
    assert clean.verdict == "keep"


def test_a_refit_that_was_kept_is_not_repeated(noisy, rows, tmp_path):
    _, wrong = noisy
    estimator = load_estimator("sklearn.naive_bayes:GaussianNB")
    first = judge_estimator(estimator, rows, wrong * 1.0, 0.2, quiet, tmp_path / "kept")
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").iterdir()}
    assert judge_estimator(estimator, rows, wrong * 1.0, 0.2, quiet, tmp_path / "kept") == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").iterdir()} == kept


def predictions_of(data, answers, trained):
    table = pd.DataFrame(np.eye(data.n_classes)[answers] * 0.97 + 0.01, columns=list(data.classes))
    return table.assign(row=np.arange(len(answers)), trained=trained)


def judged(data, table, wrong, path):
    table.to_csv(path, index=False)
    return judge_predictions(read_predictions(path, data), data, wrong * 1.0, wrong.mean())


def test_predictions_that_repeat_what_was_trained_get_another_verdict_than_those_that_do_not(noisy, tmp_path):
    data, wrong = noisy
    trained = np.random.default_rng(0).random(600) < 0.6
    truth = np.where(wrong, (data.labels + 1) % 3, data.labels)
    overfitted = predictions_of(data, np.where(trained, data.labels, truth), trained)
    assert judged(data, overfitted, wrong, tmp_path / "a.csv").verdict == "retrain"
    balanced = np.arange(600) % 2 == 0
    calm = judged(data, predictions_of(data, data.labels, balanced), wrong * 0.0, tmp_path / "b.csv")
    assert calm.verdict == "keep"


def test_few_held_out_rows_are_not_enough_evidence(noisy, tmp_path):
    data, wrong = noisy
    table = predictions_of(data, data.labels, np.arange(600) >= 20)
    assert judged(data, table, wrong, tmp_path / "p.csv").verdict == "not_enough_evidence"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.assign(row=t["row"] + 1), "names the row 600, but the data have the rows 0 to 599"),
        (lambda t: t.assign(row=0), "has the row 0 twice"),
        (lambda t: t.drop(columns="c1"), "has no column 'c1'"),
        (lambda t: t.assign(trained="maybe"), "trained is 'maybe' in a row; allowed: true or false"),
        (lambda t: t.assign(c0=3.0), "probabilities of row 0 don't add up to 1"),
    ],
)
def test_predictions_that_do_not_match_the_rows_are_refused(noisy, tmp_path, spoil, message):
    data, _ = noisy
    path = tmp_path / "p.csv"
    spoil(predictions_of(data, data.labels, True)).to_csv(path, index=False)
    with pytest.raises(UserError, match=message):
        read_predictions(path, data)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sklearn.tree", "is no module:Class"),
        ("sklearn.tree:Nothing", "can't be built: AttributeError"),
        ("nowhere:Model", "can't be built: ModuleNotFoundError"),
        ("collections:Counter", "is no scikit-learn estimator"),
    ],
)
def test_an_estimator_that_is_none_is_refused(name, message):
    with pytest.raises(UserError, match=message):
        load_estimator(name)
