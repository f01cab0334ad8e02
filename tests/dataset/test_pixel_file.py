"""Decoded designs in a file: read back, resumed, written anew when what they come from changes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from hangtag.dataset.images import Pixels, encode_png
from hangtag.dataset.pixel_file import BLOCK, PixelFile
from hangtag.dataset.pixel_store import PixelStore
from hangtag.dataset.recordio import RecordReader, RecordWriter

COUNT = BLOCK + 5
SIDE = 8


def design(position: int) -> Pixels:
    return np.random.default_rng(position).integers(1, 255, (SIDE, SIDE, 4), dtype=np.uint8)


def designs(first: int) -> Iterator[Pixels | None]:
    for position in range(first, COUNT):
        yield None if position == 3 else design(position)


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    file = PixelFile(tmp_path / "a.pixels", COUNT, SIDE, "key")
    assert file.has_room()
    assert file.fill(designs) == [3]
    rows = file.read(np.array([COUNT - 1, 0, 3]))
    assert (rows[0] == design(COUNT - 1)).all()
    assert (rows[1] == design(0)).all()
    assert not rows[2].any()


def test_threads_do_not_disturb_each_other(tmp_path: Path) -> None:
    file = PixelFile(tmp_path / "a.pixels", COUNT, SIDE, "key")
    file.fill(designs)
    order = np.random.default_rng(0).permutation(np.setdiff1d(np.arange(COUNT), 3))
    with ThreadPoolExecutor(8) as pool:
        for part, rows in zip(
            np.array_split(order, 50), pool.map(file.read, np.array_split(order, 50)), strict=True
        ):
            for position, row in zip(part.tolist(), rows, strict=True):
                assert (row == design(position)).all()


def test_a_killed_run_resumes_after_its_last_block(tmp_path: Path) -> None:
    def killed(first: int) -> Iterator[Pixels | None]:
        for position, one in enumerate(designs(first), start=first):
            if position == BLOCK + 2:
                raise KeyboardInterrupt
            yield one

    with pytest.raises(KeyboardInterrupt):
        PixelFile(tmp_path / "a.pixels", COUNT, SIDE, "key").fill(killed)
    begun: list[int] = []

    def rest(first: int) -> Iterator[Pixels | None]:
        begun.append(first)
        return designs(first)

    again = PixelFile(tmp_path / "a.pixels", COUNT, SIDE, "key")
    assert again.fill(rest) == [3]
    assert begun == [BLOCK]
    assert (again.read(np.array([0, COUNT - 1]))[1] == design(COUNT - 1)).all()


@pytest.mark.parametrize("harm", ["other key", "cut file", "damaged state"])
def test_a_file_of_something_else_is_written_anew(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "a.pixels"
    PixelFile(path, COUNT, SIDE, "key").fill(lambda _: iter([None] * COUNT))
    if harm == "cut file":
        path.write_bytes(path.read_bytes()[:-1])
    if harm == "damaged state":
        path.with_suffix(".json").write_text("{")
    file = PixelFile(path, COUNT, SIDE, "other" if harm == "other key" else "key")
    assert file.fill(designs) == [3]
    assert (file.read(np.array([0]))[0] == design(0)).all()


def records(path: Path, count: int) -> RecordReader:
    with RecordWriter(path) as writer:
        for key in range(count):
            data = b"no image" if key == 1 else encode_png(np.full((9, 9, 4), 99 + key, np.uint8))
            writer.write(key, [1.0], data, id=key)
    return RecordReader(path)


def test_a_store_decodes_once_and_gives_the_same_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = records(tmp_path / "b.rec", 5)
    in_memory = PixelStore(found, 256, 24, 2**30)
    in_file = PixelStore(found, 256, 24, 0, folder=tmp_path / "pixels")
    assert in_file.kept.tolist() == in_memory.kept.tolist() == [0, 2, 3, 4]
    assert (in_file.inputs([3, 0]) == in_memory.inputs([3, 0])).all()
    assert not in_file.cached_bytes
    monkeypatch.setattr("hangtag.dataset.pixel_store.decode", None)  # nothing is decoded again
    again = PixelStore(found, 256, 24, 0, folder=tmp_path / "pixels")
    assert (again.inputs([3, 0]) == in_memory.inputs([3, 0])).all()


def test_without_room_on_the_disk_designs_are_decoded_on_demand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hangtag.dataset.pixel_file.SPARE_BYTES", 2**70)
    store = PixelStore(records(tmp_path / "b.rec", 5), 256, 24, 0, folder=tmp_path / "pixels")
    assert "too little space for" in capsys.readouterr().err
    assert store.kept.tolist() == [0, 2, 3, 4]
    assert store.inputs([0]).any()
    assert not list((tmp_path / "pixels").iterdir())
