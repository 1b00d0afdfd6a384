"""A training of the user's own in the place of the audit's network: a program, or a classifier of scikit-learn.

It is run by ordinary studies of one program, ``train_rows`` below: each trial draws its rows and labels as the audit's
network does, hands them to the user's code, and keeps what that answers in a file beside the rows.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from phasemap.auditing.measures import Answers, collect
from phasemap.auditing.preparing import Prepared
from phasemap.auditing.trainings import HALF, OUTSIDE_TRAININGS, Rows, half_of, write_rows
from phasemap.results.folder import RunFolder, write_whole
from phasemap.running.program_child import import_libraries
from phasemap.study.axes import Axis
from phasemap.study.conditions import Kind
from phasemap.study.errors import UserError
from phasemap.study.names import ACCURACIES, FACTS, QUANTITY_KINDS
from phasemap.study.program_source import ProgramError, code_hash, import_program, last_line, place_of, staying_here
from phasemap.study.program_study import ProgramStudy, usual_phases
from phasemap.study.programs import read_function
from phasemap.study.signature import SignatureError
from phasemap.study.spec import Study
from phasemap.tasks.corruption import data_facts
from phasemap.tasks.dataset import Dataset, Features, Ints
from phasemap.tasks.examples import Examples, draw_examples
from phasemap.tasks.streams import stream_key
from phasemap.training.program_context import TrialContext
from phasemap.training.program_data import AuditedRows, Corrupted
from phasemap.training.program_state import seed_all

ALLOWED = "file.py:function(trial), package.module:function(trial), or module:Class of a scikit-learn classifier"
LEAST_PROBABILITY = 1e-6  # of an answer: log-odds stay finite
METHODS = ("fit", "predict", "get_params")


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTraining:
    """Trains what a user names, in the place of the audit's network; its methods are those of ``Training``."""

    name: str
    folder: str  # that its file or module is imported from
    source: str  # the hash of its name and code

    @classmethod
    def of(cls, named: str) -> OwnTraining:
        """Import what a user names; UserError where it can't be used."""
        code, _, function = named.rpartition(":")
        path = Path.cwd() / code
        in_file = code.endswith(".py")
        name, folder = (f"{path.name}:{function}", path.resolve().parent) if in_file else (named, Path.cwd())
        load.cache_clear()  # the code may have been changed since, in a notebook say
        try:
            with staying_here():
                return cls(name=name, folder=str(folder), source=load(name, str(folder)).source)
        except ProgramError as error:
            raise UserError(f"--program {named}: {str(error).removeprefix(f'= {code}')}") from None

    def rows(self, folder: Path, data: Prepared, used: Ints, labels: Ints) -> Rows:
        """Write all rows; those that are used, and their labels, are what trainings see."""
        others = np.setdiff1d(np.arange(len(data.labels)), used)
        groups = None if data.groups is None else data.groups[used]
        return write_rows(
            folder,
            data.inputs[used],
            labels,
            groups,
            used=used,
            others=data.inputs[others],
            classes=np.array(data.classes),
            path=np.array(str(Path(data.source).resolve())),
        )

    def study(
        self, name: str, rows: Rows, *, seeds: int, axes: Mapping[str, Sequence[Any]], question: str, keep: bool = False
    ) -> Study:
        """Build a study; all on the same rows share one folder, so that what two of them need is trained once."""
        program = replace(
            read_function(train_rows, f"{__name__}:train_rows"),
            source=self.source,
            quantities=tuple((name, QUANTITY_KINDS[name]) for name in ACCURACIES),
            facts=FACTS,
        )
        fixed = {
            "code": self.name,
            "folder": self.folder,
            "rows": str(rows.path),
            "answers": str(self._answers(rows)),
            "corruption": 0.0,
            "data_fraction": HALF,
        }
        return ProgramStudy(
            name=self._answers(rows).name.replace("answers", "own"),
            question=question,
            signature=program,
            axes=tuple(Axis(name=axis, values=tuple(values)) for axis, values in axes.items()),
            fixed=tuple((name, value) for name, value in fixed.items() if name not in axes),
            seeds=tuple(range(seeds)),
            phases=usual_phases(program.recorded),
        )

    def answers(self, folder: RunFolder, study: Study, rows: Rows) -> Answers:
        """Read what was answered to the rows that are used."""
        data = _stored(str(rows.path)).data
        found = {seed: self._read(rows, seed, "used") for seed in study.seeds}
        pairs = [(seed, seed + 1) for seed in study.seeds[::2] if seed + 1 in found]
        whole = [seed for pair in pairs if all(found[one] is not None for one in pair) for seed in pair]
        return collect(data.labels, data.n_classes, ((half_of(data, seed), _logs(found[seed])) for seed in whole))

    def of_others(self, folder: RunFolder, study: Study, rows: Rows, others: Features) -> Features:
        """Read what was answered to the other rows."""
        found = (self._read(rows, seed, "others") for seed in study.seeds[:OUTSIDE_TRAININGS])
        return np.asarray(np.mean([one for one in found if one is not None], axis=0), dtype=np.float32)

    def _answers(self, rows: Rows) -> Path:
        return rows.path.with_name(f"answers-{rows.path.stem.removeprefix('rows-')}-{self.source[:8]}")

    def _read(self, rows: Rows, seed: int, part: str) -> Features | None:
        path = self._answers(rows) / f"{seed}.npz"
        if not path.exists():
            return None
        with np.load(path) as saved:
            return np.asarray(saved[part])


def _logs(probabilities: Features | None) -> Features:
    assert probabilities is not None
    return np.asarray(np.log(np.clip(probabilities, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A user's training, ready to be called with a trial and its settings."""

    train: Callable[..., None]
    source: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    quantities: Mapping[str, Kind] = field(default_factory=dict)


@lru_cache(maxsize=4)
def load(name: str, folder: str) -> Loaded:
    """Import a program or a classifier from its folder; ProgramError where it is none, or can't be used in an audit."""
    place = place_of(name)
    sys.path.insert(0, folder)  # for good: it may import more when it is called
    found = import_program(place, Path(folder))
    source = hashlib.sha256(f"{name} {code_hash(place, Path(folder), found)}".encode()).hexdigest()[:16]
    if place.in_file:
        import_libraries(Path(folder) / place.code)
    if not _is_program(found):
        return Loaded(train=partial(_fit, _classifier(name, found)), source=source)
    try:
        program = read_function(found, name)
    except SignatureError as error:
        raise ProgramError(f" {'; '.join(error.messages)}") from None
    required = [one.name for one in program.parameters if one.required]
    if program.kind != "phasemap" or required:
        lacks = f"its parameter {required[0]} has no default" if required else f"it is a function for {program.kind}"
        raise ProgramError(f" {lacks}; allowed: def train(trial: pm.TrialContext, *, settings with defaults)")
    settings = {one.name: one.default for one in program.parameters}
    return Loaded(train=found, source=source, settings=settings, quantities=dict(program.quantities))


def _is_program(found: Any) -> bool:
    return inspect.isfunction(found) and bool(inspect.signature(found).parameters)


def _classifier(name: str, found: Any) -> Any:
    """Build a classifier from a class, a function without parameters, or one that is built already."""
    try:
        made = found() if inspect.isclass(found) or inspect.isfunction(found) else found
    except Exception as error:  # whatever the user's code raises
        raise ProgramError(f" can't be built: {last_line(error)}") from None
    if not all(hasattr(made, method) for method in METHODS):
        raise ProgramError(f" is not a scikit-learn classifier ({', '.join(METHODS)}); allowed: {ALLOWED}")
    return made


def _fit(classifier: Any, trial: TrialContext) -> None:
    from sklearn.base import clone

    rows = trial.rows
    assert rows is not None
    fitted = clone(classifier).fit(rows.inputs[rows.train], rows.given)
    if hasattr(fitted, "predict_proba"):
        trial.answer(fitted.predict_proba(rows.inputs), classes=fitted.classes_)
    else:
        trial.answer(fitted.predict(rows.inputs))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Stored:
    """What ``OwnTraining.rows`` wrote."""

    data: Dataset  # the rows that are used
    used: Ints  # their numbers
    inputs: Features  # (n, F) of all rows, without the constant
    classes: tuple[str, ...]
    path: Path


@lru_cache(maxsize=2)
def _stored(path: str) -> _Stored:
    with np.load(path) as saved:
        used, others = saved["used"], saved["others"]
        inputs = np.empty((len(used) + len(others), others.shape[1] - 1), dtype=np.float32)
        inputs[used] = saved["X"][:, :-1]
        inputs[np.setdiff1d(np.arange(len(inputs)), used)] = others[:, :-1]
        data = Dataset(
            name=Path(path).stem,
            inputs=saved["X"],
            labels=saved["y"],
            n_classes=len(saved["classes"]),
            groups=saved["groups"] if "groups" in saved.files else None,
        )
        return _Stored(
            data=data,
            used=used,
            inputs=inputs,
            classes=tuple(map(str, saved["classes"])),
            path=Path(str(saved["path"])),
        )


def train_rows(
    trial: TrialContext,
    *,
    code: str,
    folder: str,
    rows: str,
    answers: str,
    corruption: float = 0.0,
    data_fraction: float = HALF,
) -> None:
    """Train the user's code on a part of the rows, and report the five accuracies of what it answers."""
    loaded, stored = load(code, folder), _stored(rows)
    if not answers.endswith(loaded.source[:8]):
        raise ProgramError(f"{code} was changed while the audit ran; run the audit again")
    data = stored.data
    seen = draw_examples(data, seed=trial.seed, data_fraction=data_fraction, corruption=corruption, split="balanced")
    own = TrialContext(
        seed=trial.seed,
        settings=loaded.settings,
        device=trial.device,
        quantities=loaded.quantities,
        hooks=trial.hooks,
        rows=AuditedRows(
            inputs=stored.inputs,
            train=stored.used[seen.train],
            given=seen.given,
            classes=stored.classes,
            path=stored.path,
        ),
    )
    seed_all(stream_key("program:libraries", trial.seed))  # what was imported only now, too
    try:
        loaded.train(own, **own.settings)
    finally:
        own.close()
    if own.answers is None:
        raise ProgramError(f"{code} answered nothing; needed: trial.answer(predictions of every row)")
    if corruption == 0 and data_fraction == HALF:
        _keep(Path(answers) / f"{trial.seed}.npz", own.answers, stored.used, others=trial.seed < OUTSIDE_TRAININGS)
    _report(trial, seen, own.answers[stored.used].argmax(axis=1))


def _keep(path: Path, answers: Features, used: Ints, *, others: bool) -> None:
    rest = np.setdiff1d(np.arange(len(answers)), used) if others else used[:0]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda temporary: np.savez(temporary, used=answers[used], others=answers[rest]))


def _report(trial: TrialContext, seen: Examples, predicted: Ints) -> None:
    data = seen.dataset
    truth = data.labels[seen.train]
    labels = Corrupted(given=seen.given, wrong=seen.wrong, truth=truth, n_classes=data.n_classes)
    trial.record.facts = data_facts(len(truth), seen.n_corrupted, data.n_classes)
    trial.report(1, **trial.score(labels, predicted[seen.train], predicted[seen.test], data.labels[seen.test]))
