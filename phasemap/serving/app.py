"""The application: routes, guards and what becomes of errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from phasemap._version import __version__
from phasemap.figures.page import ASSETS
from phasemap.running.planning import OtherStudyError
from phasemap.serving import pages
from phasemap.serving.answers import Mistake, Refusal, refusal
from phasemap.serving.change_routes import changing
from phasemap.serving.content import UnknownTrialError
from phasemap.serving.events import TooManyError
from phasemap.serving.file_routes import making
from phasemap.serving.guards import BodyGuard, HostGuard, Recorder
from phasemap.serving.run_routes import reading
from phasemap.serving.service import Service
from phasemap.serving.settings import PREFIX, Settings
from phasemap.serving.store import UnknownRunError
from phasemap.serving.studies import BusyError
from phasemap.serving.supervisor import ConflictError
from phasemap.serving.system_routes import health, metrics
from phasemap.study.problems import UnreachableError, UserError

STATUS: dict[type[Exception], int] = {
    UnknownRunError: 404,
    UnknownTrialError: 404,
    ConflictError: 409,
    OtherStudyError: 409,
    TooManyError: 503,
    BusyError: 503,
    UnreachableError: 503,
    UserError: 422,
}
SWAGGER = Path(str(files("fastapi_swagger") / "resources"))  # Swagger UI itself: no other site is asked
DESCRIPTION = (
    "Read, follow and submit studies. Where the service has tokens, send one as `Authorization: Bearer TOKEN`; "
    "reading needs the scope read, submitting the scope submit. The storage is the truth: what the command line does "
    "there is seen here, and the other way round."
)


def create_app(settings: Settings) -> FastAPI:
    """Make the application over a storage."""
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.open()
        try:
            yield
        finally:
            await service.close()

    app = FastAPI(
        title="phasemap",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.service = service
    for router in (health, reading, making, changing):
        app.include_router(router, prefix=PREFIX)
    app.include_router(metrics)
    app.include_router(pages.router, include_in_schema=False)
    for name, folder in (("figures", ASSETS), ("page", pages.ASSETS), ("docs", SWAGGER)):
        app.mount(f"/static/{name}", StaticFiles(directory=folder), name=name)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _wrong_request)
    for kind in STATUS:
        app.add_exception_handler(kind, _user_error)
    app.add_middleware(BodyGuard)
    if settings.tokens is None:
        app.add_middleware(HostGuard, hosts=[settings.host])
    app.add_middleware(Recorder, metrics=service.metrics)
    return app


async def _user_error(request: Request, error: Exception) -> JSONResponse:
    status = next(code for kind, code in STATUS.items() if isinstance(error, kind))
    content = refusal(error) if isinstance(error, UserError) else Refusal(error=str(error))
    return JSONResponse(content.model_dump(), status)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse(Refusal(error=str(error.detail)).model_dump(), error.status_code, headers=error.headers)


async def _wrong_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problems = []
    for found in error.errors():
        path = ".".join(map(str, found["loc"]))
        problems.append(Mistake(path=path, message=found["msg"], text=f"{path}: {found['msg']}"))
    content = Refusal(error="\n".join(problem.text for problem in problems), problems=problems)
    return JSONResponse(content.model_dump(), 422)
