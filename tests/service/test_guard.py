"""What stands before every request, around applications that fail in their own ways."""

import asyncio
import contextlib
import gzip
import json
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.types import Message, Receive, Scope, Send

from hangtag.service.guard import Guard
from hangtag.service.responses import Responses

TEXT = b"a design " * 90


async def parses(scope: Scope, receive: Receive, send: Send) -> None:
    """Read a body as web frameworks do: whatever goes wrong meanwhile is the client's mistake."""
    status, body = 200, b""
    try:
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
    except Exception:
        status = 400
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    raise ZeroDivisionError


def asked(
    app: Any, parts: Sequence[bytes], *headers: tuple[str, str], ends: bool = True
) -> tuple[list[Message], CollectorRegistry]:
    """Send a request in parts; return the answer's messages, and the counters."""
    registry, answer = CollectorRegistry(), []
    guard = Guard(app, max_body=1000, token=None, silence=0.1)
    messages = [
        {"type": "http.request", "body": part, "more_body": not ends or n < len(parts) - 1}
        for n, part in enumerate(parts)
    ]

    async def receive() -> Message:
        if not messages:
            await asyncio.sleep(60)
        return messages.pop(0)

    async def send(message: Message) -> None:
        answer.append(message)

    sent = [(name.encode(), value.encode()) for name, value in headers]
    scope = {"type": "http", "path": "/x", "headers": sent, "method": "POST"}
    run = Responses(guard, registry=registry)(scope, receive, send)
    # In a thread of its own: in this one the browser of other tests may have a loop running.
    with ThreadPoolExecutor(1) as pool, contextlib.suppress(ZeroDivisionError):
        pool.submit(lambda: asyncio.run(run)).result()
    assert guard.held == 0
    return answer, registry


def reason(answer: list[Message]) -> tuple[int, str]:
    return answer[0]["status"], json.loads(answer[1]["body"])["reason"]


def requests(registry: CollectorRegistry, status: str) -> float | None:
    labels = {"route": "other", "status": status}
    return registry.get_sample_value("hangtag_requests_total", labels)


def test_a_body_in_parts_that_grows_too_large_is_told_so_whoever_reads_it() -> None:
    answer, registry = asked(parses, [b"x" * 900] * 2)
    assert [message.get("status") for message in answer] == [413, None]
    assert reason(answer) == (413, "body-too-large")
    assert requests(registry, "413") == 1
    answer, registry = asked(parses, [b"x" * 500] * 2)
    assert answer[0]["status"] == 200
    assert requests(registry, "200") == 1


def test_a_client_that_stops_in_the_middle_is_not_waited_for() -> None:
    answer, _ = asked(parses, [b"x"], ends=False)
    assert reason(answer) == (408, "too-slow")


def test_a_fault_of_our_own_is_counted() -> None:
    assert requests(asked(fails, [b""])[1], "500") == 1


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)  # a time would be in the test's name


RAW = zlib.compressobj(wbits=-zlib.MAX_WBITS)
RAW_DEFLATE = RAW.compress(TEXT) + RAW.flush()


@pytest.mark.parametrize("size", [1, 5, 10**6])
@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzipped(TEXT)), ("GZip", gzipped(TEXT)),
        ("x-gzip", gzipped(TEXT)), (" identity, gzip", gzipped(TEXT)),
        ("gzip", gzipped(TEXT[:70]) + gzipped(TEXT[70:]) + b"\0" * 9),
        ("deflate", zlib.compress(TEXT)), ("deflate", RAW_DEFLATE),
        ("identity", TEXT), ("", TEXT), ("gzip", b""),
    ],
)  # fmt: skip
def test_encoded_bodies_are_decoded(encoding: str, body: bytes, size: int) -> None:
    parts = [body[n : n + size] for n in range(0, len(body), size)] or [b""]
    answer, _ = asked(parses, parts, ("content-encoding", encoding))
    assert (answer[0]["status"], answer[1]["body"]) == (200, TEXT if body else b"")


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("br", TEXT, 415), ("zstd", TEXT, 415), ("gzip, gzip", TEXT, 415), ("*", TEXT, 415),
        ("gzip", TEXT, 400), ("gzip", gzipped(TEXT)[:-9], 400), ("deflate", TEXT, 400),
        ("gzip", gzipped(b"x" * 1001), 413), ("deflate", zlib.compress(b"x" * 10**7), 413),
        ("gzip", gzipped(b"x" * 600) * 2, 413),
    ],
)  # fmt: skip
def test_bodies_that_cannot_be_decoded(encoding: str, body: bytes, status: int) -> None:
    answer, _ = asked(parses, [body], ("content-encoding", encoding))
    said = "body-too-large" if status == 413 else "content-encoding"
    assert reason(answer) == (status, said)
    accepted = dict(answer[0]["headers"]).get(b"accept-encoding")
    assert accepted == (b"gzip, deflate" if status == 415 else None)


@pytest.mark.parametrize(
    ("length", "status"),
    [("5", 200), (" 5 ", 200), ("1001", 413), ("9" * 5000, 413), ("+5", 400), ("0x5", 400),
     ("5, 5", 400), ("", 400), ("-1", 400)],
)  # fmt: skip
def test_lengths(length: str, status: int) -> None:
    assert asked(parses, [b"12345"], ("content-length", length))[0][0]["status"] == status
