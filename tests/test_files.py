"""Files written whole: the old one or the new one, and nothing beside it; archives likewise."""

import tarfile
from pathlib import Path

import numpy as np
import pytest

from hangtag.errors import ModelError
from hangtag.files import atomic_path, read_bytes, unpack, write_text


def test_a_failing_writer_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")

    def half() -> None:
        with atomic_path(target) as path:
            path.write_text("half of the n")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_the_next_writer_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    (tmp_path / ".a.txt.12345678.tmp").write_text("half")
    (tmp_path / ".b.txt.12345678.tmp").write_text("of another")
    write_text(tmp_path / "a.txt", "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".b.txt.12345678.tmp", "a.txt"]


def test_only_regular_files_of_bounded_size_are_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bytes(str(tmp_path / "a"), limit=5) == b"12345"
    with pytest.raises(OSError, match="has over"):
        read_bytes(str(tmp_path / "a"), limit=4)
    with pytest.raises(OSError, match="not a regular file"):
        read_bytes("/dev/zero")
    with pytest.raises(FileNotFoundError):
        read_bytes(str(tmp_path / "b"))


def test_a_linked_file_is_written_where_it_lies(tmp_path: Path) -> None:
    write_text(tmp_path / "shared" / "rules.txt", "old")
    (tmp_path / "rules.txt").symlink_to(tmp_path / "shared" / "rules.txt")
    write_text(tmp_path / "rules.txt", "new")
    assert (tmp_path / "rules.txt").is_symlink()
    assert (tmp_path / "shared" / "rules.txt").read_text() == "new"


def test_a_damaged_archive_is_never_unpacked(tmp_path: Path) -> None:
    """Most damage leaves a tar that can be read: only gzip's checksum, at the end, tells."""
    original = np.random.default_rng(0).bytes(20_000)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.onnx").write_bytes(original)
    whole = tmp_path / "model.tar.gz"
    with tarfile.open(whole, "w:gz") as tar:
        tar.add(tmp_path / "model" / "model.onnx", "model.onnx")
    unpack(whole, tmp_path / "out")
    assert (tmp_path / "out" / "model.onnx").read_bytes() == original
    data = bytearray(whole.read_bytes())
    for place in range(3, len(data), len(data) // 40):
        if 4 <= place < 10:  # gzip's time and system say nothing about the bytes
            continue
        damaged = bytearray(data)
        damaged[place] ^= 0x55
        (tmp_path / "damaged.tar.gz").write_bytes(damaged)
        with pytest.raises(ModelError, match="cannot be unpacked"):
            unpack(tmp_path / "damaged.tar.gz", tmp_path / "bad")
        assert not (tmp_path / "bad").exists()
    (tmp_path / "short.tar.gz").write_bytes(data[:-6])
    with pytest.raises(ModelError, match="cannot be unpacked"):
        unpack(tmp_path / "short.tar.gz", tmp_path / "bad")
