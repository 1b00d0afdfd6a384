"""The pages: shells that the scripts fill from the API, login and logout."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

import anyio
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse

from phasemap._version import __version__
from phasemap.figures.page import PAGE_SCRIPTS, render
from phasemap.serving.params import COOKIE, caller_of, check_origin, client_of, refuse, service_of
from phasemap.serving.tokens import SESSION_SECONDS, SUBMIT
from phasemap.study.templates import template

HERE = Path(__file__).parent
ASSETS = HERE / "assets"
TEMPLATES = HERE / "templates"

router = APIRouter()


def _page(request: Request, name: str, **values: Any) -> Response:
    """Show a page to who may read; others are asked for their token first."""
    caller = caller_of(request)
    service = service_of(request)
    if not service.pace.allows("read", client_of(request)):
        refuse(request, 429, "too many requests; try again in a minute", reason="pace")
    if caller is None:
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?next={quote(here, safe='')}", 303)
    request.state.caller = caller
    return _render(
        name, caller=caller, may_submit=SUBMIT in caller.scopes, open=service.settings.tokens is None, **values
    )


def problem_page(message: str, status: int) -> HTMLResponse:
    """Tell a person what a page's request came to."""
    page = _render("problem.html", problem=message)
    page.status_code = status
    return page


def _render(name: str, **values: Any) -> HTMLResponse:
    return HTMLResponse(render(TEMPLATES / name, version=__version__, **values))


@router.get("/")
async def show_runs(request: Request) -> Response:
    """Show the list of runs."""
    return _page(request, "runs.html")


@router.get("/runs/{name}")
async def show_run(name: str, request: Request) -> Response:
    """Show one run; UnknownRunError, for those who may read, where there is none."""
    page = _page(request, "run.html", run=name, report_scripts=PAGE_SCRIPTS)
    if page.status_code == 200:
        await anyio.to_thread.run_sync(service_of(request).summaries.state, name)
    return page


@router.get("/compare")
async def show_comparison(request: Request) -> Response:
    """Show two runs beside each other."""
    return _page(request, "compare.html")


@router.get("/submit")
async def show_form(request: Request) -> Response:
    """Show the form for a new study."""
    return _page(request, "submit.html", study=template("my_study"))


@router.get("/docs")
async def show_docs(request: Request) -> Response:
    """Show the API's description."""
    return _page(request, "docs.html")


@router.get("/openapi.json")
async def show_openapi(request: Request) -> JSONResponse:
    """Return the API's description for programs."""
    return JSONResponse(request.app.openapi())


@router.get("/login")
async def show_login(request: Request) -> Response:
    """Ask for a token."""
    if service_of(request).settings.tokens is None:
        return RedirectResponse("/", 303)
    return _render("login.html", next=_local(request.query_params.get("next", "/")), problem="")


@router.post("/login")
async def log_in(request: Request) -> Response:
    """Start a session for who sends a valid token."""
    service, client = service_of(request), client_of(request)
    check_origin(request)
    tokens = service.settings.tokens
    if tokens is None:
        return RedirectResponse("/", 303)
    if not service.pace.allows("login", client):
        refuse(request, 429, "too many logins; try again in a minute", reason="pace")
    form = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=10)
    caller = tokens.bearer(form.get("token", [""])[0].strip())
    there = _local(form.get("next", ["/"])[0])
    service.audit("login", caller, client, outcome="in" if caller else "refused")
    if caller is None:
        service.metrics.refused.labels("login").inc()
        page = _render("login.html", next=there, problem="This token is unknown here or has expired.")
        page.status_code = 401
        return page
    answer = RedirectResponse(there, 303)
    answer.set_cookie(
        COOKIE,
        tokens.start_session(caller),
        max_age=SESSION_SECONDS,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


@router.post("/logout")
async def log_out(request: Request) -> Response:
    """End the session of this browser."""
    check_origin(request)
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


def _local(path: str) -> str:
    """Return a path of this service, and the list of runs for anything else."""
    plain = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and "\\" not in path
    return path if plain else "/"
