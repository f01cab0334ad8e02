"""Files written whole: the old one or the new one, and nothing beside it; archives likewise."""

import os
import subprocess
import sys
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from hangtag.errors import ModelError
from hangtag.storage import files
from hangtag.storage.archives import unpack
from hangtag.storage.files import atomic_path, write_text
from hangtag.storage.reading import read_bytes


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


KILLED = """
import os, sys
from pathlib import Path
from hangtag.storage.files import atomic_path
with atomic_path(Path(sys.argv[1])) as path:
    path.write_text("half")
    os._exit(9)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_next_writer_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / name)], check=False)
    assert len(names(tmp_path)) == 2
    write_text(tmp_path / "a.txt", "new")
    left, new = names(tmp_path)
    assert (left[:7], new) == (".b.txt.", "a.txt")


def test_only_temporaries_that_nobody_writes_are_removed(tmp_path: Path) -> None:
    """Of another machine, or of a hangtag before: by their age. With this process's own number,
    which is every process's in a container: unless it writes them just now."""
    old, young = tmp_path / ".a.txt.12345678.tmp", tmp_path / ".a.txt.0badcafe-1-12345678.tmp"
    own = tmp_path / f".a.txt.{files._machine()}-{os.getpid()}-12345678.tmp"
    other = tmp_path / ".a.txt.bak.0badcafe-1-12345678.tmp"  # of a.txt.bak
    for path in (old, young, own, other):
        path.write_text("half")
    os.utime(old, (time.time() - 100_000, time.time() - 100_000))
    write_text(tmp_path / "a.txt", "new")
    assert names(tmp_path) == sorted((young.name, other.name, "a.txt"))


def test_two_writers_of_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    with atomic_path(target) as first:
        first.write_text("first")
        with atomic_path(target) as second:
            second.write_text("second")
            subprocess.run([sys.executable, "-c", KILLED, str(target)], check=False)
            write_text(target, "third")
            assert target.read_text() == "third"
        assert target.read_text() == "second"
    assert target.read_text() == "first"
    write_text(target, "last")
    assert names(tmp_path) == ["a.txt"]


def test_many_threads_write_one_file(tmp_path: Path) -> None:
    texts = [f"{number}" * 10_000 for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: write_text(tmp_path / "a.txt", text), texts))
    assert (tmp_path / "a.txt").read_text() in texts
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("name", ["a[1]*?.txt", "x" * 255, "\u30c6" * 80, "-a %s#&.tar.gz", "a."])
def test_a_file_of_any_name_is_written(tmp_path: Path, name: str) -> None:
    write_text(tmp_path / name, "old")
    write_text(tmp_path / name, "new")
    assert (tmp_path / name).read_text() == "new"
    assert names(tmp_path) == [name]


def test_only_regular_files_of_bounded_size_are_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bytes(str(tmp_path / "a"), limit=5) == b"12345"
    with pytest.raises(OSError, match="has over"):
        read_bytes(str(tmp_path / "a"), limit=4)
    with pytest.raises(OSError, match="not a regular file"):
        read_bytes("/dev/zero")
    with pytest.raises(FileNotFoundError):
        read_bytes(str(tmp_path / "b"))


def test_a_linked_file_is_written_and_the_link_stays(tmp_path: Path) -> None:
    write_text(tmp_path / "shared" / "rules.txt", "old")
    (tmp_path / "rules.txt").symlink_to(tmp_path / "shared" / "rules.txt")
    write_text(tmp_path / "rules.txt", "new")
    assert (tmp_path / "rules.txt").is_symlink()
    assert (tmp_path / "shared" / "rules.txt").read_text() == "new"


def test_a_damaged_archive_is_never_unpacked(tmp_path: Path) -> None:
    """Most damage leaves a tar that can be read: only gzip's checksum, at the end, shows it."""
    original = np.random.default_rng(0).bytes(20_000)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.onnx").write_bytes(original)
    whole = tmp_path / "model.tar.gz"
    with tarfile.open(whole, "w:gz") as tar:
        tar.add(tmp_path / "model" / "model.onnx", "model.onnx")
    unpack(whole, tmp_path / "out")
    assert (tmp_path / "out" / "model.onnx").read_bytes() == original
    data = bytearray(whole.read_bytes())
    for offset in range(3, len(data), len(data) // 40):
        if 4 <= offset < 10:  # gzip's time and system do not depend on the bytes
            continue
        damaged = bytearray(data)
        damaged[offset] ^= 0x55
        (tmp_path / "damaged.tar.gz").write_bytes(damaged)
        with pytest.raises(ModelError, match="cannot be unpacked"):
            unpack(tmp_path / "damaged.tar.gz", tmp_path / "bad")
        assert not (tmp_path / "bad").exists()
    (tmp_path / "short.tar.gz").write_bytes(data[:-6])
    with pytest.raises(ModelError, match="cannot be unpacked"):
        unpack(tmp_path / "short.tar.gz", tmp_path / "bad")
