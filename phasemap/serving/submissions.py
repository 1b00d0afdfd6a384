"""Routes that change something: submit, cancel and resume; and those that only look at a study that is sent."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import anyio
from fastapi import APIRouter, HTTPException, Request, Response

from phasemap.planning.plan import check_folder
from phasemap.results.folder import RunFolder
from phasemap.serving.params import CHANGE_CHECKS, ERRORS, Name, Serving, Submitter, client_of
from phasemap.serving.schemas import PlanAnswer, Refusal, Submitted, Validation, mistake
from phasemap.serving.service import MOST_TRIALS, Service, Settings
from phasemap.serving.summaries import DONE, Summary
from phasemap.study.errors import BusyError, OtherStudyError, Problem, StudyError, UnreachableError, UserError
from phasemap.study.file import parse_study
from phasemap.study.spec import Study
from phasemap.study.trials import count_trials
from phasemap.study.writing import dump_study, study_hash
from phasemap.study.yaml_lines import Document, parse_document

SOURCE = "study"
JSON_TYPES, YAML_TYPES = ("application/json",), ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
PLAN_SECONDS = 90.0
PLANS = threading.BoundedSemaphore(2)  # each is a process of its own


def read_study(body: bytes, media_type: str, programs: Sequence[str] = ()) -> Study:
    """Turn a request's body into a study; StudyError names every mistake in it.

    ``programs`` are the only ones that it may name: nothing else is imported.
    """
    study = parse_study(_document(body, media_type), files_allowed=False, programs=programs)
    if count_trials(study) > MOST_TRIALS:
        message = f"make {count_trials(study)} trials; allowed in a service: at most {MOST_TRIALS}"
        raise StudyError([Problem(SOURCE, None, "axes", message)])
    return study


def _document(body: bytes, media_type: str) -> Document:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _wrong(f"is not UTF-8 text (byte {error.start})") from None
    if media_type not in JSON_TYPES:
        return parse_document(text, SOURCE)
    try:
        content = json.loads(text, object_pairs_hook=_once)
    except RecursionError:
        raise _wrong("not valid JSON: nested too deep") from None
    except ValueError as error:
        raise _wrong(f"not valid JSON: {error}") from None
    return parse_document(json.dumps(content, ensure_ascii=False), SOURCE)


def _wrong(message: str) -> StudyError:
    return StudyError([Problem(SOURCE, None, "", message)])


def _once(pairs: Sequence[tuple[str, Any]]) -> Mapping[str, Any]:
    keys = [key for key, _ in pairs]
    twice = next((key for number, key in enumerate(keys) if key in keys[:number]), None)
    if twice is not None:
        raise ValueError(f"the key {twice!r} is given twice; allowed: each key once")
    return dict(pairs)


def validate(body: bytes, media_type: str, root: Path, programs: Sequence[str] = ()) -> Validation:
    """Check a study, also against the run of its name."""
    try:
        study = read_study(body, media_type, programs)
    except StudyError as error:
        return Validation(valid=False, problems=[mistake(problem) for problem in error.problems])
    n_trials = count_trials(study)
    answer = Validation(valid=True, name=study.name, n_points=n_trials // len(study.seeds), n_trials=n_trials)
    try:
        answer.changes = check_folder(study, RunFolder(root / study.name))
    except OtherStudyError as error:
        differences = "; ".join(error.differences)
        answer.conflict = (
            f"The storage holds another study named {study.name} ({differences}). Give this one another name."
        )
    return answer


def plan(study: Study, settings: Settings) -> PlanAnswer:
    """Say what running a study would take: measured by ``phasemap plan`` in a process of its own, for it needs torch.

    UserError with its message where it refuses; BusyError while too many plans are made.
    """
    if not PLANS.acquire(blocking=False):
        raise BusyError("other plans are being made; try again in a few seconds")
    try:
        with tempfile.TemporaryDirectory(prefix="phasemap-") as folder:
            path = Path(folder) / f"{study.name}.yaml"
            path.write_text(dump_study(study), encoding="utf-8")
            options = ["--cpus", str(settings.cpus)] if settings.cpus else []
            command = [sys.executable, "-P", "-m", "phasemap", "plan", str(path), "--storage", str(settings.root)]
            done = subprocess.run(
                [*command, "--json", *options], capture_output=True, text=True, timeout=PLAN_SECONDS, cwd=folder
            )
        answer = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise UnreachableError(f"the plan took longer than {PLAN_SECONDS:g} s") from None
    except ValueError:
        raise UnreachableError("the plan could not be made") from None
    finally:
        PLANS.release()
    if done.returncode:
        raise UserError(answer.get("error", "the plan could not be made"))
    return PlanAnswer(**answer)


Answer = TypeVar("Answer")

REFUSALS: dict[int | str, dict[str, Any]] = {
    409: {"model": Refusal, "description": "contradicts the run, or what it is doing"},
    408: {"model": Refusal, "description": "the body took too long to arrive"},
    413: {"model": Refusal, "description": "the body is too large"},
    415: {"model": Refusal, "description": "neither YAML nor JSON"},
}
BODY = {
    "requestBody": {
        "required": True,
        "description": "A study file, as YAML or JSON",
        "content": {
            "application/yaml": {"schema": {"type": "string"}},
            "application/json": {"schema": {"type": "object"}},
        },
    }
}
READERS = anyio.CapacityLimiter(2)  # parsing keeps the interpreter busy: other requests must get their turns

changing = APIRouter(dependencies=CHANGE_CHECKS, responses={**ERRORS, **REFUSALS}, tags=["submitting"])


async def _with_body(request: Request, work: Callable[[bytes, str], Answer]) -> Answer:
    """Give a study's text and media type to work that is done in a thread."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in (*JSON_TYPES, *YAML_TYPES):
        raise HTTPException(415, f"content-type {media_type or 'missing'}; allowed: application/yaml, application/json")
    body = await request.body()
    return await anyio.to_thread.run_sync(work, body, media_type, limiter=READERS)


@changing.post("/studies", status_code=202, openapi_extra=BODY, responses={200: {"model": Submitted}})
async def submit_study(caller: Submitter, request: Request, response: Response, service: Serving) -> Submitted:
    """Submit a study: it is checked as ``phasemap run`` checks it, and queued.

    The same study again changes nothing (200). A study that widens the run of its name goes on with it; one that
    contradicts it is refused (409).
    """

    def work(body: bytes, media_type: str) -> Submitted:
        study = read_study(body, media_type, service.settings.programs)
        try:
            changed = service.supervisor.submit(study, caller.name, complete=_complete(service, study.name))
        except UserError as error:
            _note(service, "submit", caller, request, study=study, refused=str(error))
            raise
        _note(service, "submit", caller, request, study=study, changed=changed)
        return Submitted(run=study.name, changed=changed, summary=service.summaries.of(study.name))

    answer = await _with_body(request, work)
    response.status_code = 202 if answer.changed else 200
    return answer


@changing.post("/studies/validate", openapi_extra=BODY)
async def validate_study(caller: Submitter, request: Request, service: Serving) -> Validation:
    """Check a study without running it: every mistake with its line, or its size and what it changes of its run."""
    settings = service.settings
    return await _with_body(request, partial(validate, root=settings.root, programs=settings.programs))


@changing.post("/studies/plan", openapi_extra=BODY)
async def plan_study(caller: Submitter, request: Request, service: Serving) -> PlanAnswer:
    """Say what running a study would take on the service's machine: trials, packs, time and memory."""
    study = await _with_body(request, partial(read_study, programs=service.settings.programs))
    return await anyio.to_thread.run_sync(plan, study, service.settings)


@changing.post("/runs/{name}/cancel")
def cancel_run(name: Name, caller: Submitter, request: Request, service: Serving) -> Submitted:
    """Interrupt a run, or take it out of the queue; what is finished is kept, and a resume goes on from there."""
    service.summaries.of(name)
    changed = service.supervisor.cancel(service.store.folder_of(name), caller.name)
    return _changed(service, "cancel", name, caller, request, changed=changed)


@changing.post("/runs/{name}/resume", status_code=202)
def resume_run(name: Name, caller: Submitter, request: Request, service: Serving) -> Submitted:
    """Queue a run again: what is missing or failed is trained."""
    service.summaries.of(name)
    changed = service.supervisor.resume(service.store.folder_of(name), caller.name)
    return _changed(service, "resume", name, caller, request, changed=changed)


def _complete(service: Service, name: str) -> bool:
    """Whether a run ended, so that the same study has nothing left to do; trials that failed are for a resume."""
    return service.store.folder_of(name).study.is_file() and service.summaries.of(name).state == DONE


def _changed(
    service: Service, action: str, name: str, caller: Submitter, request: Request, *, changed: bool
) -> Submitted:
    _note(service, action, caller, request, run=name, changed=changed)
    summary: Summary = service.summaries.of(name)
    return Submitted(run=name, changed=changed, summary=summary)


def _note(
    service: Service, action: str, caller: Submitter, request: Request, *, study: Study | None = None, **what: Any
) -> None:
    """Write down who changed what, and count it."""
    if study is not None:
        what = {"run": study.name, "study_hash": study_hash(study), **what}
    service.audit(action, caller, client_of(request), **what)
    outcome = "refused" if "refused" in what else "changed" if what["changed"] else "same"
    service.metrics.changes.labels(action, outcome).inc()
