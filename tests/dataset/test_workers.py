"""Worker processes: a design that harms its own is rejected alone."""

import os
import signal
import time
from multiprocessing import forkserver
from pathlib import Path

import pytest
from pebble.pool.process import WorkerManager

from hangtag.dataset.images import decode
from hangtag.dataset.workers import _pool, map_designs
from hangtag.errors import ImageError
from hangtag.library.catalog import Catalog


def test_a_design_that_kills_its_decoder_costs_only_itself(
    library: Catalog, tmp_path: Path
) -> None:
    paths = [library.location(design) for design in library.designs[:6]]
    results = list(map_designs(kill_on_third, paths, workers=2, timeout=5))
    assert [isinstance(result, ImageError) for result in results] == [n == 2 for n in range(6)]
    assert results[2].reason == "crashed"
    slow = list(map_designs(sleep_on_third, paths, workers=2, timeout=1))
    assert [getattr(result, "reason", "") for result in slow] == ["", "", "too-slow", "", "", ""]


def test_workers_that_still_start_end_silently(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = WorkerManager.force_stop_workers

    def stop_late(manager: WorkerManager) -> None:
        for worker in manager.workers.values():
            worker.join(60)  # each has looked for its locks and found the pool closed
            assert not worker.is_alive()
        stop(manager)

    monkeypatch.setattr(WorkerManager, "force_stop_workers", stop_late)
    forkserver._forkserver._stop()  # the next one writes to what is captured here
    with _pool(2) as pool:
        assert pool.active  # started, and closed before a worker can be ready
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("designs", "started"), [(0, 1), (1, 1), (3, 2)])
def test_no_more_workers_than_designs(
    designs: int, started: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(b"abc")
    pools: list[int] = []
    monkeypatch.setattr(
        "hangtag.dataset.workers._pool", lambda count: pools.append(count) or _pool(count)
    )
    paths = [str(tmp_path / "a.png")] * designs
    assert list(map_designs(len, iter(paths), workers=2)) == [3] * designs
    assert pools == [started]


def is_third(data: bytes) -> bool:
    return decode(data, 256).shape == (102, 102, 4)


def kill_on_third(data: bytes) -> int:
    if is_third(data):
        os.kill(os.getpid(), signal.SIGKILL)
    return len(data)


def sleep_on_third(data: bytes) -> int:
    if is_third(data):
        time.sleep(60)
    return len(data)
