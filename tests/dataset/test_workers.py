"""Worker processes: a design that harms its own is rejected alone."""

import os
import signal
import time
from pathlib import Path

from hangtag.dataset.images import decode
from hangtag.dataset.workers import map_designs
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
