"""What every request passes before it is looked at: its host, size and pace; and what every answer carries."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from phasemap.serving.service import BODY_BYTES, BODY_SECONDS, PREFIX, Metrics, loopback

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
DATA_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
"""Of everything that is no page: a picture or table that is opened by itself runs nothing."""

HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}

logger = logging.getLogger("phasemap.serving.requests")


class TooLargeError(Exception):
    """A body is larger than allowed."""


async def answer(send: Send, status: int, message: str) -> None:
    """Send a refusal as every other error is sent."""
    body = json.dumps({"error": message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status in (408, 413):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@dataclass
class Recorder:
    """Logs and counts each request, and gives each answer its security headers."""

    app: ASGIApp
    metrics: Metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _secure(MutableHeaders(scope=message))
            await send(message)

        self.metrics.open.inc()
        try:
            await self.app(scope, receive, tell)
        finally:
            self.metrics.open.dec()
            seconds = time.perf_counter() - started
            self.metrics.request(_route(scope), scope["method"], status, seconds)
            caller = scope.get("state", {}).get("caller")
            logger.info(
                "request",
                extra={
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": status,
                    "ms": round(1000 * seconds, 1),
                    "client": (scope.get("client") or ("?",))[0],
                    "who": getattr(caller, "name", None),
                },
            )


def _route(scope: Scope) -> str:
    """Name a request's route, of which there are few; FastAPI leaves out the prefix of an included router."""
    path = getattr(scope.get("route"), "path", None) or "other"
    return PREFIX + path if scope["path"].startswith(PREFIX) and not path.startswith((PREFIX, "other")) else path


def _secure(headers: MutableHeaders) -> None:
    page = headers.get("content-type", "").startswith("text/html")
    headers.setdefault("content-security-policy", PAGE_POLICY if page else DATA_POLICY)
    headers.setdefault("cache-control", "no-store" if page else "private, no-cache")
    for name, value in HEADERS.items():
        headers.setdefault(name, value)


@dataclass
class HostGuard:
    """Without tokens, only requests to a name of this machine: else a web site could point its own name here."""

    app: ASGIApp
    hosts: Sequence[str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http":
            name = _without_port(Headers(scope=scope).get("host", ""))
            if not (loopback(name) or name in self.hosts):
                await answer(send, 400, "without tokens the service answers to localhost only; needed: --token-file")
                return
        await self.app(scope, receive, send)


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0].strip("[]")
    return host.partition(":")[0].lower()


@dataclass
class BodyGuard:
    """Reads a request's body before anything is done: no more than BODY_BYTES, in no more than BODY_SECONDS."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its whole body, or refuse it."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self.app(scope, receive, send)
            return
        try:
            declared = Headers(scope=scope).get("content-length", "0")
            if not declared.isdecimal() or len(declared) > 12 or int(declared) > BODY_BYTES:
                raise TooLargeError
            async with asyncio.timeout(BODY_SECONDS):
                body = await _read(receive)
        except TooLargeError:
            await answer(send, 413, f"the request is larger than {BODY_BYTES} bytes")
            return
        except TimeoutError:
            await answer(send, 408, f"the request took longer than {BODY_SECONDS:g} s to arrive")
            return
        if body is None:
            return
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, replay, send)


async def _read(receive: Receive) -> bytes | None:
    """Return a whole body; None where the client went away."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > BODY_BYTES:
            raise TooLargeError
        if not message.get("more_body", False):
            return b"".join(parts)
