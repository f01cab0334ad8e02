"""Which host names a request may use, and which web pages may send one.

Any page in the browser can send requests to this machine; it cannot read the responses, but the
server acts on them. The browser declares the origin of a request: in Sec-Fetch-Site
(https://www.w3.org/TR/fetch-metadata/), which no page can change, or, before 2023 and without TLS,
in Origin (RFC 6454) alone. Go's net/http.CrossOriginProtection decides the same way.
"""

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from hangtag.service.config import PORTS, is_loopback
from hangtag.service.guard import is_open
from hangtag.service.responses import Refusal

_OWN_SITES: Final = ("same-origin", "none")  # none: typed in or bookmarked
_WRONG_HOST: Final = Refusal(421, "wrong-host", "this server answers only requests to localhost")
_CROSS_ORIGIN: Final = Refusal(
    403, "cross-origin",
    "web pages of other origins may not use this server; --allow-origin permits one",
)  # fmt: skip


class Origins:
    """ASGI middleware: refuses requests from web pages of origins that are not `allowed`.

    Every page may link to what needs no token: the page itself and the health checks. `local`
    refuses requests to host names other than this machine's own and those of `allowed`, against
    web pages whose name resolves to this machine (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, *, local: bool, allowed: Sequence[str] = ()) -> None:
        self.local, self.allowed = local, frozenset(allowed)
        self.names = frozenset(urlsplit(origin).hostname for origin in allowed)
        self.app = app
        if allowed:
            self.app = CORSMiddleware(
                app,
                allow_origins=sorted(self.allowed),
                allow_methods=("GET", "HEAD", "POST"),
                allow_headers=("Authorization", "Content-Type", "Content-Encoding"),
                expose_headers=("Retry-After",),
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if self.local and not self._is_local(scope, headers):
            await _WRONG_HOST.send(send)
        elif not (self._reads_open_path(scope) or self._is_allowed(headers)):
            await _CROSS_ORIGIN.send(send)
        else:
            await self.app(scope, receive, send)

    def _is_local(self, scope: Scope, headers: Headers) -> bool:
        hosts = headers.getlist("host")
        if not hosts:  # a health check over HTTP/1.0; browsers always send Host
            return str(scope.get("http_version")) == "1.0"
        name = host_name(hosts[0])
        return len(hosts) == 1 and (is_loopback(name) or name in self.names)

    @staticmethod
    def _reads_open_path(scope: Scope) -> bool:
        return scope["method"] in ("GET", "HEAD") and is_open(scope["path"])

    def _is_allowed(self, headers: Headers) -> bool:
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin in self.allowed:
            return True
        if site is not None:
            return site in _OWN_SITES
        if origin is None:
            return True  # not a browser
        # Pages cannot send X-Forwarded-Host: it needs a preflight, which is refused.
        hosts = (headers.get("host"), headers.get("x-forwarded-host", "").partition(",")[0])
        return any(host and _same_origin(origin, host.strip()) for host in hosts)


def host_name(host: str) -> str:
    """Return the name or the address in a Host header, lower case, without port and brackets."""
    try:
        parts = urlsplit(f"//{host.strip()}")
    except ValueError:  # brackets around something other than an IPv6 address
        return ""
    plain = parts.netloc == host.strip() and "@" not in host
    return (parts.hostname or "").removesuffix(".") if plain else ""


def _same_origin(origin: str, host: str) -> bool:
    """Return whether an origin is that of a host, also behind a proxy that ends TLS."""
    try:
        ours, theirs = urlsplit(f"//{host}"), urlsplit(origin)
        default = PORTS.get(theirs.scheme)
        same_port = (theirs.port or default) == (ours.port or default)
    except ValueError:
        return False
    return default is not None and same_port and theirs.hostname == ours.hostname
