"""The API's routes that make pictures and files of runs: each takes a while, and is kept."""

from __future__ import annotations

import tempfile
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from phasemap.diagram.compare_content import comparison_content
from phasemap.figures import FigureRequest
from phasemap.serving import content
from phasemap.serving.params import ERRORS, HEAVY_CHECKS, TYPES, Name, Serving, body_of, sent_unless_known
from phasemap.serving.service import Service
from phasemap.serving.store import Snapshot
from phasemap.study.yaml_lines import read_assignment

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
    return FigureRequest.of(kind, x=x, y=y, facet=facet, fix=held, metric=metric)


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
    found = service.store.snapshot(name)

    def make() -> bytes:
        with service.drawing:
            return content.picture(found.run(), figure, ending)

    return sent_unless_known(request, service, (found.stamp, name, "figure", repr(figure), ending), TYPES[ending], make)


@making.get("/runs/{name}/report", response_class=Response, responses=body_of("text/html", "one HTML file"))
def get_report(name: Name, service: Serving) -> Response:
    """Return the run's report: one HTML file to save and share."""
    found = service.store.snapshot(name)
    body = service.cache.get((found.stamp, name, "report"), lambda: content.report_file(found.run()))
    headers = {"content-disposition": f'attachment; filename="{name}.html"', "content-security-policy": "sandbox"}
    return Response(body, media_type="text/html", headers=headers)


@making.get("/runs/{name}/bundle", response_class=Response, responses=body_of("application/zip", "a zip file"))
def get_bundle(name: Name, service: Serving) -> Response:
    """Return the run's bundle: study, tables, figures, report and checksums in a zip file."""
    found = service.store.snapshot(name)
    folder = tempfile.TemporaryDirectory(prefix="phasemap-")
    try:
        with service.drawing:
            path = content.bundle_file(found.run(), FilePath(folder.name))
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
    a: RunName, b: RunName, ending: Literal["png", "svg", "pdf"], request: Request, service: Serving
) -> Response:
    """Draw two runs beside each other, and where they differ."""
    one, other, key = _two(service, a, b)

    def make() -> bytes:
        with service.drawing:
            return content.difference_picture(one.run(), other.run(), ending)

    return sent_unless_known(request, service, (*key, ending), TYPES[ending], make)
