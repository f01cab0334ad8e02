"""RecordIO against files that MXNet 1.9.1 wrote: reading, writing, and what salvage keeps."""

import hashlib
import json
import pickle
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hangtag.dataset.record_framing import Record
from hangtag.dataset.recordio import RecordReader, RecordWriter, copy_whole, salvage
from hangtag.errors import RecordError

VECTORS = Path(__file__).parent / "recordio-vectors"
EXPECTED = json.loads((VECTORS / "expected.json").read_text())
MARK = struct.pack("<I", 0xCED7230A)

anywhere = settings(
    deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def content(record: Record) -> tuple[int, int, bytes, int, int, bytes]:
    return (
        record.key,
        record.flag,
        record.labels.tobytes(),
        record.id,
        record.id2,
        record.data,
    )


def contents(path: Path) -> list[tuple[int, int, bytes, int, int, bytes]]:
    with RecordReader(path) as reader:
        return [content(record) for record in reader]


def write_again(records: RecordReader, path: Path) -> None:
    with RecordWriter(path) as writer:
        for record in records:
            labels = record.labels if record.flag else float(record.labels[0])
            writer.write(record.key, labels, record.data, record.id, record.id2)


def make(path: Path, payloads: list[bytes]) -> list[tuple[int, int, bytes, int, int, bytes]]:
    with RecordWriter(path) as writer:
        for number, data in enumerate(payloads):
            writer.write(10 + number, [1.0, -1.0], data, id=100 + number)
    return contents(path)


def index_lines(path: Path) -> list[str]:
    return path.with_suffix(".idx").read_text().splitlines()


SMALL = [b"first.", b"a" * 4 + b"\x82", b"1234" + MARK + b"last!", b"\xff" * 3]
"""Four payloads that end in a byte other than zero, as PNG and JPEG do; the third is cut in two."""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.rec"
    make(path, SMALL)
    return path


@pytest.mark.parametrize("name", EXPECTED)
def test_reads_what_mxnet_wrote(name: str) -> None:
    with RecordReader(VECTORS / f"{name}.rec") as reader:
        expected = EXPECTED[name]["records"]
        assert len(reader) == len(expected)
        assert list(reader.keys) == [row["key"] for row in expected]
        for record, row in zip(reader, expected, strict=True):
            label = row["label"]
            assert record.flag == (len(label) if isinstance(label, list) else 0)
            assert record.labels.dtype == np.float32
            assert record.labels.tolist() == (label if isinstance(label, list) else [label])
            assert (record.key, record.id, record.id2) == (row["key"], row["id"], row["id2"])
            assert len(record.data) == row["payload_bytes"]
            assert hashlib.sha256(record.data).hexdigest() == row["payload_sha256"]
            assert content(reader.read_key(row["key"])) == content(record)
        labels = reader.labels()
        assert labels.dtype == np.float32
        assert labels.tolist() == [record.labels.tolist() for record in reader]


@pytest.mark.parametrize("name", EXPECTED)
def test_writes_byte_for_byte_what_mxnet_wrote(name: str, tmp_path: Path) -> None:
    with RecordReader(VECTORS / f"{name}.rec") as reader:
        write_again(reader, tmp_path / "again.rec")
    written = (tmp_path / "again.rec").read_bytes()
    assert hashlib.sha256(written).hexdigest() == EXPECTED[name]["rec_sha256"]
    assert (tmp_path / "again.idx").read_bytes() == (VECTORS / f"{name}.idx").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.idx", "again.rec"]


def test_reads_what_im2rec_wrote() -> None:
    rows = [line.split("\t") for line in (VECTORS / "im2rec.lst").read_text().splitlines()]
    with RecordReader(VECTORS / "im2rec.rec") as reader:
        assert [record.id for record in reader] == [int(row[0]) for row in rows]
        assert reader.labels().tolist() == [[float(label) for label in row[1:-1]] for row in rows]
        assert all(record.data.startswith(b"\xff\xd8") for record in reader)


@anywhere
@given(
    st.lists(
        st.tuples(
            st.one_of(
                st.floats(width=32, allow_nan=False),
                st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=6),
                # Three labels whose bytes are the mark: the cut falls among the labels.
                st.just(np.frombuffer(MARK * 3, "<f4").tolist()),
            ),
            st.lists(st.one_of(st.just(MARK), st.binary(max_size=9)), max_size=12).map(b"".join),
            st.integers(0, 2**64 - 1) | st.just(0xCED7230A),
            st.integers(0, 2**64 - 1),
        ),
        max_size=5,
    )
)
@example([(float(np.frombuffer(MARK, "<f4")[0]), MARK * 5, 0xCED7230ACED7230A, 0xCED7230A << 32)])
def test_everything_written_is_read_again(
    tmp_path: Path, rows: list[tuple[float | list[float], bytes, int, int]]
) -> None:
    path = tmp_path / "a.rec"
    with RecordWriter(path) as writer:
        for number, (labels, data, id, id2) in enumerate(rows):
            writer.write(number * 3, labels, data, id, id2)
    expected = [
        (
            number * 3,
            len(labels) if isinstance(labels, list) else 0,
            np.atleast_1d(np.array(labels, "<f4")).tobytes(),
            id,
            id2,
            data,
        )
        for number, (labels, data, id, id2) in enumerate(rows)
    ]
    assert contents(path) == expected
    skipped: list[tuple[int, int]] = []
    assert [content(record) for record in salvage(path, skipped)] == expected
    assert skipped == []


def test_labels_of_a_mark_or_an_id_of_a_mark_stand_in_the_table(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    odd = np.frombuffer(MARK, "<f4")[0]
    with RecordWriter(path) as writer:
        writer.write(0, [1.0, 2.0], b"x", id=1)
        writer.write(1, np.array([odd, 3.0], np.float32), b"y", id=2)
        writer.write(2, [5.0, 6.0], b"", id=0xCED7230A)
    with RecordReader(path) as reader:
        assert reader.labels().tolist() == [[1.0, 2.0], [odd, 3.0], [5.0, 6.0]]


def test_labels_of_a_large_file_are_quick(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    table = np.random.default_rng(0).integers(-1, 2, (20_000, 50)).astype(np.float32)
    with RecordWriter(path) as writer:
        for number, row in enumerate(table):
            writer.write(number, row, b"%d" % number, id=number)
    start = time.process_time()
    with RecordReader(path) as reader:
        assert np.array_equal(reader.labels(), table)
        assert reader[19_999].data == b"19999"
    assert time.process_time() - start < 2


def test_another_number_of_labels_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    with RecordWriter(path) as writer:
        writer.write(0, [1, 0], b"a", id=0)
        writer.write(1, [1, 0], b"b", id=1)
        writer.write(2, [1, 0, 1], b"c", id=2)
    with (
        RecordReader(path) as reader,
        pytest.raises(RecordError, match=r"record 2 at byte 88 has 3 labels.* 2;"),
    ):
        reader.labels()


def test_an_empty_file_has_no_records(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "a.rec"):
        pass
    with RecordReader(tmp_path / "a.rec") as reader:
        assert len(reader) == 0
        assert list(reader) == list(reader.keys) == []
        assert reader.labels().shape == (0, 0)
    assert list(salvage(tmp_path / "a.rec")) == []


def test_positions_and_keys_that_are_not_there(small: Path) -> None:
    with RecordReader(small) as reader:
        assert reader[-1].key == 13
        with pytest.raises(IndexError):
            reader[4]
        with pytest.raises(RecordError, match="no record with key 4"):
            reader.read_key(4)


@pytest.mark.parametrize("name", ["missing.rec", ""])
def test_a_file_that_cannot_be_opened(tmp_path: Path, name: str) -> None:
    with pytest.raises(RecordError, match=str(tmp_path / name)):
        RecordReader(tmp_path / name)
    with pytest.raises(RecordError, match=str(tmp_path / name)):
        list(salvage(tmp_path / name))


def test_a_missing_index_is_rebuilt(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(small)
    small.with_suffix(".idx").unlink()
    with RecordReader(small) as reader:
        assert list(reader.keys) == [0, 1, 2, 3]
        assert [content(record)[1:] for record in reader] == [row[1:] for row in before]
    assert capsys.readouterr().err == ""
    with pytest.raises(RecordError, match=r"other\.idx: No such file"):
        RecordReader(small, small.with_name("other.idx"))


def test_an_index_in_another_order_gives_the_same_keys(small: Path) -> None:
    index = small.with_suffix(".idx")
    before = contents(small)
    index.write_text("\n".join(reversed(index.read_text().splitlines())))
    assert contents(small) == before


@pytest.mark.parametrize(
    "text",
    [
        *["", "0\t4\n", "10\t0\n", "0\t0\n1\t999999\n", "0\t-8\n", "a\tb\n", "1\t2\t3\n", "\0\xff"],
        *["9" * 5000, f"0\t{2**70}\n", "0\t0\n1\t0\n2\t0\n3\t0\n"],
    ],
)
def test_an_index_that_does_not_fit_is_noted_and_rebuilt(
    small: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(small)
    small.with_suffix(".idx").write_text(text, encoding="latin-1")
    with RecordReader(small) as reader:
        assert list(reader.keys) == [0, 1, 2, 3]
        assert [content(record)[1:] for record in reader] == [row[1:] for row in before]
    assert "small.idx: does not match the 4 records" in capsys.readouterr().err


def test_threads_and_other_processes_share_a_reader(small: Path) -> None:
    expected = contents(small)
    with RecordReader(small) as reader, ThreadPoolExecutor(8) as pool:
        assert [content(record) for record in pool.map(reader.__getitem__, [0, 1, 2, 3] * 50)] == (
            expected * 50
        )
        small.with_suffix(".idx").unlink()
        with pickle.loads(pickle.dumps(reader)) as copy:
            assert [content(record) for record in copy] == expected


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    make(tmp_path / "a.rec", [b"old"])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail() -> None:
        with RecordWriter(tmp_path / "a.rec") as writer:
            writer.write(0, 1.0, b"new", id=0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_refused_record_leaves_no_trace_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    with RecordWriter(path) as writer:
        writer.write(0, [1.0], b"zero", id=0)
        for key, labels, id in [(0, [1.0], 0), (-1, [1.0], 0), (1, [], 0), (1, [1.0], -1)]:
            with pytest.raises(RecordError, match=f"key {key}"):
                writer.write(key, labels, b"", id)
        with pytest.raises(RecordError, match="labels must be"):
            writer.write(1, np.ones((2, 2)), b"", id=0)
        with pytest.raises(RecordError, match="key 1: 536870912 bytes"):
            writer.write(1, [1.0], bytes(2**29 - 28), id=0)
        writer.write(1, [2.0], b"one", id=1)
    assert [row[5] for row in contents(path)] == [b"zero", b"one"]


def test_salvage_says_what_it_left_out(small: Path) -> None:
    good = small.read_bytes()
    starts = [*map(int, small.with_suffix(".idx").read_text().split()[1::2])]
    small.write_bytes(b"junk" + good[4 : starts[2] + 30] + bytes(50) + good[starts[3] :] + b"tail")
    skipped: list[tuple[int, int]] = []
    saved = list(salvage(small, skipped))
    assert [record.data for record in saved] == [SMALL[1]]
    moved = starts[2] + 80
    assert skipped == [(0, starts[1]), (starts[2], moved + len(good) - starts[3] + 4)]


def test_a_lost_mark_loses_one_record_only(small: Path) -> None:
    good = small.read_bytes()
    second = int(small.with_suffix(".idx").read_text().split()[3])
    small.with_suffix(".idx").unlink()
    small.write_bytes(good[:second] + b"????" + good[second + 4 :])
    skipped: list[tuple[int, int]] = []
    assert [record.data for record in salvage(small, skipped)] == [SMALL[0], SMALL[2], SMALL[3]]
    assert skipped == [(second, good.index(MARK, second + 1))]


def test_salvage_never_gives_keys_twice(small: Path) -> None:
    good = small.read_bytes()
    small.write_bytes(good[: good.index(MARK, 4)] + b"lost" + good)
    keys = [record.key for record in salvage(small)]
    assert len(keys) == len(set(keys)) == 5


@pytest.mark.parametrize("plain", [True, False])
def test_copy_keeps_every_whole_record_as_it_was(tmp_path: Path, plain: bool) -> None:
    broken, whole = tmp_path / "broken.rec", tmp_path / "out" / "whole.rec"
    with RecordWriter(broken) as writer:
        for number, data in enumerate(SMALL):
            writer.write(10 - number, 0.5 if plain else [1.0, -1.0], data, 100 + number, 7)
    before = contents(broken)
    good = broken.read_bytes()
    second, third = (int(row.split()[1]) for row in index_lines(broken)[1:3])
    broken.write_bytes(good[:second] + bytes(4) + good[second + 4 :])
    kept, skipped = copy_whole(broken, whole)
    assert (kept, skipped) == (3, [(second, third)])
    assert contents(whole) == [before[0], *before[2:]]
    assert [int(line.split()[0]) for line in index_lines(whole)] == [10, 8, 7]


@pytest.mark.parametrize("key", [11, -1, 2**63 - 1])
def test_copy_numbers_the_records_when_their_keys_are_of_no_use(small: Path, key: int) -> None:
    before = contents(small)
    first, *rest = index_lines(small)
    text = "\n".join([f"{key}\t{first.split()[1]}", *rest])
    small.with_suffix(".idx").write_text(text)
    whole = small.with_name("whole.rec")
    assert copy_whole(small, whole) == (4, [])
    assert contents(whole) == [(number, *row[1:]) for number, row in enumerate(before)]


@pytest.mark.parametrize("name", ["small.rec", "other/../small.rec", "small.idx", "link.rec"])
def test_copy_never_replaces_a_file(small: Path, name: str) -> None:
    small.with_name("other").mkdir()
    small.with_name("link.rec").symlink_to(small)
    files = [small, small.with_suffix(".idx")]
    before = [path.read_bytes() for path in files]
    with pytest.raises(
        RecordError, match=r"the copy must be named \.rec|exists already; give another name"
    ):
        copy_whole(small, small.parent / name)
    assert [path.read_bytes() for path in files] == before


def test_a_file_without_records_leaves_no_copy(tmp_path: Path) -> None:
    (tmp_path / "designs.csv").write_text("image,tags\n")
    with pytest.raises(RecordError, match="has no undamaged record"):
        copy_whole(tmp_path / "designs.csv", tmp_path / "copy.rec")
    assert [path.name for path in tmp_path.iterdir()] == ["designs.csv"]
