"""What comes before a request is one, over sockets of our own."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from hangtag.service.protocol import MAX_HEAD, Protocol


class Impatient(Protocol):
    head_seconds = 0.3


async def answers(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(0.5)  # longer than a head may take
    await PlainTextResponse("answer")(scope, receive, send)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    config = uvicorn.Config(answers, port=0, http=Impatient, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    while not server.started:
        thread.join(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(20)


def send(port: int, *parts: bytes) -> bytes:
    """Send parts and return all that comes until the server closes the connection."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        try:
            for part in parts:
                connection.sendall(part)
            while data := connection.recv(65536):
                received += data
        except ConnectionError:  # closed while more was sent
            return received
    return received


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nX:"])
def test_a_client_that_says_nothing_is_not_waited_for(port: int, begun: bytes) -> None:
    head, _, body = send(port, begun).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert json.loads(body)["reason"] == "too-slow"


def test_requests_that_take_long_to_answer_are_waited_for(port: int) -> None:
    request = b"GET / HTTP/1.1\r\nHost: a\r\n%s\r\n"
    received = send(port, request % b"", request % b"Connection: close\r\n")
    assert received.count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize("begun", [b"GET / HTTP/1.1\r\nX: ", b"GET /", b"GET / HTTP/1.1\r\n"])
def test_a_head_has_an_end(port: int, begun: bytes) -> None:
    pieces = b"x: 1\r\n" if begun.endswith(b"\n") else b"aaaaaa"
    received = send(port, begun, *[pieces * 10_000] * 100)
    assert received == b"" or b" 431 " in received  # it was closed while more was sent
    assert len(pieces) * 10_000 < MAX_HEAD < 100 * len(pieces) * 10_000


@pytest.mark.parametrize(
    "sent",
    [b"hello\r\n\r\n", b"MADE-UP / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
     b"POST / HTTP/1.1\r\nContent-Length: 5, 6\r\n\r\n",
     b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"],
)  # fmt: skip
def test_what_is_no_http_is_answered_in_json_too(port: int, sent: bytes) -> None:
    head, _, body = send(port, sent).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request")
    assert json.loads(body)["reason"] == "http"
