"""The API's routes that change something: submit, cancel and resume; and those that only look at a study first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import anyio
from fastapi import APIRouter, HTTPException, Request, Response

from phasemap.serving import studies
from phasemap.serving.access import CHANGE_CHECKS, Serving, Submitter, client_of
from phasemap.serving.answers import PlanAnswer, Refusal, Submitted, Validation
from phasemap.serving.forms import ERRORS, Name
from phasemap.serving.service import Service
from phasemap.serving.summaries import DONE, Summary
from phasemap.study.problems import UserError
from phasemap.study.spec import Study
from phasemap.study.writing import study_hash

Answer = TypeVar("Answer")

REFUSALS: dict[int | str, dict[str, Any]] = {
    409: {"model": Refusal, "description": "contradicts what the run is, or does"},
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
    if media_type not in (*studies.JSON_TYPES, *studies.YAML_TYPES):
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
        study = studies.read_study(body, media_type)
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
    return await _with_body(request, lambda body, media_type: studies.validate(body, media_type, service.settings.root))


@changing.post("/studies/plan", openapi_extra=BODY)
async def plan_study(caller: Submitter, request: Request, service: Serving) -> PlanAnswer:
    """Say what running a study would take on the service's machine: trials, packs, time and memory."""
    study = await _with_body(request, studies.read_study)
    return await anyio.to_thread.run_sync(studies.plan, study, service.settings)


@changing.post("/runs/{name}/cancel")
def cancel_run(name: Name, caller: Submitter, request: Request, service: Serving) -> Submitted:
    """Interrupt a run, or take it out of the queue; what is finished is kept, and a resume goes on from there."""
    service.summaries.of(name)
    changed = service.supervisor.cancel(service.store.place(name), caller.name)
    return _changed(service, "cancel", name, caller, request, changed=changed)


@changing.post("/runs/{name}/resume", status_code=202)
def resume_run(name: Name, caller: Submitter, request: Request, service: Serving) -> Submitted:
    """Queue a run again: what is missing or failed is trained."""
    service.summaries.of(name)
    changed = service.supervisor.resume(service.store.place(name), caller.name)
    return _changed(service, "resume", name, caller, request, changed=changed)


def _complete(service: Service, name: str) -> bool:
    """Whether a run ended, so that the same study has nothing left to do; trials that failed are for a resume."""
    return service.store.place(name).study.is_file() and service.summaries.of(name).state == DONE


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
