"""What requests and answers hold, as the API's description names them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from phasemap.serving.summaries import Summary
from phasemap.study.errors import Problem, UserError


class Mistake(BaseModel):
    """One mistake in a study: where, and what is allowed."""

    line: int | None = None
    path: str = ""
    message: str
    text: str  # the same in one line, as the command line prints it


class Refusal(BaseModel):
    """Why a request was refused."""

    error: str
    problems: list[Mistake] = []


class Runs(BaseModel):
    """The runs of the storage: those under way first, then the others, the latest first."""

    n_runs: int
    offset: int
    limit: int
    runs: list[Summary]


class RunDetails(BaseModel):
    """One run: its summary, study, executions, and the first trials that failed."""

    summary: Summary
    study: dict[str, Any]
    study_file: str
    executions: list[dict[str, Any]]
    failures: list[dict[str, Any]]


class Table(BaseModel):
    """Some rows of a table."""

    run: str
    version: str
    n_rows: int
    offset: int
    limit: int
    rows: list[dict[str, Any]]


class TrialCurve(BaseModel):
    """Every quantity of a trial over its recorded steps; null where it is undefined."""

    trial_id: str
    status: str
    step: list[int]
    quantities: dict[str, list[float | None]]


class Log(BaseModel):
    """The end of a run's log, and of what its process printed."""

    log: str
    output: str


class Validation(BaseModel):
    """Whether a study can be run, and its size."""

    valid: bool
    problems: list[Mistake] = []
    name: str | None = None
    n_points: int | None = None
    n_trials: int | None = None
    changes: list[str] = []
    conflict: str | None = None  # with the run of this name


class PlanAnswer(BaseModel):
    """What running a study would take, as ``phasemap plan --json`` says it."""

    study: str
    n_points: int
    n_trials: int
    n_reused: int
    n_missing: int
    n_packs: int
    changes: list[str]
    wall_seconds: float
    core_hours: float
    memory_bytes: float
    slots: int


class Submitted(BaseModel):
    """What became of a submit, a resume or a cancel; ``changed`` is false where nothing had to be done."""

    run: str
    changed: bool
    summary: Summary


class Health(BaseModel):
    """That the service answers, or why it is not ready."""

    status: str
    version: str
    problem: str | None = None


def refusal(error: UserError) -> Refusal:
    """Return a mistake as it is sent."""
    problems = getattr(error, "problems", ())
    return Refusal(error=str(error), problems=[mistake(problem) for problem in problems])


def mistake(problem: Problem) -> Mistake:
    """Return one mistake of a study as it is sent."""
    return Mistake(line=problem.line, path=problem.path, message=problem.message, text=str(problem))
