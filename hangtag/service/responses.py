"""What every response has: security headers, a count and a time in the metrics; and refusals."""

import json
import time
from dataclasses import dataclass
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
    """ASGI middleware, the outermost: adds security headers, counts and times responses."""

    def __init__(self, app: ASGIApp, *, registry: CollectorRegistry) -> None:
        self.app = app
        names = ("route", "status")
        self.requests = Counter("hangtag_requests", "Responses sent.", names, registry=registry)
        self.seconds = Histogram(
            "hangtag_request_seconds", "Time to the end of the response.", ("route",),
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
                # Swagger's page has an inline script; it shows nothing of a library.
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
            # The route, not the path: every path that a client invents would become a series.
            # An unhandled exception is answered further out, with 500.
            route = getattr(scope.get("route"), "path", "other")
            self.requests.labels(route, str(status or 500)).inc()
            self.seconds.labels(route).observe(time.perf_counter() - began)


@dataclass(frozen=True)
class Refusal:
    """Why a middleware refuses a request, before it reaches the application."""

    status: int
    reason: str
    message: str
    headers: tuple[tuple[bytes, bytes], ...] = ()

    async def send(self, send: Send) -> None:
        """Send the error in its common form, {"reason", "message"}, and close the connection."""
        body = json.dumps({"reason": self.reason, "message": self.message}).encode()
        start = {
            "type": "http.response.start",
            "status": self.status,
            # The rest of the request's body is not read, so the connection cannot be reused.
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                (b"connection", b"close"),
                *self.headers,
            ],
        }
        await send(start)
        await send({"type": "http.response.body", "body": body})
