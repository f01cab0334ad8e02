"""What stands before every request, around an application that fails in its own ways."""

import asyncio
import contextlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.types import Message, Receive, Scope, Send

from hangtag.errors import ConfigError
from hangtag.service.config import ServeConfig
from hangtag.service.guard import Guard


async def parses(scope: Scope, receive: Receive, send: Send) -> None:
    """Read a body as web frameworks do: whatever goes wrong meanwhile is the client's mistake."""
    status = 200
    try:
        while (await receive()).get("more_body"):
            pass
    except Exception:
        status = 400
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    raise ZeroDivisionError


def asked(app: Any, *bodies: int) -> tuple[list[Message], CollectorRegistry]:
    """Send a request in parts of so many bytes; return the answer's messages, and the counters."""
    registry, answer = CollectorRegistry(), []
    guard = Guard(app, max_body=1000, token=None, local=False, registry=registry)
    parts = [
        {"type": "http.request", "body": b"x" * size, "more_body": n < len(bodies) - 1}
        for n, size in enumerate(bodies)
    ]

    async def receive() -> Message:
        return parts.pop(0)

    async def send(message: Message) -> None:
        answer.append(message)

    scope = {"type": "http", "path": "/x", "headers": [], "method": "POST"}
    # In a thread of its own: in this one the browser of other tests may have a loop running.
    with ThreadPoolExecutor(1) as pool, contextlib.suppress(ZeroDivisionError):
        pool.submit(lambda: asyncio.run(guard(scope, receive, send))).result()
    return answer, registry


def requests(registry: CollectorRegistry, status: str) -> float | None:
    labels = {"route": "other", "status": status}
    return registry.get_sample_value("hangtag_requests_total", labels)


def test_a_body_in_parts_that_grows_too_large_is_told_so_whoever_reads_it() -> None:
    answer, registry = asked(parses, 900, 900)
    assert [message.get("status") for message in answer] == [413, None]
    assert json.loads(answer[1]["body"])["reason"] == "body-too-large"
    assert requests(registry, "413") == 1
    answer, registry = asked(parses, 500, 500)
    assert answer[0]["status"] == 200
    assert requests(registry, "200") == 1


def test_a_fault_of_our_own_is_counted() -> None:
    assert requests(asked(fails, 0)[1], "500") == 1


@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
def test_limits_are_numbers(value: float) -> None:
    with pytest.raises(ConfigError, match="must be a number above 0"):
        ServeConfig(max_body_mb=value)
