"""A real server in a process of its own, on a free port of this machine."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.commands import Command

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@dataclass
class Server:
    process: Command
    url: str

    @property
    def said(self) -> str:
        """What it has written to standard error."""
        return self.process.err.read_text()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=40)


def start(
    model: Path, *options: object, token: str | None = None, command: str = "serve"
) -> Server:
    """Start `hangtag serve` and wait until it says where it listens."""
    environment = {**os.environ, **({"HANGTAG_TOKEN": token} if token else {})}
    process = Command(command, model, *options, "--port", "0", environment=environment)
    while not (found := re.search(r"at (http://\S+)\s", process.err.read_text())):
        if process.poll() is not None:
            raise AssertionError(process.err.read_text())
        time.sleep(0.01)
    return Server(process, found[1])


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start servers that end with the test."""
    servers: list[Server] = []

    def begin(
        model: Path, *options: object, token: str | None = None, command: str = "serve"
    ) -> Server:
        servers.append(start(model, *options, token=token, command=command))
        return servers[-1]

    yield begin
    for server in servers:
        server.stop(signal.SIGKILL)


@pytest.fixture(scope="session")
def server(work: Path) -> Iterator[Server]:
    """One server for all tests that leave it as it is."""
    started = start(work / "model")
    yield started
    assert started.stop() == 0
    assert "Traceback" not in started.said


CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """Debian's Chromium; tests that need it are skipped where it is not installed."""
    if not CHROMIUM.exists():
        pytest.skip("needs Chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright  # an extra, which quick tests do without

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()
