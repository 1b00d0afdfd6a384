"""Sizes of tasks: those of the data sets themselves, and what they make of a trial's cost."""

import numpy as np
import pytest
from conftest import trial_of

from phasemap.study.packs import GENERAL_FACTOR, OPERATIONS_PER_SECOND, estimated_bytes, estimated_seconds
from phasemap.study.sizes import trial_size
from phasemap.tasks.load import dataset_of


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    path = tmp_path_factory.mktemp("sizes") / "a.npz"
    np.savez(path, X=np.ones((6, 2, 3)), y=list("abcabc"))
    return str(path)


def trials(arrays):
    yield trial_of(task="modular_multiplication", modulus=5)
    yield trial_of(task="images", dataset="digits")
    yield trial_of(task="images", dataset="mnist5k")
    yield trial_of(task="arrays", path=arrays)


def test_sizes_are_those_of_the_data(arrays):
    for trial in trials(arrays):
        size, data = trial_size(trial), dataset_of(trial)
        assert (size.n_examples, size.n_classes, size.tokens) == (len(data.labels), data.n_classes, data.tokens)
        width = 2 * data.n_classes if data.tokens else data.inputs.shape[1]
        assert size.n_inputs == width
        assert set(np.unique(data.labels)) <= set(range(data.n_classes))


def test_the_cost_of_modular_trials_is_that_of_their_pairs():
    trial = trial_of(modulus=97, width=500, steps=2000, data_fraction=0.5, dropout=0.0)
    assert estimated_seconds(trial) == pytest.approx(2 * 500 * 97 * 97**2 * 3060 / OPERATIONS_PER_SECOND + 0.16)
    assert estimated_bytes(trial) == int(4 * (5 * 500 * 291 + 4704.5 * 500) + 8 * (6 * 4704.5 + 8 * 9409))


def test_the_first_layer_of_features_costs_like_any_other():
    settings = {"width": 100, "steps": 1000, "data_fraction": 0.5, "dropout": 0.0}
    images = trial_of(task="images", dataset="mnist5k", **settings)
    operations = 2 * 100 * (784 + 10) * 5000 * 1560
    expected = GENERAL_FACTOR * (operations / OPERATIONS_PER_SECOND + 0.08)
    assert estimated_seconds(images) == pytest.approx(expected)
    assert estimated_bytes(images) > 4 * 5000 * 784
