"""The data set of a trial, whatever its task is."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from phasemap.study.data_files import Arrays, read_arrays
from phasemap.study.networks import NetworkTrial
from phasemap.tasks.dataset import Dataset
from phasemap.tasks.images import images
from phasemap.tasks.modular import modular


def dataset_of(trial: NetworkTrial) -> Dataset:
    """Return a trial's data set, kept for the next trial that asks; UserError if its file or library is missing."""
    if trial.task == "images":
        return images(trial.dataset)
    if trial.task == "arrays":
        return _of_arrays(read_arrays(trial.path or ""))
    return modular(trial.task, trial.modulus)


@lru_cache(maxsize=4)
def _of_arrays(arrays: Arrays) -> Dataset:
    """Name arrays by their inputs, so that a file that is moved, or labelled anew, keeps its split."""
    digest = hashlib.sha256(repr(arrays.features.shape).encode() + arrays.features.tobytes()).hexdigest()
    return Dataset(
        name=f"arrays-{digest[:16]}",
        inputs=arrays.features,
        labels=arrays.labels,
        n_classes=arrays.n_classes,
        groups=arrays.groups,
    )
