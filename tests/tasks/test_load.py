"""Data sets of trials: images and arrays as features, and streams keyed by the inputs."""

import sys

import numpy as np
import pytest
from conftest import study_of, trial_of

from phasemap.study.errors import StudyError, UserError
from phasemap.tasks.examples import examples_of
from phasemap.tasks.load import dataset_of, images


@pytest.mark.parametrize(("name", "shape"), [("digits", (1797, 64)), ("mnist5k", (5000, 784))])
def test_images_are_features_between_0_and_1_with_ten_classes(name, shape):
    data = dataset_of(trial_of(task="images", dataset=name))
    assert data.inputs.shape == shape
    assert data.inputs.dtype == np.float32
    assert (data.inputs.min(), data.inputs.max()) == (0, 1)
    assert not data.tokens
    assert np.bincount(data.labels).min() > 150
    assert len(np.bincount(data.labels)) == data.n_classes == 10
    assert dataset_of(trial_of(task="images", dataset=name, seed=5)) is data


def test_a_missing_library_is_named_before_anything_starts(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    images.cache_clear()
    with pytest.raises(UserError, match=r"task.dataset digits: sklearn.* is missing; pip install 'phasemap\[images\]'"):
        images("digits")
    monkeypatch.delitem(sys.modules, "sklearn")
    monkeypatch.setattr("sys.path", [path for path in sys.path if "site-packages" not in path])
    monkeypatch.setattr("sys.path_importer_cache", {})
    with pytest.raises(StudyError, match=r"task.dataset = digits needs scikit-learn; pip install 'phasemap\[images\]'"):
        study_of(task={"kind": "images"})


def test_arrays_are_used_as_given_and_named_by_their_inputs(tmp_path):
    x = np.random.default_rng(0).normal(size=(20, 2, 3)) * 50
    for name, y in (("a", ["b", "a"] * 10), ("b", [7, 5, 9, 5] * 5)):
        np.savez(tmp_path / f"{name}.npz", X=x, y=y)
    np.savez(tmp_path / "c.npz", X=x + 1, y=["b", "a"] * 10)
    trials = [trial_of(task="arrays", path=str(tmp_path / f"{name}.npz")) for name in "abc"]
    first, other, third = map(dataset_of, trials)
    assert (first.inputs == x.reshape(20, 6).astype(np.float32)).all()
    assert first.labels.tolist() == [1, 0] * 10
    assert other.labels.tolist() == [1, 0, 2, 0] * 5
    assert first.name == other.name != third.name
    splits = [examples_of(trial).train.tolist() for trial in trials]
    assert splits[0] == splits[1] != splits[2]
    assert dataset_of(trials[0]) is first


def test_a_file_that_vanished_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.npz: can't be read: No such file"):
        dataset_of(trial_of(task="arrays", path=str(tmp_path / "gone.npz")))
