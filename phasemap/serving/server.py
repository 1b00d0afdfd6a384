"""The application over a storage, and its process: one uvicorn server, its logs, and what becomes of errors."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from importlib.resources import files
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from phasemap._version import __version__
from phasemap.figures.page import ASSETS
from phasemap.serving import pages
from phasemap.serving.middleware import BodyGuard, HostGuard, Recorder
from phasemap.serving.routes import health, making, metrics, reading
from phasemap.serving.schemas import Mistake, Refusal, refusal
from phasemap.serving.service import PREFIX, Service, Settings
from phasemap.serving.submissions import changing
from phasemap.study.errors import (
    BusyError,
    ConflictError,
    OtherStudyError,
    TooManyError,
    UnknownRunError,
    UnknownTrialError,
    UnreachableError,
    UserError,
)

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
    "See, follow and submit runs. If the service has tokens, send one as `Authorization: Bearer TOKEN`; reading needs "
    "the scope `read`, submitting the scope `submit`. Everything is in the storage: what the command line does there "
    "is seen here, and the other way round."
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


async def _user_error(request: Request, error: Exception) -> Response:
    status = next(code for kind, code in STATUS.items() if isinstance(error, kind))
    return _refused(request, refusal(error) if isinstance(error, UserError) else Refusal(error=str(error)), status)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _refused(request, Refusal(error=str(error.detail)), error.status_code, error.headers)


def _refused(request: Request, content: Refusal, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """Tell programs as JSON, and those who follow a link as a page."""
    person = "text/html" in request.headers.get("accept", "") and not request.url.path.startswith(PREFIX)
    answer = pages.problem_page(content.error, status) if person else JSONResponse(content.model_dump(), status)
    answer.headers.update(headers or {})
    return answer


async def _wrong_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problems = []
    for mistake in error.errors():
        path = ".".join(map(str, mistake["loc"]))
        problems.append(Mistake(path=path, message=mistake["msg"], text=f"{path}: {mistake['msg']}"))
    content = Refusal(error="\n".join(problem.text for problem in problems), problems=problems)
    return JSONResponse(content.model_dump(), 422)


HEAD_SECONDS, HEAD_BYTES = 10.0, 64_000  # of a request's first line and headers
MOST_CONNECTIONS = 1000
STOP_SECONDS = 5  # for requests under way
SWITCH_SECONDS = 0.0005  # between threads: a request needs some, and 5 ms each is long while tables are made


class PatientProtocol(HttpToolsProtocol):
    """HTTP with a limit to the time and bytes that a request's head may take, and to the number of connections."""

    _late: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request, but not for ever."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        self._head_is_there()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in bytes; a head that is too long ends the connection."""
        if self._late is not None:
            if self._head_bytes > HEAD_BYTES:
                self.transport.abort()
                return
            self._head_bytes += len(data)
        super().data_received(data)

    def on_message_begin(self) -> None:
        """Start to wait for a further request's head."""
        super().on_message_begin()
        if self._late is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        """Stop the clock."""
        self._head_is_there()
        super().on_headers_complete()

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._late = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _head_is_there(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        self._late = None
        self.transport.abort()


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; UserError and UnreachableError before anything is started."""
    settings.check()
    os.umask(0o077)
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        settings.root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnreachableError(f"the storage {settings.root} can't be made: {error.strerror}") from None
    with ExitStack() as stack:
        listener = stack.enter_context(_listen(settings.host, settings.port))
        app = create_app(settings)
        app.state.service.supervisor.take()
        _log_to_stderr()
        signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it again once it has stopped
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config_of(app)).run(sockets=[listener])


def config_of(app: FastAPI) -> uvicorn.Config:
    """Return how uvicorn is to run the service."""
    return uvicorn.Config(
        app,
        http=PatientProtocol,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=STOP_SECONDS,
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise UnreachableError(f"can't listen on {host}:{port}: {error.strerror or error}") from None


class _Lines(JsonFormatter):
    """One JSON document a line."""

    def __init__(self) -> None:
        super().__init__(
            ["levelname", "name", "message"],
            rename_fields={"levelname": "level", "name": "logger"},
            reserved_attrs=[*RESERVED_ATTRS, "color_message"],
            timestamp="at",
        )


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    for name in ("phasemap.serving", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)
