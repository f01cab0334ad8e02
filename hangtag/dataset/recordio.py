"""Reads and writes MXNet RecordIO (`.rec` with `.idx`): what im2rec packs and SageMaker trains on.

A record is a mark, a word with part flag (3 bits) and length (29 bits), the payload, and zeros up
to a multiple of 4, all little-endian. Where a payload holds the mark at a multiple of 4, the writer
cuts it out and the record goes on in another part. So the mark at a multiple of 4 always begins a
part: that is what `salvage` finds its way by, and what gives a damaged length away.
Source: dmlc-core `recordio.h` and MXNet 1.9.1 `recordio.py`; files it wrote are in the tests.
"""

import mmap
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hangtag.console import note
from hangtag.errors import RecordError
from hangtag.files import atomic_path

MARK = 0xCED7230A
MARK_BYTES = struct.pack("<I", MARK)
MAX_PAYLOAD = 2**29 - 1  # header and labels included

_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_BEGINS, _GOES_ON = (_WHOLE, _FIRST), (_MIDDLE, _LAST)
_FRAME = struct.Struct("<II")  # mark, part flag << 29 | length
_HEADER = struct.Struct("<IfQQ")  # flag (how many labels follow), label if flag is 0, id, id2
_BLOCK = 64 * 1024  # bytes looked through at once for a mark
_ROWS = 4096  # label rows gathered at once


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """One record of an image file: labels, two ids and the encoded image.

    `labels` is float32 of shape (n,). `flag` is n as stored, or 0 when the file holds one plain
    label in place of an array (then n is 1); `RecordWriter.write` says how to write either again.
    """

    key: int
    labels: NDArray[np.float32]
    id: int
    id2: int
    data: bytes
    flag: int


class RecordReader:
    """Random access to the records of a `.rec` file, memory-mapped.

    Positions count from 0 in file order. Opening walks over all records once, so a file that is cut
    off or whose framing is damaged fails there and not in the middle of a run. Keys come from
    `index` (default: the `.idx` beside the file); without one, or with one that does not fit the
    file (then a note says so), the keys are the positions, as MXNet's rec2idx makes them.

    Reading is safe from several threads. A pickled reader opens its file again where it is loaded.

    Raises RecordError, naming file, record and byte offset, when a file cannot be read or is
    damaged; RecordIO has no checksum, so a damaged image can pass here and fail to decode later.
    """

    def __init__(self, path: Path, index: Path | None = None) -> None:
        self.path = Path(path)
        self._file = _File(self.path)
        self._starts = self._file.starts()
        self.keys: list[int] = list(range(len(self._starts)))
        index = _index_beside(self.path) if index is None else Path(index)
        if index is not None:
            self._take_keys(index)

    def _take_keys(self, index: Path) -> None:
        keys, offsets = _read_index(index)
        order = np.argsort(offsets, kind="stable")
        if np.array_equal(offsets[order], self._starts):
            self.keys = keys[order].tolist()
            return
        for offset in np.setdiff1d(offsets, self._starts).tolist():
            if self._file.begins_record(offset):
                number = int(np.searchsorted(self._starts, offset)) - 1
                start = int(self._starts[number])
                what = f"runs over the record that {index.name} names at byte {offset}"
                raise self._file.damage(number, start, what)
        note(
            f"{index}: does not fit the {len(self)} records of {self.path.name}; "
            "records are numbered from 0 instead"
        )

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, position: int) -> Record:
        """Return the record at `position`; raises IndexError past the end."""
        number = range(len(self))[position]
        return self._file.record(int(self._starts[number]), number, self.keys[number])[0]

    def __iter__(self) -> Iterator[Record]:
        for position in range(len(self)):
            yield self[position]

    def read_key(self, key: int) -> Record:
        """Return the record with `key`; of several with one key the last, as MXNet does."""
        if key not in self._positions:
            raise RecordError(f"{self.path}: has no record with key {key}")
        return self[self._positions[key]]

    @cached_property
    def _positions(self) -> dict[int, int]:
        return {key: position for position, key in enumerate(self.keys)}

    def labels(self) -> NDArray[np.float32]:
        """Return the labels of all records, float32 of shape (records, labels), in file order.

        Image data is not touched. Raises RecordError when a record has another number of labels
        than the first one; an empty file gives shape (0, 0).
        """
        words = np.frombuffer(self._file.data, "<u4", self._file.size // 4)
        first = self._starts // 4
        length = (words[first + 1] & MAX_PAYLOAD).astype(np.int64)
        flags = np.zeros(len(self), np.int64)
        has_header = length >= _HEADER.size
        flags[has_header] = words[first[has_header] + 2]
        plain = has_header & (length >= _HEADER.size + 4 * flags)
        # What is left has the mark inside its header or labels, or is damaged and raises.
        cut = {int(number): self[int(number)].labels for number in np.flatnonzero(~plain)}
        widths = np.maximum(flags, 1)
        widths[list(cut)] = [len(labels) for labels in cut.values()]
        self._check_widths(widths)
        table = np.zeros((len(self), int(widths[0]) if len(self) else 0), np.float32)
        values = words.view("<f4")
        column = first + np.where(flags > 0, 2 + _HEADER.size // 4, 3)
        for rows in np.split(np.flatnonzero(plain), range(_ROWS, int(plain.sum()), _ROWS)):
            table[rows] = values[column[rows, None] + np.arange(table.shape[1])]
        for number, labels in cut.items():
            table[number] = labels
        return table

    def _check_widths(self, widths: NDArray[np.int64]) -> None:
        odd = np.flatnonzero(widths != widths[:1])
        if len(odd):
            number = int(odd[0])
            raise RecordError(
                f"{self.path}: record {number} at byte {self._starts[number]} has "
                f"{widths[number]} labels, the records before it have {widths[0]}; "
                "pack it again with one list of tags"
            )

    def close(self) -> None:
        """Let go of the file; nothing can be read afterwards."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        # The offsets travel along: a worker need neither walk the file nor repeat the note.
        return {"path": self.path, "_starts": self._starts, "keys": self.keys}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._file = _File(self.path)


class RecordWriter:
    """Writes a `.rec` and its `.idx` byte for byte as MXNet does: `with RecordWriter(path) as w:`.

    Both files are written beside their targets and renamed when the block ends well. When it
    raises, what was there before stays.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._position = 0
        self._keys: set[int] = set()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            # Left in reverse: files closed, .rec renamed, then .idx, which can be done without.
            index = stack.enter_context(atomic_path(self.path.with_suffix(".idx")))
            records = stack.enter_context(atomic_path(self.path))
            self._index = stack.enter_context(index.open("w", encoding="ascii", newline="\n"))
            self._records = stack.enter_context(records.open("wb"))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._stack.__exit__(*exc)

    def write(
        self,
        key: int,
        labels: float | Sequence[float] | NDArray[Any],
        data: bytes,
        id: int,
        id2: int = 0,
    ) -> None:
        """Append a record of one plain label (a number) or of an array of labels (shape (n,)).

        `key` (0 to 2**63 - 1, each only once) goes into the index, `id` and `id2` (0 to 2**64 - 1)
        into the record. To write a Record again give `float(labels[0])` where its flag is 0.
        Raises RecordError for any of these out of range, or more than 2**29 - 1 bytes in all.
        """
        values = np.asarray(labels, dtype="<f4")
        where = f"{self.path}: key {key}"
        if not 0 <= key < 2**63 or key in self._keys:
            raise RecordError(f"{where}: is used already or not a number from 0 to 2**63 - 1")
        if not (0 <= id < 2**64 and 0 <= id2 < 2**64):
            raise RecordError(f"{where}: the ids {id} and {id2} must be from 0 to 2**64 - 1")
        if values.ndim > 1 or values.size == 0:
            raise RecordError(f"{where}: labels must be a number or a list with at least one")
        flag = values.size if values.ndim else 0
        total = _HEADER.size + 4 * flag + len(data)
        if total > MAX_PAYLOAD:
            mend = "make the image smaller"
            raise RecordError(f"{where}: {total} bytes, a record holds {MAX_PAYLOAD}; {mend}")
        header = _HEADER.pack(flag, 0.0 if flag else float(values), id, id2)
        payload = header + (values.tobytes() if flag else b"") + data
        self._index.write(f"{key}\t{self._position}\n")
        self._position += self._records.write(_framed(payload))
        self._keys.add(key)


def salvage(path: Path, skipped: list[tuple[int, int]] | None = None) -> Iterator[Record]:
    """Yield every record of a truncated or damaged file that is whole, in file order.

    `skipped` is extended, as the reading goes on, with the (begin, end) byte ranges left out. A
    record is whole when its framing and header are in order and the file, its `.idx` or the record
    behind it confirms where it ends; half a record is never given. Keys come from the `.idx` where
    it names the record, the others are numbered on from its highest key (from 0 without `.idx`).

    Raises RecordError when the file cannot be opened.
    """
    path = Path(path)
    skipped = [] if skipped is None else skipped
    known = _known_keys(path)
    spare = max(known.values(), default=-1) + 1
    with closing(_File(path)) as file:
        start = done = 0
        while start < file.size:
            try:
                record, end = file.record(start, 0, known.get(start, spare))
            except RecordError:
                end = -1
            if end == -1 or not (end in known or file.ends_cleanly(end)):
                start = _find_mark(file.data, start + 4, file.size)
                continue
            if start > done:
                skipped.append((done, start))
            spare += start not in known
            start = done = end
            yield record
        if file.size > done:
            skipped.append((done, file.size))


class _File:
    """A mapped `.rec` file. Everything is checked against its size before it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data: mmap.mmap | bytes = b""  # an empty file cannot be mapped
        try:
            with path.open("rb") as file:
                if path.stat().st_size:
                    self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as cause:
            raise RecordError(f"{path}: {cause.strerror or cause}") from cause
        self.size = len(self.data)

    def close(self) -> None:
        # An array over the map can outlive its use, in a traceback say; the map then goes with it.
        with suppress(BufferError):
            if isinstance(self.data, mmap.mmap):
                self.data.close()

    def damage(self, number: int, start: int, what: str) -> RecordError:
        mend = "read it with salvage to keep what is whole"
        return RecordError(f"{self.path}: record {number} at byte {start} {what}; {mend}")

    def starts(self) -> NDArray[np.int64]:
        """Return the byte offset of every record, walking from one to the next."""
        starts: list[int] = []
        position = 0
        while position < self.size:
            starts.append(position)
            position = _padded(self.parts(position, len(starts) - 1)[-1][1])
        return np.array(starts, np.int64)

    def parts(self, start: int, number: int) -> list[tuple[int, int]]:
        """Return where the bytes of each part of the record at `start` begin and end."""
        parts: list[tuple[int, int]] = []
        position = start
        while True:
            if position + _FRAME.size > self.size:
                raise self.damage(number, start, f"is cut off: the file ends at byte {self.size}")
            mark, word = _FRAME.unpack_from(self.data, position)
            cflag, length = word >> 29, word & MAX_PAYLOAD
            if mark != MARK:
                raise self.damage(number, start, f"lacks the RecordIO mark at byte {position}")
            if cflag not in (_GOES_ON if parts else _BEGINS):
                raise self.damage(number, start, f"has part flag {cflag} at byte {position}")
            begin = position + _FRAME.size
            end = begin + length
            if _padded(end) > self.size:
                what = f"is cut off: it needs {_padded(end)} bytes of file, there are {self.size}"
                raise self.damage(number, start, what)
            parts.append((begin, end))
            if cflag in (_WHOLE, _LAST):
                return parts
            if length % 4:
                raise self.damage(number, start, f"has a part of {length} bytes, no multiple of 4")
            position = end

    def record(self, start: int, number: int, key: int) -> tuple[Record, int]:
        """Return the record at `start` and the offset behind it."""
        parts = self.parts(start, number)
        for begin, end in parts:
            if _find_mark(self.data, begin, end) < end or any(self.data[end : _padded(end)]):
                raise self.damage(number, start, f"has a wrong length in its part at byte {begin}")
        payload = MARK_BYTES.join(self.data[begin:end] for begin, end in parts)
        if len(payload) < _HEADER.size:
            what = f"holds {len(payload)} bytes, too few for the header of an image"
            raise self.damage(number, start, what)
        flag, _, id, id2 = _HEADER.unpack_from(payload)
        body = _HEADER.size + 4 * flag
        if len(payload) < body:
            what = f"holds {len(payload)} bytes, too few for the {flag} labels it announces"
            raise self.damage(number, start, what)
        at = _HEADER.size if flag else 4
        labels = np.frombuffer(payload, "<f4", max(flag, 1), at).astype(np.float32)
        return Record(key, labels, id, id2, payload[body:], flag), _padded(parts[-1][1])

    def begins_record(self, offset: int) -> bool:
        """Say whether the mark and part flag at `offset` can only be those of a record's begin."""
        if offset % 4 or not 0 <= offset <= self.size - _FRAME.size:
            return False
        mark, word = _FRAME.unpack_from(self.data, offset)
        return mark == MARK and word >> 29 in _BEGINS

    def ends_cleanly(self, end: int) -> bool:
        """Say whether what lies at `end` shows that a record ends there.

        That is the end of the file, the begin of another record or of its mark, or a frame whose
        mark alone is damaged: its length still leads to a mark or to the end of the file.
        """
        if end + _FRAME.size > self.size:
            return MARK_BYTES.startswith(self.data[end : end + 4])
        mark, word = _FRAME.unpack_from(self.data, end)
        if mark == MARK or word >> 29 not in _BEGINS:
            return self.begins_record(end)
        after = _padded(end + _FRAME.size + (word & MAX_PAYLOAD))
        return after == self.size or self.data[after : after + 4] == MARK_BYTES


def _padded(end: int) -> int:
    return (end + 3) & ~3


def _find_mark(data: mmap.mmap | bytes, begin: int, end: int) -> int:
    """Return where the mark first stands between `begin` and `end` at a multiple of 4, or `end`.

    `begin` is a multiple of 4. Looks block by block: a mark near `begin` is found without reading
    on, so that no file, however odd, makes `salvage` slow.
    """
    for block in range(begin, end - 3, _BLOCK):
        hits = np.frombuffer(data, "<u4", (min(block + _BLOCK, end) - block) // 4, block) == MARK
        first = int(hits.argmax())
        if hits[first]:
            return block + 4 * first
    return end


def _framed(payload: bytes) -> bytes:
    """Return the record of `payload`: cut at its marks, framed and padded."""
    frames: list[bytes] = []
    begin = 0
    while (cut := _find_mark(payload, begin, len(payload))) < len(payload):
        cflag = _MIDDLE if frames else _FIRST
        frames += [_FRAME.pack(MARK, cflag << 29 | cut - begin), payload[begin:cut]]
        begin = cut + 4
    cflag = _LAST if frames else _WHOLE
    frames += [_FRAME.pack(MARK, cflag << 29 | len(payload) - begin), payload[begin:]]
    return b"".join(frames) + bytes(_padded(len(payload)) - len(payload))


def _index_beside(path: Path) -> Path | None:
    index = path.with_suffix(".idx")
    return index if index.exists() else None


def _read_index(index: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the keys and offsets of an `.idx` file; both empty when it is not one."""
    try:
        table = np.fromiter(map(int, index.read_bytes().split()), np.int64).reshape(-1, 2)
    except OSError as cause:
        raise RecordError(f"{index}: {cause.strerror or cause}") from cause
    except (ValueError, OverflowError):
        table = np.empty((0, 2), np.int64)
    return table[:, 0], table[:, 1]


def _known_keys(path: Path) -> dict[int, int]:
    """Return the key that the `.idx` beside `path`, if any, gives to the record at each offset."""
    index = _index_beside(path)
    if index is None:
        return {}
    keys, offsets = _read_index(index)
    return dict(zip(offsets.tolist(), keys.tolist(), strict=True))
