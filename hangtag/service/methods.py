"""HEAD, OPTIONS and Allow for every route.

RFC 9110, sections 9.3.2 (HEAD), 9.3.7 (OPTIONS) and 10.2.1 (Allow).
"""

from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Methods:
    """ASGI middleware: answers HEAD like GET without the body, and OPTIONS from the routes."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        method, allowed = scope["method"], b""
        if method == "OPTIONS" and (allowed := _allowed(scope)):
            start = {"type": "http.response.start", "status": 204, "headers": [(b"allow", allowed)]}
            await send(start)
            await send({"type": "http.response.body"})
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 405:
                others = [pair for pair in message["headers"] if pair[0].lower() != b"allow"]
                message["headers"] = [*others, (b"allow", _allowed(scope))]
            elif message["type"] == "http.response.body" and method == "HEAD":
                message = {**message, "body": b""}
            await send(message)

        # A copy: the server must still see HEAD, and a mount changes the path.
        inner = {**scope, "method": "GET" if method == "HEAD" else method}
        try:
            await self.app(inner, receive, sent)
        finally:
            if "route" in inner:  # for the metrics
                scope["route"] = inner["route"]


def _allowed(scope: Scope) -> bytes:
    """Return the value of Allow for a request's path; empty where there is no such path."""
    found: set[str] = set()
    for route in scope["app"].routes:
        if route.matches(dict(scope))[0] is not Match.NONE:
            found |= getattr(route, "methods", None) or {"GET"}  # a mount serves files
    if not found:
        return b""
    return ", ".join(sorted({*found, "OPTIONS", *(("HEAD",) if "GET" in found else ())})).encode()
