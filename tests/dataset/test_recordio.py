"""RecordIO against files that MXNet 1.9.1 wrote, and against damage of every kind."""

import hashlib
import json
import pickle
import struct
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hangtag.dataset.recordio import Record, RecordReader, RecordWriter, salvage
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


def size(row: tuple[int, bytes, int, int, bytes]) -> int:
    """Bytes of labels and image. The flag says where one ends; no flip of it can be noticed."""
    return 4 * row[0] + len(row[-1])


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
        assert reader.keys == [row["key"] for row in expected]
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
    start = time.perf_counter()
    with RecordReader(path) as reader:
        assert np.array_equal(reader.labels(), table)
        assert reader[19_999].data == b"19999"
    assert time.perf_counter() - start < 2


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
        assert list(reader) == reader.keys == []
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
        assert reader.keys == [0, 1, 2, 3]
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
        assert reader.keys == [0, 1, 2, 3]
        assert [content(record)[1:] for record in reader] == [row[1:] for row in before]
    assert "small.idx: does not fit the 4 records" in capsys.readouterr().err


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


def test_damage_is_named_with_record_and_offset(small: Path) -> None:
    good = small.read_bytes()
    second = good.index(MARK, 4)
    for at, new, message in [
        (second, b"\0", f"record 1 at byte {second} lacks the RecordIO mark at byte {second}"),
        (second + 7, b"\xa0", f"record 1 at byte {second} has part flag 5"),
        (second + 7, b"\x1f", f"record 1 at byte {second} is cut off: it needs"),
        (0, b"P", "record 0 at byte 0 lacks"),
    ]:
        small.write_bytes(good[:at] + new + good[at + 1 :])
        with pytest.raises(RecordError) as error:
            RecordReader(small)
        text = str(error.value)
        assert text.startswith(f"{small}: {message}")
        assert text.endswith("read it with salvage to keep what is whole")
        assert "\n" not in text


def test_a_record_that_runs_over_the_next_is_found_out(small: Path) -> None:
    good = small.read_bytes()
    second, third = (good.index(MARK, at) for at in (4, 52))
    long = struct.pack("<I", third - 8)
    small.write_bytes(good[:4] + long + good[8:])
    with pytest.raises(RecordError, match=f"record 0 at byte 0 runs over .* byte {second}"):
        RecordReader(small)
    small.with_suffix(".idx").unlink()
    with (
        RecordReader(small) as reader,
        pytest.raises(RecordError, match=r"record 0 .* wrong length"),
    ):
        list(reader)
    assert [record.data for record in salvage(small)] == SMALL[1:]


@pytest.mark.parametrize("payload", [b"", b"abcd", struct.pack("<IfQQ", 2**30, 0, 0, 0) + b"1234"])
def test_records_that_are_no_images(tmp_path: Path, payload: bytes) -> None:
    path = tmp_path / "a.rec"
    path.write_bytes(MARK + struct.pack("<I", len(payload)) + payload)
    with RecordReader(path) as reader:
        with pytest.raises(RecordError, match=r"record 0 at byte 0 holds .* too few"):
            reader[0]
        with pytest.raises(RecordError, match=r"record 0 at byte 0 holds .* too few"):
            reader.labels()


@pytest.mark.parametrize("with_index", [True, False])
def test_truncation_at_every_byte(small: Path, with_index: bool) -> None:
    expected = contents(small)
    good = small.read_bytes()
    with RecordReader(small) as reader:
        ends = [*map(int, small.with_suffix(".idx").read_text().split()[3::2]), len(good)]
        assert len(reader) == len(ends)
    if not with_index:
        small.with_suffix(".idx").unlink()
        expected = [(number, *row[1:]) for number, row in enumerate(expected)]
    for size in range(len(good)):
        small.write_bytes(good[:size])
        whole = sum(end <= size for end in ends)
        if size in [0, *ends]:
            assert [row[1:] for row in contents(small)] == [row[1:] for row in expected[:whole]]
        else:
            with pytest.raises(RecordError, match=f"record {whole} .* is cut off"):
                RecordReader(small)
        skipped: list[tuple[int, int]] = []
        assert [content(record) for record in salvage(small, skipped)] == expected[:whole]
        rest = ends[whole - 1] if whole else 0
        assert skipped == ([(rest, size)] if size > rest else [])


@pytest.mark.parametrize("with_index", [True, False])
def test_every_single_bit_flip(small: Path, with_index: bool) -> None:
    """Only the record with the flipped bit may change, and never into less than it was."""
    starts = [*map(int, small.with_suffix(".idx").read_text().split()[1::2])]
    if not with_index:
        small.with_suffix(".idx").unlink()
    expected = [row[1:] for row in contents(small)]
    good = small.read_bytes()
    for bit in range(8 * len(good)):
        flipped = bytearray(good)
        flipped[bit // 8] ^= 1 << bit % 8
        small.write_bytes(flipped)
        hit = sum(start <= bit // 8 for start in starts) - 1
        others = expected[:hit] + expected[hit + 1 :]
        try:
            read = [row[1:] for row in contents(small)]
        except RecordError:
            pass
        else:
            assert len(read) == len(expected), bit
            assert read[:hit] + read[hit + 1 :] == others, bit
            assert size(read[hit]) >= size(expected[hit]), bit
        saved = [content(record)[1:] for record in salvage(small)]
        # Without an index a flipped part flag leaves open whether the record before it ends there.
        doubtful = not with_index and bit // 8 == starts[hit] + 7
        kept = expected[: max(hit - 1, 0)] + expected[hit + 1 :] if doubtful else others
        assert [row for row in saved if row in kept] == kept, bit
        assert all(row in expected or size(row) >= size(expected[hit]) for row in saved), bit


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


FRAMES = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.tuples(
            st.integers(0, 7),
            st.integers(0, 80) | st.integers(0, 2**29 - 1),
            st.binary(max_size=60),
        ).map(lambda row: MARK + struct.pack("<I", row[0] << 29 | row[1]) + row[2]),
        st.lists(st.floats(width=32), max_size=3).map(
            lambda row: MARK + struct.pack("<IIfQQ", 24 + 4 * len(row), len(row), 0, 1, 2)
            + np.array(row, "<f4").tobytes()
        ),
    ),
    max_size=12,
).map(b"".join)  # fmt: skip


@anywhere
@given(FRAMES, st.binary(max_size=30) | st.none())
def test_any_bytes_give_records_or_a_record_error(
    tmp_path: Path, data: bytes, index: bytes | None
) -> None:
    path = tmp_path / "a.rec"
    path.write_bytes(data)
    path.with_suffix(".idx").unlink(missing_ok=True)
    if index is not None:
        path.with_suffix(".idx").write_bytes(index)
    try:
        with RecordReader(path) as reader:
            read = [content(record)[1:] for record in reader]
            assert len(reader.labels()) == len(read)
    except RecordError:
        read = None
    skipped: list[tuple[int, int]] = []
    saved = [content(record)[1:] for record in salvage(path, skipped)]
    assert sum(end - begin for begin, end in skipped) <= len(data)
    if read is not None:
        assert saved == read
        assert skipped == []


def test_hostile_lengths_cost_neither_memory_nor_time(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    size = 100_000
    frames = [MARK + struct.pack("<I", size - 8 * n - 8) for n in range(size // 8)]
    path.write_bytes(b"".join(frames[:-1]) + MARK + struct.pack("<I", 2**29 - 1))
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(RecordError), RecordReader(path) as reader:
        list(reader)
    assert list(salvage(path)) == []
    assert time.perf_counter() - start < 10
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
