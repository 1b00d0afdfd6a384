"""What routes take from a request: who asks, parameters, refusals, and answers that a client may have already."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Annotated, Any, NoReturn
from urllib.parse import urlsplit

from fastapi import Depends, HTTPException, Path, Query, Request, Response, Security
from fastapi.security import APIKeyCookie, HTTPBearer

from phasemap.serving.schemas import Refusal
from phasemap.serving.service import MOST_ROWS, Service
from phasemap.serving.tokens import LOCAL, READ, SUBMIT, Caller

COOKIE = "phasemap_session"
CSRF_HEADER = "x-csrf-token"

bearer_scheme = HTTPBearer(auto_error=False, description="A token from the service's token file")
cookie_scheme = APIKeyCookie(name=COOKIE, auto_error=False, description="The session of a page")


def service_of(request: Request) -> Service:
    """Return the service that a request came to."""
    service: Service = request.app.state.service
    return service


def client_of(request: Request) -> str:
    """Return a client's address."""
    return request.client.host if request.client else "?"


def caller_of(request: Request) -> Caller | None:
    """Return who asks; None for a wrong, expired or missing token."""
    tokens = service_of(request).settings.tokens
    if tokens is None:
        return LOCAL
    given = request.headers.get("authorization")
    if given is not None:
        scheme, _, token = given.partition(" ")
        return tokens.bearer(token.strip()) if scheme.lower() == "bearer" else None
    cookie = request.cookies.get(COOKIE)
    return tokens.session(cookie) if cookie else None


def _permitted(request: Request, kind: str, scope: str) -> Caller:
    service, caller = service_of(request), caller_of(request)
    who = caller.name if caller and service.settings.tokens else client_of(request)
    if not service.pace.allows(kind, who):
        refuse(request, 429, "too many requests; try again in a minute", reason="pace")
    if caller is None:
        refuse(request, 401, "a valid token is needed: Authorization: Bearer TOKEN", reason="token")
    request.state.caller = caller
    if scope not in caller.scopes:
        refuse(request, 403, f"the token of {caller.name} has no scope {scope}", reason="scope")
    return caller


def refuse(request: Request, status: int, message: str, *, reason: str) -> NoReturn:
    """Raise the refusal of a request, and count it."""
    service_of(request).metrics.refused.labels(reason).inc()
    headers = {401: {"www-authenticate": "Bearer"}, 429: {"retry-after": "60"}}.get(status)
    raise HTTPException(status, message, headers=headers)


async def reader(request: Request) -> Caller:
    """Let in who may read."""
    return _permitted(request, "read", READ)


async def heavy_reader(request: Request) -> Caller:
    """Let in who may read, to something that takes long to make."""
    return _permitted(request, "heavy", READ)


async def submitter(request: Request) -> Caller:
    """Let in who may change something, from a program or from a page of this service."""
    caller = _permitted(request, "change", SUBMIT)
    check_origin(request)
    sent = request.headers.get(CSRF_HEADER, "").encode()
    if caller.by_cookie and not hmac.compare_digest(sent, caller.csrf.encode()):
        refuse(request, 403, "the page's own token is missing or wrong; reload the page", reason="csrf")
    return caller


def check_origin(request: Request) -> None:
    """Refuse what another site's page sends; programs send no origin."""
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if foreign or site not in (None, "same-origin", "none"):
        refuse(request, 403, "the request came from a page of another site", reason="csrf")


async def _service(request: Request) -> Service:
    return service_of(request)


Serving = Annotated[Service, Depends(_service)]
Submitter = Annotated[Caller, Depends(submitter)]
READ_CHECKS = [Security(bearer_scheme), Security(cookie_scheme), Depends(reader)]
HEAVY_CHECKS = [Security(bearer_scheme), Security(cookie_scheme), Depends(heavy_reader)]
CHANGE_CHECKS = [Security(bearer_scheme), Security(cookie_scheme)]


Name = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="A run's name")]
TrialId = Annotated[str, Path(pattern=r"^[0-9a-f]{6,64}$", description="A trial's id")]
Offset = Annotated[int, Query(ge=0, le=10**9)]
Limit = Annotated[int, Query(ge=1, le=MOST_ROWS)]

TYPES = {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf", "json": "application/json"}

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refusal, "description": text}
    for status, text in {
        400: "not a request to this service",
        401: "no valid token",
        403: "not allowed with this token, or from this page",
        404: "no such run or trial",
        422: "not allowed; the answer says what is",
        429: "too many requests",
        503: "not possible now",
    }.items()
}


def body_of(kind: str, description: str) -> dict[int | str, dict[str, Any]]:
    """Describe an answer of a media type."""
    return {200: {"content": {kind: {}}, "description": description}, 304: {"description": "it has not changed"}}


def sent_unless_known(
    request: Request, service: Service, key: tuple[Any, ...], kind: str, make: Callable[[], bytes]
) -> Response:
    """Send what was made for a state, or that the client has it already."""
    tag = f'"{key[0]}"'
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers={"etag": tag})
    return Response(service.cache.get(key, make), media_type=kind, headers={"etag": tag})
