"""The data set of a trial, whatever its task is."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from phasemap.study.data_files import Arrays, read_arrays
from phasemap.study.errors import UnreachableError
from phasemap.study.networks import NetworkTrial
from phasemap.study.own_code import OwnData, load_own
from phasemap.study.own_parts import OwnTrial, Part
from phasemap.study.program_source import ProgramError
from phasemap.tasks.dataset import Dataset
from phasemap.tasks.images import images
from phasemap.tasks.modular import modular, operation
from phasemap.tasks.parity import sparse_parity


def dataset_of(trial: NetworkTrial) -> Dataset:
    """Return a trial's data set, kept for the next trial that asks; UserError if its file or library is missing."""
    if isinstance(trial, OwnTrial) and (part := trial.parts.get("task")):
        return _own(trial, part)
    if trial.task == "images":
        return images(trial.dataset)
    if trial.task == "arrays":
        return _of_arrays(read_arrays(trial.path or ""))
    if trial.task == "operation":
        assert trial.table is not None
        return operation(trial.table, trial.modulus)
    if trial.task == "sparse_parity":
        return sparse_parity(trial.n_bits, trial.k_bits, trial.n_samples)
    return modular(trial.task, trial.modulus)


def _own(trial: OwnTrial, part: Part) -> Dataset:
    """Load own data where they are used; UnreachableError where they are others than when the study was read."""
    values = trial.values_of(part)
    try:
        found = load_own(part, tuple(values.items()))
    except ProgramError as error:
        raise UnreachableError(f"{part.key} = {part.reference}{error}") from None
    if found.digest != trial.parts.size_of(values).digest:
        raise UnreachableError(
            f"{part.key} = {part.reference} loads other data here than when the run was started; needed: a function "
            "that returns the same for the same settings, or the run again"
        )
    return _of_arrays(found)


@lru_cache(maxsize=8)
def _of_arrays(found: Arrays) -> Dataset:
    """Name data by their inputs, so that what is moved, or labelled anew, keeps its split."""
    own = isinstance(found, OwnData)
    kind = (found.inputs.dtype, found.inputs.shape) if own else found.inputs.shape
    digest = hashlib.sha256(repr(kind).encode() + found.inputs.tobytes()).hexdigest()
    return Dataset(
        name=f"{'own' if own else 'arrays'}-{digest[:16]}",
        inputs=found.inputs,
        labels=found.labels,
        n_classes=found.n_classes,
        groups=found.groups,
        shape=found.shape,
    )
