"""Pages of mapped files: given back after reading, and read again with the same content."""

import mmap
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from hangtag.dataset import record_framing, recordio
from hangtag.dataset.recordio import RecordReader, RecordWriter
from hangtag.index.feature_store import Rows
from hangtag.storage.mapping import release

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def resident_kb(path: Path) -> int:
    """Return how much of a file is mapped into this process's memory."""
    text = Path("/proc/self/smaps").read_text()
    found = re.findall(rf"{re.escape(str(path))}\n(?:Size|KernelPageSize|MMUPageSize).*?Rss: +(\d+)", text, re.S)  # fmt: skip  # noqa: E501
    return sum(map(int, found))


@on_linux
def test_rows_are_not_in_memory_after_they_were_read(tmp_path: Path) -> None:
    stored = np.memmap(tmp_path / "rows", np.float16, "w+", shape=(5_000, 512))
    stored[:] = np.arange(5_000)[:, None] % 2_000
    stored.flush()
    mapped = np.memmap(tmp_path / "rows", np.float16, "r", shape=stored.shape)
    del stored
    rows = Rows(mapped, np.arange(5_000))
    assert float(mapped.sum(dtype=np.float64)) > 0
    assert resident_kb(tmp_path / "rows") > 4_000
    for start in range(0, 5_000, 500):
        np.testing.assert_array_equal(
            rows[start : start + 500][:, 7], np.arange(start, start + 500) % 2_000
        )
    assert resident_kb(tmp_path / "rows") == 0


@on_linux
def test_opening_records_and_reading_all_labels_keeps_no_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_framing, "_STARTS", 700)
    monkeypatch.setattr(record_framing, "_READS", 1_000)
    monkeypatch.setattr(recordio, "_ROWS", 700)
    path = tmp_path / "many.rec"
    with RecordWriter(path) as writer:
        for key in range(3_000):
            writer.write(key, [key % 7, key % 5], bytes(4_000), key)
    with RecordReader(path) as records:
        assert resident_kb(path) == 0
        labels = records.labels()
        assert resident_kb(path) == 0
        assert labels.tolist() == [[key % 7, key % 5] for key in range(3_000)]
        assert [len(block) for block in records.label_blocks()] == [700, 700, 700, 700, 200]
        assert [record.id for record in records] == list(range(3_000))
        assert resident_kb(path) < 1_000 * 4.2


def test_anything_else_is_left_alone(tmp_path: Path) -> None:
    values = np.arange(10)
    for given in (b"bytes", values, values[2:]):
        release(given)
    assert values.sum() == 45
    (tmp_path / "a").write_bytes(b"content" * 1_000)
    with (
        (tmp_path / "a").open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as one,
    ):
        assert one[:7] == b"content"
        release(one)
        assert one[:7] == b"content"
