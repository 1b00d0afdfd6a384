"""The audit of a user's own data, from the file to the findings."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from phasemap.auditing import suspects
from phasemap.auditing.answers import Answers, Floats, Weights, mean_probabilities
from phasemap.auditing.decision import Decision, decide
from phasemap.auditing.estimates import Estimate
from phasemap.auditing.learning import LearningCurve, measure_learning
from phasemap.auditing.memorization import Decomposition, Scores, decompose, exposure, scores
from phasemap.auditing.messages import Notice
from phasemap.auditing.models import Verdict, judge_estimator, judge_predictions, load_estimator, read_predictions
from phasemap.auditing.noise import (
    FEWEST_RATERS,
    NoiseRate,
    Verified,
    best_error,
    check_sheet_size,
    noise_rate,
    read_verified,
)
from phasemap.auditing.options import Options
from phasemap.auditing.preparing import Prepared, prepare
from phasemap.auditing.reading import Table, read_table
from phasemap.auditing.response import Response, measure_response
from phasemap.auditing.trainings import (
    Effort,
    Rows,
    Trainer,
    answers_of,
    choose_effort,
    kept_effort,
    make_study,
    sample,
    weights_of,
    write_rows,
)
from phasemap.results.folder import RunFolder, written
from phasemap.running.runner import Runner
from phasemap.study.errors import UserError
from phasemap.study.spec import Study
from phasemap.tasks.dataset import Ints

OUTSIDE_NETWORKS = 40  # that are asked about rows beyond the sample


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
    cautious: Floats  # (n,) the same as far as money may be spent on it
    self_check: suspects.SelfCheck
    neighbourhood: suspects.Neighbourhood
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

    if find_spec("sklearn") is None:
        raise UserError("an audit needs scikit-learn; pip install 'phasemap[audit]'")
    table = read_table(options.data, options.columns, options.encoding)
    data = prepare(table)
    inputs = _check_inputs(options, data)
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


def _check_inputs(options: Options, data: Prepared) -> _Inputs:
    n, n_raters = len(data.labels), len(options.columns.raters)
    if 0 < n_raters < FEWEST_RATERS:
        raise UserError(f"--rater is given {n_raters} times; allowed: {FEWEST_RATERS} raters or more")
    if options.predictions is not None and options.estimator is not None:
        raise UserError("--predictions and --estimator are both given; allowed: one of them")
    check_sheet_size(options.verify_sheet, n)
    return _Inputs(
        verified=None if options.verified is None else read_verified(options.verified, data.classes, n),
        predictions=None if options.predictions is None else read_predictions(options.predictions, data),
        estimator=None if options.estimator is None else load_estimator(options.estimator),
    )


def _measure(job: _Job, inputs: _Inputs) -> Findings:
    options, effort, rows, data = job.options, job.effort, job.rows, job.data
    job.say(f"1/4 {effort.trainings} trainings on complementary halves of {len(job.used)} rows")
    answers, folder, study = job.train("scores", rows, effort.trainings, "Which rows are memorized?")
    job.say(f"2/4 {effort.plantings * effort.planted_trainings} trainings with planted flips")
    near = suspects.neighbours(rows.inputs)
    planted = _planted(job, rows, answers, near)
    memorized = np.full(len(data.labels), np.nan)
    found_scores = scores(answers)
    memorized[job.used] = found_scores.score
    networks = list(weights_of(folder, study, OUTSIDE_NETWORKS))
    found = _every_row(job, rows, answers, near, networks, planted.neighbourhood)
    job.say("3/4 trainings with labels corrupted on purpose")
    response = measure_response(job.trainer, rows, options.regularizer, n_rounds=effort.rounds)
    job.say("4/4 trainings on rising numbers of rows")
    learning = measure_learning(job.trainer, rows, seeds=effort.learning_seeds)
    bound = best_error(answers.held_out, rows.labels, response.clean_errors())
    trained = found.of_rows(job.used)
    clear = suspects.clear_rate(trained, rows.labels)
    noise = noise_rate(bound, job.table, data, inputs.verified, clear if options.noise_model else None)
    calibration = suspects.Calibration.of(trained, rows.labels, *noise.range)
    probability, cautious = calibration.probability(found.suspicion), calibration.cautious(found.suspicion)
    return Findings(
        options=options,
        data=data,
        used=job.used,
        effort=effort,
        notices=job.notices,
        answers=answers,
        scores=found_scores,
        decomposition=decompose(answers, probability[job.used]),
        suspects=suspects.suspect_table(found, probability, memorized, data.labels, data.classes),
        probability=probability,
        cautious=cautious,
        self_check=suspects.check(planted, float(cautious.mean())),
        neighbourhood=planted.neighbourhood,
        noise=noise,
        response=response,
        learning=learning,
        exposure=exposure(answers),
        decision=decide(
            response, learning, cautious, options.prices, n_classes=data.n_classes, costs=_costs(job.table)
        ),
        verdict=_verdict(job, inputs, rows, probability, expected=min(float(cautious.mean()), noise.bound)),
    )


def _verdict(job: _Job, inputs: _Inputs, rows: Rows, wrong: Floats, *, expected: float) -> Verdict | None:
    if inputs.predictions is not None:
        return judge_predictions(inputs.predictions, job.data, wrong, expected)
    if inputs.estimator is not None:
        cache = job.options.output / "estimator"
        return judge_estimator(inputs.estimator, rows, wrong[job.used], expected, job.say, cache)
    return None


def _planted(job: _Job, rows: Rows, answers: Answers, near: Ints) -> suspects.Planted:
    """Plant flips in copies of the rows, train on them, and return what became of the rows of all copies."""
    copies = []
    for number in range(job.effort.plantings):
        labels, flips = suspects.plant(rows.labels, answers.held_out, number)
        copy = write_rows(job.trainer.folder, rows.inputs, labels, rows.groups)
        seen, _, _ = job.train(f"planted{number}", copy, job.effort.planted_trainings, "Are planted flips found?")
        copies.append(suspects.Copy(labels=labels, planted=flips, held_out=seen.held_out))
    return suspects.Planted.of(copies, near)


def _every_row(
    job: _Job,
    rows: Rows,
    answers: Answers,
    near: Ints,
    networks: Sequence[Weights],
    neighbourhood: suspects.Neighbourhood,
) -> suspects.Evidence:
    """Weigh the evidence about every row of the data; some networks are asked about those that were not used."""
    data, used = job.data, job.used
    found = suspects.evidence(answers.held_out, rows.labels, near, answers.held_out, rows.labels, neighbourhood)
    rest = np.setdiff1d(np.arange(len(data.labels)), used)
    if not len(rest):
        return found
    job.say(f"asking {len(networks)} networks about the other {len(rest)} rows")
    own = mean_probabilities(data.inputs[rest], networks)
    around = suspects.neighbours(rows.inputs, data.inputs[rest])
    other = suspects.evidence(own, data.labels[rest], around, answers.held_out, rows.labels, neighbourhood)
    back = np.argsort(np.concatenate([used, rest]))
    return suspects.Evidence(
        suspicion=np.concatenate([found.suspicion, other.suspicion])[back],
        classes=np.concatenate([found.classes, other.classes])[back],
    )


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
    with written(path):
        path.mkdir(parents=True, exist_ok=True)
