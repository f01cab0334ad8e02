"""A real server in a process of its own, on a free port of this machine."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@dataclass
class Server:
    process: subprocess.Popen[str]
    url: str
    said: list[str]
    reader: threading.Thread

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(timeout=40)
        self.reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code


def start(
    model: Path, *options: object, token: str | None = None, command: str = "serve"
) -> Server:
    """Start `hangtag serve` and wait until it says where it listens."""
    arguments = [sys.executable, "-m", "hangtag", command, str(model)]
    environment = {**os.environ, **({"HANGTAG_TOKEN": token} if token else {})}
    process = subprocess.Popen(
        [*arguments, *map(str, options), "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    said: list[str] = []
    assert process.stderr is not None
    for line in process.stderr:
        said.append(line)
        if found := re.search(r"at (http://\S+)", line):
            break
    else:
        raise AssertionError("".join(said))
    # Read on, or a full pipe would stop the server.
    reader = threading.Thread(target=said.extend, args=(process.stderr,), daemon=True)
    reader.start()
    return Server(process, found[1], said, reader)


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
    assert "Traceback" not in "".join(started.said)


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
