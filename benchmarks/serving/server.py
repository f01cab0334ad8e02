"""A server for the benchmarks beside this file: started, waited for, and ended whatever happens."""

import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 120
STOP_SECONDS = 40


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """End a process after the block: politely, then, once its time is over, for good."""
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def running(model: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Give the process and the address of `hangtag serve MODEL` on a free port."""
    command = [sys.executable, "-m", "hangtag", "serve", str(model), "--port", "0", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    with ended(process):
        yield process, _address(process)


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if not select.select([process.stderr], [], [], 1)[0]:
            continue
        line = process.stderr.readline()
        if found := re.search(r"http://\S+", line):
            return found[0]
        if not line:
            break
    sys.exit(f"the server did not start within {START_SECONDS} s")
