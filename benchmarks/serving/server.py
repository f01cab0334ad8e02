"""Servers for the benchmarks in this folder: started, waited for, and always ended."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

START_SECONDS = 120
STOP_SECONDS = 40


@contextmanager
def started(
    command: list[str], stop_seconds: float = STOP_SECONDS
) -> Iterator[subprocess.Popen[str]]:
    """Start a command; after the block, end it with all processes that it started, because LitServe
    may wait for its own processes forever when it is asked to stop."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    reader = threading.Thread(target=_keep, args=(process,), daemon=True)
    reader.start()  # a full pipe would stop the process
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(stop_seconds)
        with suppress(ProcessLookupError):  # nothing is left of it
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


@contextmanager
def running(model: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Give the process and the address of `hangtag serve MODEL` on a free port."""
    port = free_port()
    command = [sys.executable, "-m", "hangtag", "serve", str(model), "--port", str(port), *options]
    with started(command) as process:
        wait_for(process, port, "/ping")
        yield process, f"http://127.0.0.1:{port}"


def wait_for(process: subprocess.Popen[str], port: int, path: str) -> float:
    """Wait until a server answers; return the seconds that it took. Ends the benchmark if never."""
    began = time.monotonic()
    while time.monotonic() - began < START_SECONDS and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=1).read()
            return time.monotonic() - began
        except OSError:
            time.sleep(0.02)
    sys.exit(f"nothing answers on port {port}:\n{''.join(said.get(process.pid, ()))}")


def free_port() -> int:
    """Return a port of this machine that nobody uses at the moment."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


said: dict[int, list[str]] = {}  # what processes wrote to standard error


def _keep(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    with process.stderr:
        said.setdefault(process.pid, []).extend(process.stderr)
