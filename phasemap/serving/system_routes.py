"""Routes about the service itself: health, readiness, metrics."""

from __future__ import annotations

import os
import time

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from phasemap._version import __version__
from phasemap.serving.access import READ_CHECKS, Serving
from phasemap.serving.answers import Health
from phasemap.serving.forms import ERRORS
from phasemap.serving.service import Service

QUEUE_SECONDS = 30.0  # without a look at the queue: something keeps its thread

health = APIRouter(tags=["operation"])
metrics = APIRouter(dependencies=READ_CHECKS, responses=ERRORS, tags=["operation"])


@health.get("/healthz")
async def healthz() -> Health:
    """Say that the service answers."""
    return Health(status="ok", version=__version__)


@health.get("/readyz", responses={503: {"model": Health}})
def readyz(request: Request, response: Response) -> Health:
    """Say whether the storage can be written, the queue is watched and the tokens can be read."""
    problem = _problem(request.app.state.service)
    response.status_code = 503 if problem else 200
    return Health(status="not ready" if problem else "ok", version=__version__, problem=problem)


def _problem(service: Service) -> str | None:
    if not os.access(service.settings.root, os.W_OK | os.X_OK):
        return "the storage can't be written"
    if time.monotonic() - service.supervisor.ticked > QUEUE_SECONDS:
        return "the queue is not watched"
    tokens = service.settings.tokens
    if tokens is not None and not tokens.tokens():
        return "the token file can't be used"
    return None


@metrics.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def read_metrics(service: Serving) -> Response:
    """Return the service's counters for Prometheus."""
    return Response(service.metrics.text(), headers={"content-type": CONTENT_TYPE_LATEST})
