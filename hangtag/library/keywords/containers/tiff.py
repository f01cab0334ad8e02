"""TIFF and BigTIFF: XMP in tag 700, IPTC in tag 33723 of the first directory.

New values are appended to the file. An entry that is there already is pointed to its new value; for
a further one a new directory is appended and the header pointed to it. Nothing else moves, so every
other offset holds. Sources: TIFF 6.0, section 2; XMP specification part 3, section 1.1.6.
"""

import struct
from dataclasses import dataclass
from typing import Final

from hangtag.library.keywords.containers import Parts, Splice

_TAG_XMP, _TAG_IIM = 700, 33723
_BYTE, _LONG, _UNDEFINED = 1, 4, 7
_SIZES: Final = {_BYTE: 1, 2: 1, _LONG: 4, _UNDEFINED: 1}


@dataclass(frozen=True)
class _Entry:
    tag: int
    kind: int
    count: int
    at: int
    """Where its bytes begin."""
    start: int
    """Where its value begins."""
    end: int


@dataclass(frozen=True)
class _Directory:
    order: str
    is_big: bool
    at: int
    """Where its first entry begins."""
    entries: dict[int, _Entry]
    raw: bytes
    """All entries."""
    after: bytes
    """The offset of the next directory."""

    @property
    def word(self) -> str:
        return self.order + ("Q" if self.is_big else "I")

    @property
    def entry_size(self) -> int:
        return 20 if self.is_big else 12

    def entry(self, tag: int, kind: int, length: int, offset: int) -> bytes:
        """Return the bytes of an entry whose value is at an offset."""
        count = length // _SIZES[kind]
        word = "Q" if self.is_big else "I"
        return struct.pack(f"{self.order}HH{word}{word}", tag, kind, count, offset)


def read(data: bytes) -> Parts:
    """Return the metadata of a TIFF. Raises ValueError."""
    entries = _directory(data).entries
    parts = Parts()
    if _TAG_XMP in entries:
        found = entries[_TAG_XMP]
        parts.xmp, parts.xmp_span = data[found.start : found.end], (found.start, found.end)
    if _TAG_IIM in entries:
        found = entries[_TAG_IIM]
        value = data[found.start : found.end]
        parts.iim = value if value[:1] == b"\x1c" else None
    return parts


def splices(data: bytes, xmp: bytes | None, iim: bytes | None) -> list[Splice]:
    """Return the changes to other metadata; without `xmp` the tag becomes blank. Raises ValueError.

    A tag cannot be taken out without a new directory, so it stays, with blanks.
    """
    directory = _directory(data)
    values = {_TAG_XMP: b" " * 16 if xmp is None else xmp}
    old = directory.entries.get(_TAG_IIM)
    if iim is not None and old and data[old.start : old.end].rstrip(b"\0") != iim.rstrip(b"\0"):
        values[_TAG_IIM] = iim
    tail, made, added = b"\0" * (len(data) % 2), [], b""
    for tag, value in values.items():
        entry = directory.entries.get(tag)
        kind = entry.kind if entry else _BYTE
        value += b"\0" * (-len(value) % _SIZES[kind])
        made_entry = directory.entry(tag, kind, len(value), len(data) + len(tail))
        tail += value + b"\0" * (len(value) % 2)
        if entry:
            made.append(Splice(entry.at, entry.at + directory.entry_size, made_entry))
        else:
            added = made_entry
    if added:
        start = len(data) + len(tail)
        tail += _longer(directory, added, made)
        made = [_header(directory, start)]
    return [*made, Splice(len(data), len(data), tail)]


def _longer(directory: _Directory, added: bytes, changed: list[Splice]) -> bytes:
    """Return a directory with a further entry, in the order of tags."""
    size = directory.entry_size
    raw = directory.raw
    for splice in changed:
        at = splice.start - directory.at
        raw = raw[:at] + splice.data + raw[at + size :]
    entries = [raw[at : at + size] for at in range(0, len(raw), size)] + [added]
    entries.sort(key=lambda one: int(struct.unpack(directory.order + "H", one[:2])[0]))
    count = struct.pack(directory.order + ("Q" if directory.is_big else "H"), len(entries))
    return count + b"".join(entries) + directory.after


def _header(directory: _Directory, offset: int) -> Splice:
    if not directory.is_big and offset >= 1 << 32:
        raise ValueError("larger than 4 GB")
    at = 8 if directory.is_big else 4
    packed = struct.pack(directory.word, offset)
    return Splice(at, at + len(packed), packed)


def _directory(data: bytes) -> _Directory:
    order = {b"II": "<", b"MM": ">"}[data[:2]]
    is_big = struct.unpack(order + "H", data[2:4])[0] == 43
    word, size = ("Q", 8) if is_big else ("I", 4)
    try:
        (start,) = struct.unpack_from(order + word, data, size)
        (count,) = struct.unpack_from(order + ("Q" if is_big else "H"), data, start)
        at = start + (8 if is_big else 2)
        entry_size = 20 if is_big else 12
        end = at + count * entry_size
        raw, after = data[at:end], data[end : end + size]
        if len(raw) < count * entry_size or len(after) < size or not count:
            raise ValueError("damaged or cut off")
        entries = {}
        for number in range(count):
            where = at + number * entry_size
            tag, kind, length = struct.unpack_from(f"{order}HH{word}", data, where)
            if tag in (_TAG_XMP, _TAG_IIM):
                entries[tag] = _entry(data, order + word, (tag, kind, length), where)
    except struct.error as cause:
        raise ValueError("damaged or cut off") from cause
    return _Directory(order, is_big, at, entries, raw, after)


def _entry(data: bytes, word: str, head: tuple[int, int, int], at: int) -> _Entry:
    tag, kind, count = head
    if kind not in _SIZES:
        raise ValueError(f"tag {tag} has an odd type")
    value = at + 4 + struct.calcsize(word)
    length = count * _SIZES[kind]
    start = value if length <= struct.calcsize(word) else struct.unpack_from(word, data, value)[0]
    if start + length > len(data):
        raise ValueError("damaged or cut off")
    return _Entry(tag, kind, count, at, start, start + length)
