"""The audit of a user's own data, from the file to the findings."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from phasemap.auditing import suspects
from phasemap.auditing.answers import Answers, Floats, mean_probabilities
from phasemap.auditing.decision import Decision, decide
from phasemap.auditing.effort import Effort, choose_effort, kept_effort, sample
from phasemap.auditing.estimates import Estimate
from phasemap.auditing.exposure import exposure
from phasemap.auditing.learning import LearningCurve, measure_learning
from phasemap.auditing.memorization import Decomposition, Scores, decompose, scores
from phasemap.auditing.models import Verdict, judge_estimator, judge_predictions, load_estimator, read_predictions
from phasemap.auditing.noise import NoiseRate, best_error, declared, from_raters, from_verified, rater_codes
from phasemap.auditing.notices import Notice
from phasemap.auditing.options import Options
from phasemap.auditing.preparing import Prepared, as_text, prepare
from phasemap.auditing.reading import Table, read_table
from phasemap.auditing.response import Response, measure_response
from phasemap.auditing.trainings import Rows, Trainer, answers_of, make_study, weights_of, write_rows
from phasemap.auditing.verification import Verified, read_verified
from phasemap.results.folder import RunFolder
from phasemap.running.runner import Runner
from phasemap.study.problems import UnreachableError, UserError
from phasemap.study.spec import Study
from phasemap.tasks.dataset import Ints

OUTSIDE_NETWORKS = 40  # that are asked about rows beyond the sample
RATE_DRAWS = 40


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Findings:
    """All that an audit found."""

    options: Options
    data: Prepared
    used: Ints  # rows that were trained on and tested with
    effort: Effort
    notices: tuple[Notice, ...]
    answers: Answers
    scores: Scores  # of the rows used
    decomposition: Decomposition
    suspects: pd.DataFrame  # every row of the data, most suspect first
    probability: Floats  # (n,) of a wrong label, every row of the data
    self_check: suspects.SelfCheck
    noise: NoiseRate
    response: Response
    learning: LearningCurve
    exposure: Estimate
    decision: Decision
    verdict: Verdict | None


def audit(options: Options, start_runner: Callable[[], Runner], *, cores: int, quiet: bool = False) -> Findings:
    """Audit a file of labelled data. UserError for what can't be used, before anything is trained."""

    def say(text: str) -> None:
        if not quiet:
            print(text, file=sys.stderr, flush=True)

    table = read_table(options.data, options.columns, options.encoding)
    data = prepare(table)
    inputs = _check_inputs(options, table, data)
    _make_output(options.output)
    effort = kept_effort(
        options.output / "effort.json", _key(options, data), choose_effort(data, options.budget_minutes, cores)
    )
    used = sample(data, effort.rows)
    notices = (*data.notices, *_sampled(data, used, effort))
    for notice in notices:
        say(f"noticed: {notice.text(options.language)}")
    trainer = Trainer(folder=options.output / "trainings", start=start_runner, quiet=quiet)
    try:
        return _measure(_Job(options, table, data, effort, used, notices, trainer, say), inputs)
    finally:
        trainer.close()


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What the options name beside the data, read before anything is trained."""

    verified: Verified | None
    predictions: pd.DataFrame | None
    estimator: object | None


@dataclass(frozen=True, slots=True)
class _Job:
    options: Options
    table: Table
    data: Prepared
    effort: Effort
    used: Ints
    notices: tuple[Notice, ...]
    trainer: Trainer
    say: Callable[[str], None]

    @property
    def rows(self) -> Rows:
        groups = None if self.data.groups is None else self.data.groups[self.used]
        return write_rows(self.trainer.folder, self.data.inputs[self.used], self.data.labels[self.used], groups)

    def train(self, name: str, rows: Rows, seeds: int, question: str) -> tuple[Answers, RunFolder, Study]:
        study = make_study(name, rows, seeds=seeds, axes={"corruption": [0.0]}, question=question, keep_weights=True)
        folder = self.trainer.run(study)
        return answers_of(folder, study), folder, study


def _check_inputs(options: Options, table: Table, data: Prepared) -> _Inputs:
    n = len(data.labels)
    return _Inputs(
        verified=None if options.verified is None else read_verified(options.verified, data.classes, n),
        predictions=None if options.predictions is None else read_predictions(options.predictions, data),
        estimator=None if options.estimator is None else load_estimator(options.estimator),
    )


def _measure(job: _Job, inputs: _Inputs) -> Findings:
    options, effort, rows = job.options, job.effort, job.rows
    job.say(f"1/4 {effort.trainings} trainings on complementary halves of {len(job.used)} rows")
    answers, folder, study = job.train("scores", rows, effort.trainings, "Which rows are memorized?")
    job.say(f"2/4 {effort.plantings * effort.planted_trainings} trainings with planted flips")
    near = suspects.neighbours(rows.inputs)
    suspicion, planted = _planted(job, rows, answers, near)
    calibration = suspects.calibrate(suspicion, planted)
    probability, memorized, found = _every_row(job, rows, answers, folder, study, near, calibration)
    job.say("3/4 trainings with labels corrupted on purpose")
    response = measure_response(job.trainer, rows, options.regularizer, n_rounds=effort.rounds)
    job.say("4/4 trainings on rising numbers of rows")
    learning = measure_learning(job.trainer, rows, seeds=effort.learning_seeds)
    wrong = probability[job.used]
    decomposition = decompose(answers, wrong)
    found_scores = scores(answers)
    noise = _noise(job, inputs, answers, response, suspicion, planted, calibration)
    verdict = None
    if inputs.predictions is not None:
        verdict = judge_predictions(inputs.predictions, job.data, probability)
    elif inputs.estimator is not None:
        verdict = judge_estimator(inputs.estimator, rows, wrong, job.say, options.output / "estimator")
    return Findings(
        options=options,
        data=job.data,
        used=job.used,
        effort=effort,
        notices=job.notices,
        answers=answers,
        scores=found_scores,
        decomposition=decomposition,
        suspects=suspects.suspect_table(found, probability, memorized, job.data.labels, job.data.classes),
        probability=probability,
        self_check=suspects.check(suspicion, planted, calibration.rate),
        noise=noise,
        response=response,
        learning=learning,
        exposure=exposure(answers),
        decision=decide(response, learning, probability, options.prices, _costs(job.table)),
        verdict=verdict,
    )


def _planted(job: _Job, rows: Rows, answers: Answers, near: Ints) -> tuple[Floats, np.ndarray]:
    """Plant flips and train; return the suspicion and which rows were planted, of all copies one after another."""
    suspicion, planted = [], []
    for number in range(job.effort.plantings):
        labels, flips = suspects.plant(rows.labels, answers.held_out, number)
        copy = write_rows(job.trainer.folder, rows.inputs, labels, rows.groups)
        seen, _, _ = job.train(f"planted{number}", copy, job.effort.planted_trainings, "Are planted flips found?")
        suspicion.append(suspects.evidence(seen.held_out, labels, near, seen.held_out, labels).suspicion)
        planted.append(flips)
    return np.concatenate(suspicion), np.concatenate(planted)


def _every_row(
    job: _Job,
    rows: Rows,
    answers: Answers,
    folder: RunFolder,
    study: Study,
    near: Ints,
    calibration: suspects.Calibration,
) -> tuple[Floats, Floats, suspects.Evidence]:
    """Return each row's probability of a wrong label, its memorization score (NaN if not used) and the evidence."""
    data, used = job.data, job.used
    found = suspects.evidence(answers.held_out, rows.labels, near, answers.held_out, rows.labels)
    n = len(data.labels)
    suspicion, classes = np.empty(n), np.empty((n, data.n_classes))
    memorized = np.full(n, np.nan)
    suspicion[used], classes[used], memorized[used] = found.suspicion, found.classes, scores(answers).score
    rest = np.setdiff1d(np.arange(n), used)
    if len(rest):
        job.say(f"asking {OUTSIDE_NETWORKS} networks about the other {len(rest)} rows")
        own = mean_probabilities(data.inputs[rest], weights_of(folder, study, OUTSIDE_NETWORKS))
        around = suspects.neighbours(rows.inputs, data.inputs[rest])
        other = suspects.evidence(own, data.labels[rest], around, answers.held_out, rows.labels)
        suspicion[rest], classes[rest] = other.suspicion, other.classes
    return calibration.probability(suspicion), memorized, suspects.Evidence(suspicion=suspicion, classes=classes)


def _noise(
    job: _Job,
    inputs: _Inputs,
    answers: Answers,
    response: Response,
    suspicion: Floats,
    planted: np.ndarray,
    calibration: suspects.Calibration,
) -> NoiseRate:
    """Say what is known of the noise rate, by the strongest evidence that there is."""
    labels, table = job.data.labels, job.table
    clean = response.trials[response.trials["corruption"] == 0].groupby(response.regularizer)["test_accuracy"].mean()
    bound = best_error(answers.held_out, labels[job.used], 1 - clean.to_numpy())
    if inputs.verified is not None:
        point = from_verified(labels, inputs.verified.truth, inputs.verified.certain)
        return NoiseRate(bound=bound, point=point, basis="verified_sheet")
    if table.verified is not None:
        return NoiseRate(bound=bound, point=_of_column(table.verified, job.data), basis="verified_column")
    if table.raters is not None:
        codes = rater_codes(table.raters, job.data.classes, as_text)
        return NoiseRate(bound=bound, point=from_raters(labels, codes, job.data.n_classes), basis="raters")
    if job.options.noise_model is not None:
        return NoiseRate(bound=bound, point=_declared(suspicion, planted, calibration), basis="declared_model")
    return NoiseRate(bound=bound, point=None, basis="none")


def _of_column(verified: pd.Series, data: Prepared) -> Estimate:
    known = verified.dropna()
    numbers = {name: number for number, name in enumerate(data.classes)}
    truth = {int(row): numbers.get(text, -1) for row, text in zip(known.index, as_text(known), strict=True)}
    return from_verified(data.labels, truth)


def _declared(suspicion: Floats, planted: np.ndarray, calibration: suspects.Calibration) -> Estimate:
    """Return the rate that the saturation of planted flips tells, with draws of rows of the copies."""
    source = np.random.default_rng(0)
    draws = []
    for _ in range(RATE_DRAWS):
        rows = source.integers(len(planted), size=len(planted))
        draws.append(suspects.calibrate(suspicion[rows], planted[rows]).rate)
    return declared(np.array(draws), calibration.rate)


def _costs(table: Table) -> Floats | None:
    return None if table.cost is None else table.cost.to_numpy(dtype=float)


def _sampled(data: Prepared, used: Ints, effort: Effort) -> list[Notice]:
    if len(used) == len(data.labels):
        return []
    values = {"rows": len(data.labels), "used": len(used), "points": round(100 * effort.row_precision, 1)}
    return [Notice(code="subsampled", values=values)]


def _key(options: Options, data: Prepared) -> str:
    """Name the data and the budget, which decide what is trained."""
    digest = hashlib.sha256(data.inputs.tobytes() + data.labels.tobytes())
    return f"{digest.hexdigest()[:16]} {options.budget_minutes:g}"


def _make_output(path: Path) -> None:
    """Make the output folder; UserError unless it is new, empty, or an audit's."""
    if path.exists() and not path.is_dir():
        raise UserError(f"-o {path} is a file; allowed: a folder")
    if path.is_dir() and any(path.iterdir()) and not (path / "effort.json").exists():
        raise UserError(
            f"-o {path} holds other things than an audit; allowed: a new or empty folder, or an audit's own"
        )
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnreachableError(f"{path} can't be written: {error.strerror}") from None
