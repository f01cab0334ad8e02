"""What is checked before every request: the token, and the size and the encoding of its body."""

import asyncio
import base64
import binascii
import hmac
from contextlib import suppress
from typing import Final, NoReturn

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hangtag.service.bodies import ENCODINGS, Inflater, Undecodable
from hangtag.service.config import RETRY_SECONDS
from hangtag.service.responses import Refusal

# Health checks, which have no token and reveal nothing of the library. The pages are public, too:
# a person enters the token there, and only the data that they request needs it.
OPEN_PATHS: Final = frozenset({"/ping", "/healthz", "/health", "/", "/docs", "/openapi.json"})
OPEN_PREFIXES: Final = ("/page/", "/static-offline-docs/")
# All bodies that are being received or processed, as a multiple of the largest one allowed.
BODIES_AT_ONCE: Final = 6
SILENCE_SECONDS: Final = 30.0
_NO_TOKEN: Final = Refusal(
    401, "token", "send the server's token: Authorization: Bearer TOKEN",
    ((b"www-authenticate", b"Bearer"),),
)  # fmt: skip
_NO_LENGTH: Final = Refusal(400, "content-length", "Content-Length must be a number")
_ENCODING: Final = Refusal(
    415, "content-encoding",
    f"Content-Encoding must be {ENCODINGS.replace(', ', ' or ')}, and only one of them",
    ((b"accept-encoding", ENCODINGS.encode()),),
)  # fmt: skip
_BUSY: Final = Refusal(
    503, "busy", "the server is processing many large requests; try again in a moment",
    ((b"retry-after", str(RETRY_SECONDS).encode()),),
)  # fmt: skip


def is_open(path: str) -> bool:
    """Return whether a path needs no token."""
    return path in OPEN_PATHS or path.startswith(OPEN_PREFIXES)


class BodyRefused(Exception):
    """A body is refused; `_Body.refusal` says why."""


class Guard:
    """ASGI middleware; without a `token` every client is let in. `max_body`: bytes, decoded."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_body: int,
        token: str | None,
        silence: float = SILENCE_SECONDS,
    ) -> None:
        """`silence`: the most seconds for which a client may pause in the middle of a body."""
        self.app, self.max_body, self.token, self.silence = app, max_body, token, silence
        self.held = 0  # bytes of all bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if not self._authorised(scope["path"], headers):
            await _NO_TOKEN.send(send)
            return
        length = headers.get("content-length", "0").strip()
        if not (length.isascii() and length.isdecimal()):
            await _NO_LENGTH.send(send)
            return
        if len(length) > 18 or int(length) > self.max_body:
            await self.too_large.send(send)
            return
        try:
            inflater = _inflater(headers)
        except KeyError:
            await _ENCODING.send(send)
            return
        await _Body(self, inflater).pass_on(scope, receive, send)

    @property
    def too_large(self) -> Refusal:
        """The answer to a body over the limit."""
        most = f"a request may have at most {self.max_body / 1e6:g} MB"
        return Refusal(413, "body-too-large", most)

    def _authorised(self, path: str, headers: Headers) -> bool:
        if self.token is None or is_open(path):
            return True
        given = _token(headers.get("authorization", ""))
        return given is not None and hmac.compare_digest(given, self.token.encode())


def _token(authorization: str) -> bytes | None:
    """Return a bearer token, or the password of basic authentication: Label Studio has no other."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip().encode()
    if scheme.lower() == "basic":
        with suppress(binascii.Error):
            return base64.b64decode(value.strip(), validate=True).partition(b":")[2]
    return None


def _inflater(headers: Headers) -> Inflater | None:
    """Return what decodes a request's body; None for a plain one.

    Raises KeyError for an unknown encoding and for several.
    """
    names = ",".join(headers.getlist("content-encoding")).lower().split(",")
    encodings = [name for part in names if (name := part.strip()) not in ("", "identity")]
    if len(encodings) > 1:
        raise KeyError(encodings[1])
    return Inflater(encodings[0]) if encodings else None


class _Body:
    """The body of one request on its way to the application."""

    def __init__(self, guard: Guard, inflater: Inflater | None) -> None:
        self.guard, self.inflater = guard, inflater
        self.size = 0  # bytes so far, decoded
        self.refusal: Refusal | None = None
        self._complete = self._begun = False

    async def pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def received() -> Message:
            return await self._received(receive)

        async def unless_refused(message: Message) -> None:
            # An application takes the early end of a body for the client's mistake, and says so;
            # the refusal is answered instead.
            if self._begun or not self.refusal:
                self._begun = True
                await send(message)

        try:
            with suppress(BodyRefused):
                await self.guard.app(scope, received, unless_refused)
            if self.refusal and not self._begun:
                if self.refusal is _BUSY:
                    self._release()
                    await self._drain(receive)
                await self.refusal.send(send)
        finally:
            self._release()

    def _release(self) -> None:
        self.guard.held -= self.size
        self.size = 0

    async def _drain(self, receive: Receive) -> None:
        """Read and discard the rest: most clients that are still sending miss an early answer."""
        left = self.guard.max_body
        with suppress(TimeoutError):
            while left > 0 and not self._complete:
                async with asyncio.timeout(self.guard.silence):
                    message = await receive()
                left -= len(message.get("body", b""))
                self._complete = not message.get("more_body", False)

    async def _received(self, receive: Receive) -> Message:
        if self.refusal:
            raise BodyRefused
        if self._complete:  # what comes now is the end of the connection
            return await receive()
        try:
            async with asyncio.timeout(self.guard.silence):
                message = await receive()
        except TimeoutError:
            late = f"the client sent no more of the body for {self.guard.silence:g} seconds"
            self._refuse(Refusal(408, "too-slow", late))
        if message["type"] != "http.request":
            return message
        self._complete = not message.get("more_body", False)
        if self.inflater is not None:
            body = await self._inflate(self.inflater, message.get("body", b""))
            return {**message, "body": body}
        self._count(len(message.get("body", b"")))
        return message

    async def _inflate(self, inflater: Inflater, data: bytes) -> bytes:
        try:
            pieces = await inflater.pieces(data, self.guard.max_body - self.size)
            self._count(sum(map(len, pieces)))
            if self._complete:
                inflater.end()
        except Undecodable as error:
            self._refuse(Refusal(400, "content-encoding", str(error)))
        return b"".join(pieces)

    def _count(self, size: int) -> None:
        self.size += size
        self.guard.held += size
        # Once refused, always refused: others may release their bytes before this one is answered.
        if self.size > self.guard.max_body:
            self._refuse(self.guard.too_large)
        if self.guard.held > BODIES_AT_ONCE * self.guard.max_body:
            self._refuse(_BUSY)

    def _refuse(self, refusal: Refusal) -> NoReturn:
        self.refusal = refusal
        raise BodyRefused
