"""What is computed from the kept weights is what the networks answer."""

import numpy as np
import pytest
import torch
from small_data import blobs

from phasemap.auditing.measures import collect, log_odds
from phasemap.auditing.trainings import Network, Trainer, probabilities, write_rows
from phasemap.results.inside import read_weights
from phasemap.running.runner import LocalRunner
from phasemap.study.trials import expand
from phasemap.tasks.examples import examples_of
from phasemap.tasks.load import dataset_of
from phasemap.training.networks import load_weights


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    points, labels, _ = blobs(60, flips=0.1)
    folder = tmp_path_factory.mktemp("answers")
    rows = write_rows(folder, points.astype(np.float32), labels, None)
    study = Network().study("scores", rows, seeds=4, axes={"corruption": [0.0]}, question="", keep=True)
    return study, Trainer(folder=folder, start=LocalRunner, quiet=True).run(study), rows


def test_answers_are_those_of_the_trained_modules(trained):
    study, folder, rows = trained
    answers, trials = Network().answers(folder, study, rows), list(expand(study))
    data = dataset_of(trials[0])
    expected = []
    for trial in trials:
        weights = {name: torch.from_numpy(w) for name, w in read_weights(folder, trial.trial_id).items()}
        with torch.no_grad():
            scores = load_weights(trial, data, weights)(torch.from_numpy(data.inputs))
        expected.append(torch.softmax(scores, dim=1).numpy())
    expected = np.array(expected)  # (4, n, C)
    for number, trial in enumerate(trials):
        assert set(np.flatnonzero(answers.trained[number])) == set(examples_of(trial).train)
        assert (answers.right[number] == (expected[number].argmax(axis=1) == data.labels)).all()
    for row in range(len(data.labels)):
        unseen = [expected[number][row] for number in range(4) if not answers.trained[number, row]]
        assert len(unseen) == 2
        np.testing.assert_allclose(answers.held_out[row], np.mean(unseen, axis=0), atol=1e-5)


def test_rows_beyond_the_sample_get_the_mean_of_the_networks(trained):
    study, folder, rows = trained
    asked = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    weights = [read_weights(folder, trial.trial_id) for trial in expand(study)]
    expected = np.mean([np.exp(probabilities(w, asked)) for w in weights], axis=0)
    np.testing.assert_allclose(Network().of_others(folder, study, rows, asked), expected, rtol=1e-5)
    np.testing.assert_allclose(expected.sum(axis=1), 1, atol=1e-5)


def test_training_again_trains_nothing_and_answers_the_same(trained):
    study, folder, _ = trained
    before = {path: path.stat().st_mtime_ns for path in folder.shards.iterdir()}

    def no_runner():
        raise AssertionError("everything is trained")

    again = Trainer(folder=folder.path.parent, start=no_runner, quiet=True).run(study)
    assert {path: path.stat().st_mtime_ns for path in again.shards.iterdir()} == before


def test_log_odds_are_finite_for_sure_answers():
    assert log_odds(np.log([0.5]))[0] == pytest.approx(0, abs=1e-9)
    assert np.isfinite(log_odds(np.array([0.0, -200.0]))).all()


def test_a_network_is_counted_where_it_was_not_trained():
    labels, first = np.arange(60) % 3, np.arange(60) < 30
    surer = np.log(np.tile([0.5, 0.3, 0.2], (60, 1)))
    found = collect(labels, 3, [(first, surer), (~first, np.full((60, 3), np.log(1 / 3)))])
    np.testing.assert_allclose(found.held_out[first], 1 / 3, atol=1e-6)
    np.testing.assert_allclose(found.held_out[~first], np.exp(surer[~first]), atol=1e-6)
    assert (found.trained.sum(axis=0) == 1).all()


def test_rows_of_a_group_are_trained_on_together_or_not_at_all(tmp_path):
    points, labels, _ = blobs(60)
    groups = np.random.default_rng(0).integers(17, size=60)
    rows = write_rows(tmp_path, points.astype(np.float32), labels, groups)
    study = Network().study("grouped", rows, seeds=4, axes={"corruption": [0.0]}, question="", keep=True)
    folder = Trainer(folder=tmp_path, start=LocalRunner, quiet=True).run(study)
    answers = Network().answers(folder, study, rows)
    for group in np.unique(groups):
        inside = answers.trained[:, groups == group]
        assert (inside == inside[:, :1]).all()
    assert (answers.trained.sum(axis=0) == 2).all()
