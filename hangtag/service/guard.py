"""What stands before every request: size, token, host, and the counting of answers."""

import hmac
import json
import time
from contextlib import suppress
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hangtag.service.config import RETRY_SECONDS, is_loopback

# Asked by those who watch over the server, who have no token; they tell nothing of the library.
# The pages themselves are public, what they ask is not: a person types the token in there.
OPEN_PATHS: Final = frozenset({"/ping", "/healthz", "/", "/docs", "/openapi.json"})
OPEN_PREFIXES: Final = ("/page/", "/static-offline-docs/")
SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
_POLICY: Final = (
    "default-src 'self'; img-src 'self' blob: data:; style-src 'self'{0}; script-src 'self'{0}; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


# All bodies that are being received or worked on, as a multiple of the largest one allowed.
BODIES_AT_ONCE: Final = 8


class BodyRefused(Exception):
    """A body is larger than the server takes, or all together are more than it holds."""


class Guard:
    """ASGI middleware; `token` None lets everybody in, `local` only requests to this machine's own
    names, against pages elsewhere that resolve their name to it (DNS rebinding)."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_body: int,
        token: str | None,
        local: bool,
        registry: CollectorRegistry,
    ) -> None:
        self.app, self.max_body, self.token, self.local = app, max_body, token, local
        self.held = 0  # bytes of all bodies
        names = ("route", "status")
        self.requests = Counter("hangtag_requests", "Answers given.", names, registry=registry)
        self.seconds = Histogram(
            "hangtag_request_seconds", "Time to the end of the answer.", ("route",),
            registry=registry,
            buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60),
        )  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), [0]

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                status[0] = message["status"]
                # Swagger's page has its script inside; nothing of a library is shown there.
                policy = _POLICY.format(" 'unsafe-inline'" if scope["path"] == "/docs" else "")
                message["headers"] = [
                    *message["headers"],
                    *SECURITY_HEADERS,
                    (b"content-security-policy", policy.encode()),
                ]
            await send(message)

        try:
            await self._checked(scope, receive, counted)
        finally:
            # The route, not the path: paths that clients make up would each become a series. A
            # fault of our own is answered further out.
            route = getattr(scope.get("route"), "path", "other")
            self.requests.labels(route, str(status[0] or 500)).inc()
            self.seconds.labels(route).observe(time.perf_counter() - began)

    async def _checked(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if self.local and not is_loopback(_host(headers)):
            await _refuse(send, 421, "wrong-host", "this server answers to localhost only")
            return
        if not self._may(scope["path"], headers):
            await _refuse(
                send, 401, "token", "send the server's token: Authorization: Bearer TOKEN",
                (b"www-authenticate", b"Bearer"),
            )  # fmt: skip
            return
        too_large = f"a request may have {self.max_body / 1e6:g} MB at most"
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            await _refuse(send, 400, "content-length", "Content-Length must be a number")
            return
        if int(length) > self.max_body:
            await _refuse(send, 413, "body-too-large", too_large)
            return
        seen, refused, begun = 0, False, False

        async def limited() -> Message:
            nonlocal seen, refused
            message = await receive()
            seen += len(message.get("body", b""))
            self.held += len(message.get("body", b""))
            # Once and for all: others may let go of theirs before this one is answered.
            refused |= seen > self.max_body or self.held > BODIES_AT_ONCE * self.max_body
            if refused:
                raise BodyRefused
            return message

        async def unless_refused(message: Message) -> None:
            nonlocal begun
            # Whoever parses a body takes the end of it for the client's mistake, and says so.
            if begun or not refused:
                begun = True
                await send(message)

        try:
            with suppress(BodyRefused):
                await self.app(scope, limited, unless_refused)
            if not refused or begun:
                return
            if seen > self.max_body:
                await _refuse(send, 413, "body-too-large", too_large)
            else:
                await _refuse(
                    send, 503, "busy", "many large requests are under way; come again in a moment",
                    (b"retry-after", str(RETRY_SECONDS).encode()),
                )  # fmt: skip
        finally:
            self.held -= seen

    def _may(self, path: str, headers: Headers) -> bool:
        if self.token is None or path in OPEN_PATHS or path.startswith(OPEN_PREFIXES):
            return True
        kind, _, given = headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and hmac.compare_digest(
            given.strip().encode(), self.token.encode()
        )


def _host(headers: Headers) -> str:
    """Return the host's name without its port, an IPv6 address without its brackets."""
    host = headers.get("host", "")
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    return name.removeprefix("[").removesuffix("]")


async def _refuse(
    send: Send, status: int, reason: str, message: str, *headers: tuple[bytes, bytes]
) -> None:
    body = json.dumps({"reason": reason, "message": message}).encode()
    length = str(len(body)).encode()
    await send(
        {
            "type": "http.response.start",
            "status": status,
            # The rest of the body is not read; the connection cannot be used again.
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", length),
                (b"connection", b"close"),
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
