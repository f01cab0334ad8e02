"""How records are stored in the bytes of a `.rec` file, and their offsets in its `.idx`.

A record is a mark, a word with part flag (3 bits) and length (29 bits), the payload, and zeros up
to a multiple of 4, all little-endian. Where a payload holds the mark at a multiple of 4, the writer
cuts it out and continues the record in another part. So a mark at a multiple of 4 always begins a
part: this is how `salvage` finds records, and how a damaged length is detected.
Source: dmlc-core `recordio.h` and MXNet 1.9.1 `recordio.py`.
"""

import mmap
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hangtag.errors import RecordError
from hangtag.storage.mapping import release

MARK = 0xCED7230A
MARK_BYTES = struct.pack("<I", MARK)
MAX_PAYLOAD = 2**29 - 1  # header and labels included

_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_BEGINS, _CONTINUES = (_WHOLE, _FIRST), (_MIDDLE, _LAST)
_FRAME = struct.Struct("<II")  # mark, part flag << 29 | length
HEADER = struct.Struct("<IfQQ")  # flag (how many labels follow), label if flag is 0, id, id2
_BLOCK = 64 * 1024  # bytes searched for a mark at once
_INDEX_BYTES = 2**20  # of an index read at once: numbers as texts take ten times as much
_READS = 4096  # records after which the pages that were read are given back
_STARTS = 65_536  # records whose framing is checked at once


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """One record of an image file: labels, two ids and the encoded image.

    `labels` is float32 of shape (n,). `flag` is n as stored, or 0 if the file holds one plain label
    instead of an array (then n is 1); see `RecordWriter.write` for how to write either again.
    """

    key: int
    labels: NDArray[np.float32]
    id: int
    id2: int
    data: bytes
    flag: int


class RecordFile:
    """A memory-mapped `.rec` file. Every length is checked against its size before it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data: mmap.mmap | bytes = b""  # an empty file cannot be mapped
        self._reads = 0
        try:
            with path.open("rb") as file:
                if path.stat().st_size:
                    self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as cause:
            raise RecordError(f"{path}: {cause.strerror or cause}") from cause
        self.size = len(self.data)

    def close(self) -> None:
        # An array over the map can outlive its use, as in a traceback; it then closes the map.
        with suppress(BufferError):
            if isinstance(self.data, mmap.mmap):
                self.data.close()

    def damage(self, number: int, start: int, what: str) -> RecordError:
        remedy = "hangtag salvage FILE NEW_FILE keeps the undamaged records"
        return RecordError(f"{self.path}: record {number} at byte {start} {what}; {remedy}")

    def starts(self) -> NDArray[np.int64]:
        """Return the byte offset of every record, walking from one to the next."""
        starts: list[int] = []
        position = 0
        while position < self.size:
            starts.append(position)
            position = _padded(self.parts(position, len(starts) - 1)[-1][1])
        return np.array(starts, np.int64)

    def are_starts(self, starts: NDArray[np.int64]) -> bool:
        """Return whether sorted offsets are those of all records, each of one part.

        For a million records in a tenth of the time that it takes to walk through them.
        """
        outside = not len(starts) or starts[0] != 0 or starts[-1] > self.size - _FRAME.size
        if outside or self.size % 4 or (starts % 4).any():
            return False
        words = np.frombuffer(self.data, "<u4", self.size // 4)
        for begin in range(0, len(starts), _STARTS):
            block, after = starts[begin : begin + _STARTS], starts[begin + 1 : begin + 1 + _STARTS]
            first = block // 4
            following = words[first + 1].astype(np.int64)
            ends = (block + _FRAME.size + (following & MAX_PAYLOAD) + 3) & ~3
            if (words[first] != MARK).any() or (following >> 29 != _WHOLE).any():
                return False
            if not np.array_equal(ends, after if len(after) == len(block) else [*after, self.size]):
                return False
            release(self.data)
        return True

    def parts(self, start: int, number: int) -> list[tuple[int, int]]:
        """Return the (begin, end) offsets of each part of the record at `start`."""
        parts: list[tuple[int, int]] = []
        position = start
        while True:
            if position + _FRAME.size > self.size:
                raise self.damage(number, start, f"is cut off: the file ends at byte {self.size}")
            mark, word = _FRAME.unpack_from(self.data, position)
            cflag, length = word >> 29, word & MAX_PAYLOAD
            if mark != MARK:
                raise self.damage(number, start, f"lacks the RecordIO mark at byte {position}")
            if cflag not in (_CONTINUES if parts else _BEGINS):
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
        self._reads += 1
        if self._reads % _READS == 0:
            release(self.data)
        parts = self.parts(start, number)
        for begin, end in parts:
            if find_mark(self.data, begin, end) < end or any(self.data[end : _padded(end)]):
                raise self.damage(number, start, f"has a wrong length in its part at byte {begin}")
        payload = MARK_BYTES.join(self.data[begin:end] for begin, end in parts)
        if len(payload) < HEADER.size:
            what = f"holds {len(payload)} bytes, too few for the header of an image"
            raise self.damage(number, start, what)
        flag, _, id, id2 = HEADER.unpack_from(payload)
        body = HEADER.size + 4 * flag
        if len(payload) < body:
            what = f"holds {len(payload)} bytes, too few for the {flag} labels it declares"
            raise self.damage(number, start, what)
        at = HEADER.size if flag else 4
        labels = np.frombuffer(payload, "<f4", max(flag, 1), at).astype(np.float32)
        return Record(key, labels, id, id2, payload[body:], flag), _padded(parts[-1][1])

    def begins_record(self, offset: int) -> bool:
        """Return whether the mark and part flag at `offset` are those of the start of a record."""
        if offset % 4 or not 0 <= offset <= self.size - _FRAME.size:
            return False
        mark, word = _FRAME.unpack_from(self.data, offset)
        return mark == MARK and word >> 29 in _BEGINS

    def ends_cleanly(self, end: int) -> bool:
        """Return whether the bytes at `end` confirm that a record ends there.

        They do at the end of the file, at the start of another record or of its mark, or if only
        the mark of the next record is damaged: its length still leads to a mark or to the end of
        the file.
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


def find_mark(data: mmap.mmap | bytes, begin: int, end: int) -> int:
    """Return the offset of the first mark at a multiple of 4 from `begin` to `end`, or `end`.

    `begin` is a multiple of 4. The search goes block by block, so that it stops soon at a mark near
    `begin`, and no file makes `salvage` slow.
    """
    for block in range(begin, end - 3, _BLOCK):
        hits = np.frombuffer(data, "<u4", (min(block + _BLOCK, end) - block) // 4, block) == MARK
        first = int(hits.argmax())
        if hits[first]:
            return block + 4 * first
    return end


def framed(payload: bytes) -> bytes:
    """Return the record of `payload`: cut at its marks, framed and padded."""
    frames: list[bytes] = []
    begin = 0
    while (cut := find_mark(payload, begin, len(payload))) < len(payload):
        cflag = _MIDDLE if frames else _FIRST
        frames += [_FRAME.pack(MARK, cflag << 29 | cut - begin), payload[begin:cut]]
        begin = cut + 4
    cflag = _LAST if frames else _WHOLE
    frames += [_FRAME.pack(MARK, cflag << 29 | len(payload) - begin), payload[begin:]]
    return b"".join(frames) + bytes(_padded(len(payload)) - len(payload))


def index_beside(path: Path) -> Path | None:
    """Return the path of the `.idx` of a `.rec` file, None if it has none."""
    index = path.with_suffix(".idx")
    return index if index.exists() else None


def read_index(index: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the keys and offsets of an `.idx` file; both are empty if it is not one."""
    try:
        with index.open("rb") as file:
            blocks = [
                np.fromiter(map(int, b"".join(lines).split()), np.int64)
                for lines in iter(lambda: file.readlines(_INDEX_BYTES), [])
            ]
        table = np.concatenate([np.empty(0, np.int64), *blocks]).reshape(-1, 2)
    except OSError as cause:
        raise RecordError(f"{index}: {cause.strerror or cause}") from cause
    except (ValueError, OverflowError):
        table = np.empty((0, 2), np.int64)
    return table[:, 0], table[:, 1]


def known_keys(path: Path) -> dict[int, int]:
    """Return the keys of records by offset, from the `.idx` beside `path`, if any."""
    index = index_beside(path)
    if index is None:
        return {}
    keys, offsets = read_index(index)
    return dict(zip(offsets.tolist(), keys.tolist(), strict=True))
