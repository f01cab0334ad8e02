"""What every response gets: security headers, and a place in the metrics."""

import json
import time
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
_POLICY: Final = (
    "default-src 'self'; img-src 'self' blob: data:; style-src 'self'{0}; script-src 'self'{0}; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


class Responses:
    """ASGI middleware, the outermost: adds security headers, counts responses and times them."""

    def __init__(self, app: ASGIApp, *, registry: CollectorRegistry) -> None:
        self.app = app
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
        began, status = time.perf_counter(), 0

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                # Swagger's page has its script inside; nothing of a library is shown there.
                policy = _POLICY.format(" 'unsafe-inline'" if scope["path"] == "/docs" else "")
                message["headers"] = [
                    *message["headers"],
                    *SECURITY_HEADERS,
                    (b"content-security-policy", policy.encode()),
                ]
            await send(message)

        try:
            await self.app(scope, receive, counted)
        finally:
            # The route, not the path: paths that clients make up would each become a series. A
            # fault of our own is answered further out.
            route = getattr(scope.get("route"), "path", "other")
            self.requests.labels(route, str(status or 500)).inc()
            self.seconds.labels(route).observe(time.perf_counter() - began)


async def refuse(
    send: Send, status: int, reason: str, message: str, *headers: tuple[bytes, bytes]
) -> None:
    """Send an error of the common form, {"reason", "message"}, and close the connection."""
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
