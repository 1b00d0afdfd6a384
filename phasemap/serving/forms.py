"""What routes share: parameters, the refusals they may give, and answers that a client may have already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Path, Query, Request, Response

from phasemap.serving.answers import Refusal
from phasemap.serving.service import Service
from phasemap.serving.settings import MOST_ROWS

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
        422: "not allowed; says what is",
        429: "too many requests",
        503: "not now",
    }.items()
}
CONFLICT: dict[int | str, dict[str, Any]] = {409: {"model": Refusal, "description": "contradicts what the run is"}}


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
