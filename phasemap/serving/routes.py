"""The API's routes that only read: runs, pictures and files of them, and the service's own state."""

from __future__ import annotations

import os
import tempfile
import time
from functools import partial
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal

import anyio
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import FileResponse
from prometheus_client import CONTENT_TYPE_LATEST
from sse_starlette import EventSourceResponse
from starlette.background import BackgroundTask

from phasemap._version import __version__
from phasemap.diagram.comparison_texts import comparison_content
from phasemap.figures import FigureRequest
from phasemap.results.provenance import read_provenance
from phasemap.serving import store
from phasemap.serving.params import (
    ERRORS,
    HEAVY_CHECKS,
    READ_CHECKS,
    TYPES,
    Limit,
    Name,
    Offset,
    Serving,
    TrialId,
    body_of,
    caller_of,
    sent_unless_known,
)
from phasemap.serving.queue import tail_of
from phasemap.serving.schemas import Health, Log, RunDetails, Runs, Table, TrialCurve
from phasemap.serving.service import LOG_BYTES, PAGE_ROWS, Service
from phasemap.serving.store import Snapshot
from phasemap.serving.summaries import RUNNING, STOPPING
from phasemap.study.writing import dump_study, study_content
from phasemap.study.yaml_lines import read_assignment

SEND_SECONDS = 20.0  # to take an event; who is slower is let go

reading = APIRouter(dependencies=READ_CHECKS, responses=ERRORS, tags=["runs"])


@reading.get("/runs")
def list_runs(service: Serving, offset: Offset = 0, limit: Limit = PAGE_ROWS) -> Runs:
    """List the runs: those under way first, then the others, the latest first."""
    runs = service.summaries.all()
    return Runs(n_runs=len(runs), offset=offset, limit=limit, runs=runs[offset : offset + limit])


@reading.get("/runs/{name}")
def get_run(name: Name, service: Serving) -> RunDetails:
    """Return one run: its summary, study, executions, and the first trials that failed."""
    summary = service.summaries.of(name)
    if not service.store.folder_of(name).study.is_file():
        study = service.summaries.study(name)
        trials: list[dict[str, Any]] = []
        executions: list[dict[str, Any]] = []
    else:
        snapshot = service.store.snapshot(name)
        study, trials = snapshot.study, store.failures(snapshot.trials)
        executions = [dict(execution.content) for execution in read_provenance(snapshot.folder)]
    return RunDetails(
        summary=summary,
        study=study_content(study),
        study_file=dump_study(study),
        executions=executions,
        failures=trials,
    )


@reading.get("/runs/{name}/points", responses={200: {"model": Table}, 304: {"description": "it has not changed"}})
def get_points(
    name: Name, request: Request, service: Serving, offset: Offset = 0, limit: Limit = PAGE_ROWS
) -> Response:
    """Return rows of the phase diagram as a table: one row a point."""
    snapshot = service.store.snapshot(name)
    make = partial(store.table_page, name, snapshot.stamp, snapshot.points, offset, limit)
    return sent_unless_known(request, service, (snapshot.stamp, name, "points", offset, limit), TYPES["json"], make)


@reading.get("/runs/{name}/trials", responses={200: {"model": Table}, 304: {"description": "it has not changed"}})
def get_trials(
    name: Name,
    request: Request,
    service: Serving,
    offset: Offset = 0,
    limit: Limit = PAGE_ROWS,
    status: Literal["ok", "diverged", "failed"] | None = None,
    phase: Annotated[str | None, Query(max_length=40)] = None,
) -> Response:
    """Return rows of the trials, all or those of a status or label (phase or subphase)."""
    snapshot = service.store.snapshot(name)

    def make() -> bytes:
        chosen = store.chosen_trials(snapshot.trials, status, phase)
        return store.table_page(name, snapshot.stamp, chosen, offset, limit)

    return sent_unless_known(
        request, service, (snapshot.stamp, name, "trials", offset, limit, status, phase), TYPES["json"], make
    )


@reading.get(
    "/runs/{name}/trials/{trial_id}/curve",
    responses={200: {"model": TrialCurve}, 304: {"description": "it has not changed"}},
)
def get_curve(name: Name, trial_id: TrialId, request: Request, service: Serving) -> Response:
    """Return every quantity of a trial over its recorded steps."""
    snapshot = service.store.snapshot(name)
    make = partial(store.curve, snapshot, trial_id)
    return sent_unless_known(request, service, (snapshot.stamp, name, "curve", trial_id), TYPES["json"], make)


@reading.get("/runs/{name}/log")
def get_log(name: Name, service: Serving) -> Log:
    """Return the end of a run's log, and of what its process printed."""
    service.summaries.state(name)
    folder = service.store.folder_of(name)
    return Log(log=tail_of(folder.log, LOG_BYTES), output=service.supervisor.files.tail(name))


@reading.get("/runs/{name}/map", response_class=Response, responses=body_of("application/json", "a report's content"))
def get_map(name: Name, request: Request, service: Serving) -> Response:
    """Return what the page draws the run from; its format may change with the page."""
    snapshot = service.store.snapshot(name)
    running = service.summaries.state(name) in (RUNNING, STOPPING)
    make = partial(store.map_content, snapshot, running=running)
    return sent_unless_known(request, service, (snapshot.stamp, name, "map", running), TYPES["json"], make)


@reading.get("/runs/{name}/thumbnail.svg", response_class=Response, responses=body_of("image/svg+xml", "a small map"))
def get_thumbnail(name: Name, request: Request, service: Serving) -> Response:
    """Return the run's map as a small picture."""
    snapshot = service.store.snapshot(name)
    return sent_unless_known(
        request, service, (snapshot.stamp, name, "thumbnail"), TYPES["svg"], partial(store.thumbnail, snapshot)
    )


EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/event-stream": {}},
        "description": "server-sent events: run with a run's summary, gone with the name of one that left the storage",
    }
}


@reading.get("/runs/{name}/events", response_class=Response, responses=EVENTS)
async def follow_run(name: Name, request: Request, service: Serving) -> Response:
    """Follow a run: its summary now, and again whenever it changes."""
    await anyio.to_thread.run_sync(service.summaries.state, name)
    return _stream(request, service, name)


@reading.get("/events", response_class=Response, responses=EVENTS)
async def follow_all(request: Request, service: Serving) -> Response:
    """Follow all runs: their summaries now, and each again whenever it changes."""
    return _stream(request, service, None)


def _stream(request: Request, service: Service, name: str | None) -> Response:
    service.followers.enter()
    events = service.followers.follow(name, lambda: caller_of(request) is not None)
    return EventSourceResponse(events, ping=15, send_timeout=SEND_SECONDS)


QUEUE_SECONDS = 30.0  # without a look at the queue: something keeps its thread

health = APIRouter(tags=["operation"])
metrics = APIRouter(dependencies=READ_CHECKS, responses=ERRORS, tags=["operation"])


@health.get("/healthz")
async def healthz() -> Health:
    """Report that the service is up."""
    return Health(status="ok", version=__version__)


@health.get("/readyz", responses={503: {"model": Health}})
def readyz(request: Request, response: Response) -> Health:
    """Report whether the storage can be written, the queue is watched and the tokens can be read."""
    problem = _problem(request.app.state.service)
    response.status_code = 503 if problem else 200
    return Health(status="not ready" if problem else "ok", version=__version__, problem=problem)


def _problem(service: Service) -> str | None:
    if not os.access(service.settings.root, os.W_OK | os.X_OK):
        return "the storage can't be written"
    if time.monotonic() - service.supervisor.ticked > QUEUE_SECONDS:
        return f"the queue has not been looked at for {QUEUE_SECONDS:g} s"
    tokens = service.settings.tokens
    if tokens is not None and not tokens.tokens():
        return "the token file can't be used"
    return None


@metrics.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def read_metrics(service: Serving) -> Response:
    """Return the service's counters for Prometheus."""
    return Response(service.metrics.text(), headers={"content-type": CONTENT_TYPE_LATEST})


Axis = Annotated[str | None, Query(max_length=64)]
Axes = Annotated[list[Annotated[str, Query(max_length=200)]], Query(max_length=32)]
Ending = Literal["png", "svg", "pdf", "json"]
RunName = Annotated[str, Query(pattern=r"^[A-Za-z0-9_-]{1,64}$")]

making = APIRouter(dependencies=HEAVY_CHECKS, responses=ERRORS, tags=["pictures and files"])


def _figure(
    kind: Annotated[str, Query(max_length=20)] = "phases",
    x: Axis = None,
    y: Axis = None,
    facet: Axes = [],  # noqa: B006
    fix: Axes = [],  # noqa: B006
    metric: Axis = None,
) -> FigureRequest:
    held = dict(read_assignment(text, "fix") for text in fix)
    return FigureRequest(kind=kind, x=x, y=y, facet=facet, fix=held, metric=metric)


@making.get(
    "/runs/{name}/diagram.{ending}", response_class=Response, responses=body_of("image/png", "the picture, or its data")
)
def get_diagram(
    name: Name,
    ending: Ending,
    figure: Annotated[FigureRequest, Depends(_figure)],
    request: Request,
    service: Serving,
) -> Response:
    """Return the phase diagram or another figure, as ``phasemap plot`` draws it, or its data as JSON.

    ``facet`` and ``fix`` (AXIS=VALUE) may be given several times.
    """
    snapshot = service.store.snapshot(name)

    def make() -> bytes:
        with service.drawing:
            return store.picture(snapshot.run(), figure, ending)

    return sent_unless_known(
        request, service, (snapshot.stamp, name, "figure", repr(figure), ending), TYPES[ending], make
    )


@making.get("/runs/{name}/report", response_class=Response, responses=body_of("text/html", "one HTML file"))
def get_report(name: Name, service: Serving) -> Response:
    """Return the run's report: one HTML file to save and share."""
    snapshot = service.store.snapshot(name)
    body = service.cache.get((snapshot.stamp, name, "report"), lambda: store.report_file(snapshot.run()))
    headers = {"content-disposition": f'attachment; filename="{name}.html"', "content-security-policy": "sandbox"}
    return Response(body, media_type="text/html", headers=headers)


@making.get("/runs/{name}/bundle", response_class=Response, responses=body_of("application/zip", "a zip file"))
def get_bundle(name: Name, service: Serving) -> Response:
    """Return the run's bundle: study, tables, figures, report and checksums in a zip file."""
    snapshot = service.store.snapshot(name)
    folder = tempfile.TemporaryDirectory(prefix="phasemap-")
    try:
        with service.drawing:
            path = store.bundle_file(snapshot.run(), FilePath(folder.name))
    except BaseException:
        folder.cleanup()
        raise
    return FileResponse(
        path, media_type="application/zip", filename=f"{name}.zip", background=BackgroundTask(folder.cleanup)
    )


def _two(service: Service, a: str, b: str) -> tuple[Snapshot, Snapshot, tuple[Any, ...]]:
    one, other = service.store.snapshot(a), service.store.snapshot(b)
    return one, other, (f"{one.stamp}-{other.stamp}", a, b)


@making.get("/diff")
def compare_runs(a: RunName, b: RunName, service: Serving) -> dict[str, Any]:
    """Compare two runs, as ``phasemap diff --json`` does: which points changed, how far the frontiers moved."""
    one, other, _ = _two(service, a, b)
    return comparison_content(one.run().diff(other.run()))


@making.get("/diff.{ending}", response_class=Response, responses=body_of("image/png", "the picture"))
def draw_difference(
    a: RunName,
    b: RunName,
    ending: Literal["png", "svg", "pdf"],
    request: Request,
    service: Serving,
    columns: Literal["1", "3"] = "3",
) -> Response:
    """Draw two runs beside each other, or in one column, and where they differ."""
    one, other, key = _two(service, a, b)

    def make() -> bytes:
        with service.drawing:
            return store.difference_picture(one.run(), other.run(), ending, tall=columns == "1")

    return sent_unless_known(request, service, (*key, ending, columns), TYPES[ending], make)
