"""Sizes of tasks: those of the data sets themselves."""

import numpy as np
import pytest
from conftest import trial_of

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
