"""Several processes that serve one model on one port."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest

from hangtag.errors import ModelError
from hangtag.library.catalog import Catalog
from hangtag.service.config import ServeConfig
from hangtag.service.serve import serve as run
from tests.service.conftest import Server

PNG = {"Content-Type": "image/png"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP and no SIGKILL"),
]


def counted(url: str) -> float:
    lines = httpx.get(f"{url}/metrics", timeout=60).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("hangtag_images_total"))


def serving(pid: int) -> list[int]:
    """Return the processes that answer, by their memory: a model and its libraries."""
    return [
        child.pid for child in psutil.Process(pid).children() if child.memory_info().rss > 100e6
    ]


def test_several_processes_answer_count_together_and_are_replaced(
    serve: Callable, work: Path, library: Catalog, tmp_path: Path
) -> None:
    image = Path(library.location(library.designs[0])).read_bytes()
    model = shutil.copytree(work / "model", tmp_path / "m")
    server = serve(model, "--processes", 2)

    def tags() -> list[dict]:
        answer = httpx.post(f"{server.url}/tag?all=true", content=image, headers=PNG, timeout=60)
        return answer.raise_for_status().json()["images"][0]["tags"]

    first = tags()
    assert all(tags() == first for _ in range(19))
    assert counted(server.url) == 20

    before = serving(server.process.pid)
    assert len(before) == 2
    os.kill(before[0], signal.SIGKILL)
    until = time.monotonic() + 60
    while len(now := set(serving(server.process.pid)) - {before[0]}) < 2:
        assert time.monotonic() < until
        time.sleep(0.2)
    assert before[1] in now
    assert tags() == first

    (model / "config.json").rename(model / "kept.json")
    server.process.send_signal(signal.SIGHUP)
    wait_for(server, "still serving the old model")
    assert tags() == first
    (model / "kept.json").rename(model / "config.json")
    server.process.send_signal(signal.SIGHUP)
    wait_for(server, f"reloaded {model}")
    assert not set(serving(server.process.pid)) & now
    assert tags() == first

    assert server.stop() == 0
    assert "Traceback" not in server.said


def wait_for(server: Server, text: str) -> None:
    until = time.monotonic() + 90
    while text not in server.said:
        assert time.monotonic() < until, server.said
        time.sleep(0.1)


def test_a_model_that_cannot_be_opened_is_said_before_a_process_starts(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not a model folder"):
        run(tmp_path, ServeConfig(port=0, processes=2))
