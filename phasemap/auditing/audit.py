"""The audit of a user's own data, from the file to the findings."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from phasemap.auditing import suspects
from phasemap.auditing.decision import Decision, Verdict, decide, judge_predictions, judge_trainings
from phasemap.auditing.inputs import Notice, Options, Table, read_table, texts
from phasemap.auditing.measures import Answers, Decomposition, Estimate, Floats, Scores, decompose, exposure, scores
from phasemap.auditing.own import OwnTraining
from phasemap.auditing.predictions import read_predictions
from phasemap.auditing.preparing import Prepared, prepare
from phasemap.auditing.response import LearningCurve, Response, measure_learning, measure_response
from phasemap.auditing.suspects import (
    FEWEST_RATERS,
    NoiseRate,
    Verified,
    best_error,
    check_sheet_size,
    noise_rate,
    read_verified,
)
from phasemap.auditing.trainings import (
    MOST_ROWS,
    AuditSize,
    Network,
    Rows,
    Trainer,
    Training,
    choose_own_size,
    choose_size,
    kept_size,
    sample,
    trial_table,
)
from phasemap.results.folder import RunFolder, written
from phasemap.running.runner import Runner
from phasemap.study.errors import UserError
from phasemap.study.spec import Study
from phasemap.tasks.dataset import Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Findings:
    """All that an audit found."""

    options: Options
    data: Prepared
    used: Ints  # rows that were trained on and tested with
    effort: AuditSize
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

    def say(code: str, **values: object) -> None:
        if not quiet:
            print(texts(options.language)["progress"][code].format(**values), file=sys.stderr, flush=True)

    if find_spec("sklearn") is None:
        raise UserError("an audit needs scikit-learn; pip install 'phasemap[audit]'")
    assert options.data is not None
    table = read_table(options.data, options.columns, options.encoding)
    data = prepare(table)
    inputs = _check_inputs(options, data)
    make_output(options.output)
    trainer = Trainer(folder=options.output / "trainings", training=inputs.training, start=start_runner, quiet=quiet)
    try:
        effort = kept_size(
            options.output / "effort.json",
            _key(options, data, inputs.training),
            lambda: _effort(options, data, trainer, cores),
        )
        used = sample(data, effort.rows)
        notices = (*data.notices, *_sampled(data, used, effort))
        for notice in notices:
            say("noticed", text=notice.text(options.language))
        return _measure(_Job(options, table, data, effort, used, notices, trainer, say), inputs)
    finally:
        trainer.close()


def _effort(options: Options, data: Prepared, trainer: Trainer, cores: int) -> AuditSize:
    """Choose what is trained; of a training of the user's own some are timed first, on a half of the rows each.

    One more than there are cores, since the first one in each process takes long: it imports libraries.
    """
    if isinstance(trainer.training, Network):
        return choose_size(data, options.budget_minutes, cores)
    used = sample(data, MOST_ROWS)
    rows = trainer.training.rows(trainer.folder, data, used, data.labels[used])
    study = trainer.training.study("first", rows, seeds=cores + 1, axes={"corruption": [0.0]}, question="", keep=True)
    seconds = trial_table(trainer.run(study), study)["train_seconds"].min()
    return choose_own_size(len(used), float(seconds), options.budget_minutes, cores)


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What the options name beside the data, read before anything is trained."""

    verified: Verified | None
    predictions: pd.DataFrame | None
    training: Training


@dataclass(frozen=True, slots=True)
class _Job:
    options: Options
    table: Table
    data: Prepared
    effort: AuditSize
    used: Ints
    notices: tuple[Notice, ...]
    trainer: Trainer
    say: Callable[..., None]  # a line of progress, by its code and values

    def rows(self, labels: Ints) -> Rows:
        return self.trainer.training.rows(self.trainer.folder, self.data, self.used, labels)

    def train(self, name: str, rows: Rows, seeds: int, question: str) -> tuple[Answers, RunFolder, Study]:
        training = self.trainer.training
        study = training.study(name, rows, seeds=seeds, axes={"corruption": [0.0]}, question=question, keep=True)
        folder = self.trainer.run(study)
        return training.answers(folder, study, rows), folder, study


def _check_inputs(options: Options, data: Prepared) -> _Inputs:
    n, n_raters = len(data.labels), len(options.columns.raters)
    if 0 < n_raters < FEWEST_RATERS:
        raise UserError(f"--rater is given {n_raters} times; allowed: {FEWEST_RATERS} raters or more")
    if options.predictions is not None and options.program is not None:
        raise UserError("--predictions and --program are both given; allowed: one of them")
    if options.regularizer is not None and options.program is not None:
        raise UserError("--regularizer applies to the audit's own network only; leave it out with --program")
    check_sheet_size(options.verify_sheet, n)
    return _Inputs(
        verified=None if options.verified is None else read_verified(options.verified, data.classes, n),
        predictions=None if options.predictions is None else read_predictions(options.predictions, data),
        training=Network() if options.program is None else OwnTraining.of(options.program),
    )


def _measure(job: _Job, inputs: _Inputs) -> Findings:
    options, effort, data = job.options, job.effort, job.data
    rows = job.rows(data.labels[job.used])
    job.say("scores", trainings=effort.trainings, rows=len(job.used))
    answers, folder, study = job.train("scores", rows, effort.trainings, "Which rows are memorized?")
    job.say("planted", trainings=effort.plantings * effort.planted_trainings)
    near = suspects.neighbours(rows.inputs)
    planted = _planted(job, rows, answers, near)
    memorized = np.full(len(data.labels), np.nan)
    found_scores = scores(answers)
    memorized[job.used] = found_scores.score
    ask = partial(job.trainer.training.of_others, folder, study, rows)
    found = _every_row(job, rows, answers, near, ask, planted.neighbourhood)
    job.say("learning")
    learning = measure_learning(job.trainer, rows, seeds=effort.learning_seeds)
    job.say("response")
    response = measure_response(job.trainer, rows, options.regularizer or "weight_decay", n_rounds=effort.rounds)
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
        verdict=_verdict(job, inputs, answers, probability, expected=min(float(cautious.mean()), noise.bound)),
    )


def _verdict(job: _Job, inputs: _Inputs, answers: Answers, wrong: Floats, *, expected: float) -> Verdict | None:
    if inputs.predictions is not None:
        return judge_predictions(inputs.predictions, job.data, wrong, expected)
    return None if isinstance(inputs.training, Network) else judge_trainings(answers, wrong[job.used], expected)


def _planted(job: _Job, rows: Rows, answers: Answers, near: Ints) -> suspects.Planted:
    """Plant flips in copies of the rows, train on them, and return what became of the rows of all copies."""
    copies = []
    for number in range(job.effort.plantings):
        labels, flips = suspects.plant(rows.labels, answers.held_out, number)
        copy = job.rows(labels)
        seen, _, _ = job.train(f"planted{number}", copy, job.effort.planted_trainings, "Are planted flips found?")
        copies.append(suspects.Copy(labels=labels, planted=flips, held_out=seen.held_out))
    return suspects.Planted.of(copies, near)


def _every_row(
    job: _Job,
    rows: Rows,
    answers: Answers,
    near: Ints,
    ask: Callable[[np.ndarray], np.ndarray],
    neighbourhood: suspects.Neighbourhood,
) -> suspects.Evidence:
    """Weigh the evidence about every row of the data; some trainings are asked about those that were not used."""
    data, used = job.data, job.used
    found = suspects.evidence(answers.held_out, rows.labels, near, answers.held_out, rows.labels, neighbourhood)
    rest = np.setdiff1d(np.arange(len(data.labels)), used)
    if not len(rest):
        return found
    job.say("ranking", rows=len(rest))
    own = ask(data.inputs[rest])
    around = suspects.neighbours(rows.inputs, data.inputs[rest])
    other = suspects.evidence(own, data.labels[rest], around, answers.held_out, rows.labels, neighbourhood)
    back = np.argsort(np.concatenate([used, rest]))
    return suspects.Evidence(
        suspicion=np.concatenate([found.suspicion, other.suspicion])[back],
        classes=np.concatenate([found.classes, other.classes])[back],
    )


def _costs(table: Table) -> Floats | None:
    return None if table.cost is None else table.cost.to_numpy(dtype=float)


def _sampled(data: Prepared, used: Ints, effort: AuditSize) -> list[Notice]:
    if len(used) == len(data.labels):
        return []
    values = {"rows": len(data.labels), "used": len(used), "points": round(100 * effort.row_precision, 1)}
    return [Notice(code="subsampled", values=values)]


def _key(options: Options, data: Prepared, training: Training) -> str:
    """Name the data, the budget and what is trained, which decide how much is."""
    digest = hashlib.sha256(data.inputs.tobytes() + data.labels.tobytes())
    own = f" {training.source}" if isinstance(training, OwnTraining) else ""
    return f"{digest.hexdigest()[:16]} {options.budget_minutes:g}{own}"


def make_output(path: Path) -> None:
    """Make the output folder; UserError unless it is new, empty, or an audit's."""
    if path.exists() and not path.is_dir():
        raise UserError(f"-o {path} is a file; allowed: a folder")
    if (
        path.is_dir()
        and any(path.iterdir())
        and not any((path / name).exists() for name in ("effort.json", "trainings", "audit.json"))
    ):
        raise UserError(
            f"-o {path} holds files that are not an audit's; allowed: a new or empty folder, or that of an audit"
        )
    with written(path):
        path.mkdir(parents=True, exist_ok=True)
