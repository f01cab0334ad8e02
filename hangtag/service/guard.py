"""What stands before every request: the token, and the size and the encoding of its body."""

import asyncio
import hmac
from contextlib import suppress
from typing import Final, NoReturn

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hangtag.service.bodies import ENCODINGS, Inflater, Undecodable
from hangtag.service.config import RETRY_SECONDS
from hangtag.service.responses import refuse

# Asked by those who watch over the server, who have no token; they tell nothing of the library.
# The pages themselves are public, what they ask is not: a person types the token in there.
OPEN_PATHS: Final = frozenset({"/ping", "/healthz", "/", "/docs", "/openapi.json"})
OPEN_PREFIXES: Final = ("/page/", "/static-offline-docs/")
# All bodies that are being received or worked on, as a multiple of the largest one allowed.
BODIES_AT_ONCE: Final = 6
SILENCE_SECONDS: Final = 30.0
_ACCEPT: Final = (b"accept-encoding", ENCODINGS.encode())


def is_open(path: str) -> bool:
    """Tell whether a path is for everybody, with or without the token."""
    return path in OPEN_PATHS or path.startswith(OPEN_PREFIXES)


class BodyRefused(Exception):
    """A body cannot be taken; `_Body.refusal` says why."""


class Guard:
    """ASGI middleware; `token` None lets everybody in. `max_body` in bytes, decoded."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_body: int,
        token: str | None,
        silence: float = SILENCE_SECONDS,
    ) -> None:
        """`silence`: the most seconds for which a client may stop in the middle of a body."""
        self.app, self.max_body, self.token, self.silence = app, max_body, token, silence
        self.held = 0  # bytes of all bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if not self._may(scope["path"], headers):
            await refuse(
                send, 401, "token", "send the server's token: Authorization: Bearer TOKEN",
                (b"www-authenticate", b"Bearer"),
            )  # fmt: skip
            return
        length = headers.get("content-length", "0").strip()
        if not (length.isascii() and length.isdecimal()):
            await refuse(send, 400, "content-length", "Content-Length must be a number")
            return
        if len(length) > 18 or int(length) > self.max_body:
            await refuse(send, 413, "body-too-large", self.too_large)
            return
        encodings = [
            name
            for part in ",".join(headers.getlist("content-encoding")).split(",")
            if (name := part.strip().lower()) not in ("", "identity")
        ]
        try:
            inflater = Inflater(encodings[0]) if encodings else None
        except KeyError:
            inflater = None
        if len(encodings) > 1 or (encodings and inflater is None):
            await refuse(
                send, 415, "content-encoding",
                f"Content-Encoding may be {ENCODINGS.replace(', ', ' or ')}, and one of them only",
                _ACCEPT,
            )  # fmt: skip
            return
        await _Body(self, inflater).pass_on(scope, receive, send)

    @property
    def too_large(self) -> str:
        """The message for a body over the limit."""
        return f"a request may have {self.max_body / 1e6:g} MB at most"

    def _may(self, path: str, headers: Headers) -> bool:
        if self.token is None or is_open(path):
            return True
        kind, _, given = headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and hmac.compare_digest(
            given.strip().encode(), self.token.encode()
        )


class _Body:
    """The body of one request on its way to the application."""

    def __init__(self, guard: Guard, inflater: Inflater | None) -> None:
        self.guard, self.inflater = guard, inflater
        self.seen = 0  # bytes, decoded
        self.refusal: tuple[int, str, str] | None = None
        self._complete = self._begun = False

    async def pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def received() -> Message:
            return await self._received(receive)

        async def unless_refused(message: Message) -> None:
            # Whoever parses a body takes the end of it for the client's mistake, and says so.
            if self._begun or not self.refusal:
                self._begun = True
                await send(message)

        try:
            with suppress(BodyRefused):
                await self.guard.app(scope, received, unless_refused)
            if self.refusal and not self._begun:
                if self.refusal[0] == 503:
                    self._forget()
                    await self._drain(receive)
                again = (b"retry-after", str(RETRY_SECONDS).encode())
                await refuse(send, *self.refusal, *((again,) if self.refusal[0] == 503 else ()))
        finally:
            self._forget()

    def _forget(self) -> None:
        self.guard.held -= self.seen
        self.seen = 0

    async def _drain(self, receive: Receive) -> None:
        """Read on and forget: most clients that are still sending never see an early answer."""
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
            seconds = f"{self.guard.silence:g} seconds"
            self._refuse(408, "too-slow", f"no more of the body came for {seconds}")
        if message["type"] != "http.request":
            return message
        self._complete = not message.get("more_body", False)
        if self.inflater is not None:
            message = {**message, "body": await self._inflate(message.get("body", b""))}
        else:
            self._count(len(message.get("body", b"")))
        return message

    async def _inflate(self, data: bytes) -> bytes:
        assert self.inflater is not None
        try:
            pieces = await self.inflater.pieces(data, self.guard.max_body - self.seen)
            self._count(sum(map(len, pieces)))
            if self._complete:
                self.inflater.end()
        except Undecodable as error:
            self._refuse(400, "content-encoding", str(error))
        return b"".join(pieces)

    def _count(self, size: int) -> None:
        self.seen += size
        self.guard.held += size
        # Once and for all: others may let go of theirs before this one is answered.
        if self.seen > self.guard.max_body:
            self._refuse(413, "body-too-large", self.guard.too_large)
        if self.guard.held > BODIES_AT_ONCE * self.guard.max_body:
            many = "many large requests are under way; come again in a moment"
            self._refuse(503, "busy", many)

    def _refuse(self, status: int, reason: str, message: str) -> NoReturn:
        self.refusal = (status, reason, message)
        raise BodyRefused
