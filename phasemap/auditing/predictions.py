"""A model's probabilities in a table: of one training beside the data, or of several without any features.

Without features it is told what answers and labels alone can tell; intervals are over rows, since trainings are few.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from phasemap.auditing import suspects
from phasemap.auditing.measures import (
    Answers,
    Bools,
    Decomposition,
    Estimate,
    Floats,
    Scores,
    attack,
    collect,
    of_draws,
    resampled,
    scores,
)
from phasemap.auditing.preparing import FEWEST_ROWS, Prepared, as_text
from phasemap.auditing.suspects import NoiseRate, best_error
from phasemap.results.tables import read_frame
from phasemap.study.errors import UserError
from phasemap.tasks.dataset import Ints
from phasemap.training.program_data import first_without_sum

TRUTH = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
LEAST_PROBABILITY = 1e-6  # log-odds stay finite
CALIBRATION_BINS = 10
PARTS = ("train_accuracy", "held_out_accuracy", "useful", "harmful", "gap")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rounds:
    """The answers of T trainings to n rows with C classes."""

    rows: Ints  # (n,) their numbers, rising
    labels: Ints  # (n,) in 0..C - 1
    classes: tuple[str, ...]  # (C,)
    trained: Bools  # (T, n)
    probabilities: np.ndarray  # (T, n, C)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PredictionFindings:
    """What answers tell without features."""

    rounds: Rounds
    judged: Bools  # (n,) rows that were held out at least once
    both: Bools  # (n,) rows that were trained on and held out
    scores: Scores  # (n,)
    decomposition: Decomposition
    suspects: pd.DataFrame  # the rows that were judged, most suspect first
    probability: Floats  # (judged rows,) of a wrong label
    cautious: Floats
    noise: NoiseRate
    exposure: Estimate
    attack: str  # lira | threshold
    calibration: Estimate  # expected calibration error of held-out answers
    confidence: float  # mean of held-out answers
    accuracy: float  # of held-out answers


def read_predictions(path: Path, data: Prepared) -> pd.DataFrame:
    """Read one training's predictions: row, trained, and one column of probabilities for each class.

    Returns row, trained (bool) and predicted (class). UserError names what doesn't match the rows.
    """
    frame = _table(path, ("row", "trained", *data.classes), data.classes)
    n, rows = len(data.labels), _numbers(path, frame)
    wrong = rows[(rows < 0) | (rows >= n)]
    if len(wrong):
        raise UserError(f"{path} names the row {wrong[0]}, but the data have the rows 0 to {n - 1}: other data?")
    repeated = pd.Series(rows).duplicated()
    if repeated.any():
        raise UserError(f"{path} has the row {rows[repeated][0]} twice; allowed: each row once")
    chances = _probabilities(path, frame, data.classes)
    return pd.DataFrame({"row": rows, "trained": _flags(path, frame), "predicted": chances.argmax(axis=1)})


def read_rounds(path: Path, label: str) -> Rounds:
    """Read the predictions of two or more trainings: training, row, trained, the label, and a column for each class.

    UserError names what can't be used.
    """
    frame = _table(path, ("training", "row", "trained", label), ())
    classes = tuple(str(name) for name in frame if name not in ("training", "row", "trained", label))
    if len(classes) < 2:
        raise UserError(
            f"{path} has {len(classes)} columns of probabilities; allowed: one for each of two or more classes"
        )
    labels = as_text(frame[label])
    unknown = np.flatnonzero(~np.isin(labels, classes))
    if len(unknown):
        raise UserError(
            f"{path}: the label '{labels[unknown[0]]}' of row {frame['row'].iloc[unknown[0]]} has no column of "
            f"probabilities; allowed: {', '.join(classes[:10])}"
        )
    names, training = np.unique(frame["training"].astype(str).to_numpy(dtype=str), return_inverse=True)
    if len(names) < 2:
        raise UserError(f"{path} has only the training {', '.join(names)}; needed: two or more that saw different rows")
    rows = _same_rows(path, _numbers(path, frame), training, names)
    order = np.lexsort((_numbers(path, frame), training))
    shape = (len(names), len(rows))
    codes = {name: code for code, name in enumerate(classes)}
    given = np.array([codes[one] for one in labels])[order].reshape(shape)
    changing = np.flatnonzero((given != given[0]).any(axis=0))
    if len(changing):
        raise UserError(f"{path}: row {rows[changing[0]]} has different labels in different trainings; allowed: one")
    trained = _flags(path, frame)[order].reshape(shape)
    for whole, word in ((trained.all(), "held out of"), ((~trained).all(), "trained on in")):
        if whole:
            raise UserError(f"{path}: no row was {word} any training; needed: rows that some saw and others did not")
    chances = _probabilities(path, frame, classes)[order].reshape(*shape, len(classes))
    return Rounds(rows=rows, labels=given[0], classes=classes, trained=trained, probabilities=chances)


def _same_rows(path: Path, rows: Ints, training: Ints, names: np.ndarray) -> Ints:
    """Return the rows, the same ones of every training."""
    wanted = np.unique(rows)
    for number, name in enumerate(names):
        own = rows[training == number]
        if len(np.unique(own)) < len(own):
            twice = pd.Series(own)[pd.Series(own).duplicated()].iloc[0]
            raise UserError(f"{path}: training {name} has the row {twice} twice; allowed: each row once")
        missing = np.setdiff1d(wanted, own)
        if len(missing):
            raise UserError(
                f"{path}: training {name} lacks the row {missing[0]}, which others have; needed: the same rows"
            )
    if len(wanted) < FEWEST_ROWS:
        raise UserError(f"{path} has {len(wanted)} rows; an audit needs at least {FEWEST_ROWS}")
    return wanted


def _table(path: Path, wanted: Sequence[str], classes: Sequence[str]) -> pd.DataFrame:
    if not path.is_file():
        raise UserError(f"--predictions {path} does not exist; allowed: a .csv or .parquet table")
    frame = read_frame(path)
    frame.columns = frame.columns.map(str)
    missing = [name for name in wanted if name not in frame]
    if missing:
        named = [name for name in wanted if name not in classes]
        each = f" ({', '.join(classes[:10])})" if classes else ""
        raise UserError(
            f"{path} has no column '{missing[0]}'; allowed: {', '.join(named)}, and a probability for each class{each}"
        )
    return frame


def _numbers(path: Path, frame: pd.DataFrame) -> Ints:
    rows = pd.to_numeric(frame["row"], errors="coerce").to_numpy(dtype=float)
    odd = np.flatnonzero(~(np.floor(rows) == rows))
    if len(odd):
        raise UserError(f"{path}: row is {frame['row'].iloc[odd[0]]!r}; allowed: the numbers of rows")
    return rows.astype(np.int64)


def _flags(path: Path, frame: pd.DataFrame) -> Bools:
    trained = frame["trained"].astype(str).str.lower().map(TRUTH)
    if trained.isna().any():
        found = frame["trained"][trained.isna()].iloc[0]
        raise UserError(f"{path}: trained is {found!r} in a row; allowed: true or false")
    return trained.to_numpy(dtype=bool)


def _probabilities(path: Path, frame: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    chances = frame[list(classes)].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)
    odd = first_without_sum(chances)
    if odd is not None:
        where = f" in training {frame['training'].iloc[odd]}" if "training" in frame else ""
        raise UserError(f"{path}: the probabilities of row {frame['row'].iloc[odd]}{where} don't add up to 1")
    return chances


def tell(found: Rounds, *, declared: bool = False) -> PredictionFindings:
    """Tell what answers can without features; with ``declared`` clear rows are as often labelled wrongly as others."""
    logs = np.log(np.clip(found.probabilities, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)).astype(np.float32)
    answers = collect(found.labels, len(found.classes), zip(found.trained, logs, strict=True))
    judged = np.asarray((~found.trained).any(axis=0))
    both = np.asarray(judged & found.trained.any(axis=0))
    own, labels = answers.held_out[judged], found.labels[judged]
    nobody = np.empty((len(labels), 0), dtype=np.int64)
    evidence = suspects.evidence(own, labels, nobody, own, labels, suspects.Neighbourhood(0.0, 0.0))
    bound = best_error(answers.held_out, found.labels, np.zeros(0))
    clear = suspects.clear_rate(evidence, labels)
    noise = NoiseRate.declared(bound, clear) if declared else NoiseRate(bound=bound, point=None, basis="none")
    meaning = suspects.Calibration.of(evidence, labels, *noise.range)
    probability = meaning.probability(evidence.suspicion)
    wrong = np.zeros(len(judged))
    wrong[judged] = probability
    memorized = scores(answers)
    table = suspects.suspect_table(evidence, probability, memorized.score[judged], labels, found.classes)
    sure, right = found.probabilities.max(axis=2)[~found.trained], answers.right[~found.trained]
    exposed, how = attack(answers)
    return PredictionFindings(
        rounds=found,
        judged=judged,
        both=both,
        scores=memorized,
        decomposition=_decomposed(answers, memorized.score[both], both, wrong[both]),
        suspects=table.assign(row=found.rows[judged][table["row"]]),
        probability=probability,
        cautious=meaning.cautious(evidence.suspicion),
        noise=noise,
        exposure=exposed,
        attack=how,
        calibration=_calibration(sure, right),
        confidence=float(sure.mean()),
        accuracy=float(right.mean()),
    )


def _decomposed(answers: Answers, memorized: Floats, both: Bools, wrong: Floats) -> Decomposition:
    """Split the training accuracy of rows that were trained on and held out, with intervals over these."""
    held_out = (answers.right & ~answers.trained)[:, both].sum(axis=0) / (~answers.trained[:, both]).sum(axis=0)
    values = [held_out + memorized, held_out, memorized * (1 - wrong), memorized * wrong, memorized]

    def estimated(values: Floats) -> Estimate:
        draws = resampled(lambda rows: float(values[rows].mean()), len(values)) if len(values) else np.zeros(0)
        return of_draws(float(values.mean()) if len(values) else np.nan, draws)

    return Decomposition(**dict(zip(PARTS, map(estimated, values), strict=True)))


def _calibration(sure: Floats, right: Bools) -> Estimate:
    """Return the expected calibration error over ten bins of confidence (Guo et al. 2017, arXiv 1706.04599)."""
    bins = np.minimum((sure * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)

    def error(rows: Ints) -> float:
        gaps = np.bincount(bins[rows], (sure - right)[rows], minlength=CALIBRATION_BINS)
        return float(np.abs(gaps).sum() / len(rows))

    return of_draws(error(np.arange(len(sure))), resampled(error, len(sure)))
