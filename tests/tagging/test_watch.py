"""A folder is watched: what is new is tagged, a restart tags nothing twice."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import hangtag
from hangtag.library.catalog import Catalog
from hangtag.library.keywords.xmp import read_keywords
from hangtag.tagging.selection import Selection
from hangtag.tagging.watch import RECORD, watch_folders
from tests.commands import Command

SECONDS = 120.0  # for a round on a busy machine


@contextmanager
def watching(work: Path, folder: Path, *options: str) -> Iterator[Callable[[], dict]]:
    """Run the command; what is yielded waits for its next summary. It ends with Ctrl-C."""
    process = Command("watch", work / "model", folder, "--xmp", "--json", "--quiet", *options)
    seen = 0

    def summary() -> dict:
        nonlocal seen
        until = time.monotonic() + SECONDS
        while len(lines := process.out.read_text().split("\n")) - 1 <= seen:
            assert process.poll() is None, process.err.read_text()
            assert time.monotonic() < until
            time.sleep(0.02)
        seen += 1
        return json.loads(lines[seen - 1])

    try:
        yield summary
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 130
    finally:
        process.kill()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
@pytest.mark.parametrize("options", [(), ("--poll",), ("--embed",)])
def test_what_is_new_is_tagged_and_a_restart_tags_nothing_twice(
    library: Catalog, work: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    folder = tmp_path / "designs"
    folder.mkdir()
    images = [Path(library.location(design)) for design in library.designs[:3]]
    with watching(work, folder, *options) as summary:
        assert summary()["tagged"] == 0
        shutil.copy(images[0], folder / "a.png")
        assert summary()["tagged"] == 1
        (folder / "inside").mkdir()
        shutil.copy(images[1], folder / "inside" / "b.png")
        found = summary()
        while found["tagged"] < 2:
            found = summary()
        assert found["unchanged"] in (1, 2)
    tagged = json.loads((folder / RECORD).read_text().splitlines()[0])["tags"]
    marks = read_keywords(folder / "a.png").machine
    assert [mark.tag for mark in marks] == [tag["tag"] for tag in tagged]
    state = {path: path.stat().st_mtime_ns for path in folder.rglob("*.*") if path.name[0] != "."}
    shutil.copy(images[2], folder / "c.png")  # while nobody watches
    with watching(work, folder, *options) as summary:
        found = summary()
        assert (found["tagged"], found["unchanged"]) == (3, 2)
    assert state.items() <= {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")}.items()


def test_only_folders_are_watched(work: Path, tmp_path: Path) -> None:
    with pytest.raises(hangtag.ConfigError, match="not a folder"):
        next(watch_folders(work / "model", [tmp_path / "nowhere"], Selection()))
