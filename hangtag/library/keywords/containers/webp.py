"""WebP: XMP in a chunk at the end, announced by a flag of VP8X, which simple files lack.

Sources: RFC 9649, sections 2.3 to 2.7; RFC 6386, section 9.1 (VP8); RFC 9649, section 3.4 (VP8L).
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from hangtag.library.keywords.containers import Parts, Splice

_FLAG_XMP, _FLAG_ALPHA = 0x04, 0x10
_KIND: Final = b"XMP "


class _Chunk(NamedTuple):
    kind: bytes
    start: int
    end: int
    """Padding included."""
    data: bytes


def read(data: bytes) -> Parts:
    """Return the metadata of a WebP. Raises ValueError."""
    found = _packet(list(_chunks(data)))
    return Parts() if found is None else Parts(found.data, (found.start, found.end))


def splices(data: bytes, xmp: bytes | None, iim: bytes | None) -> list[Splice]:
    """Return the changes to another packet; without `xmp` it goes. Raises ValueError."""
    chunks = list(_chunks(data))
    found = _packet(chunks)
    new = b"" if xmp is None else _chunk(_KIND, xmp)
    end = chunks[-1].end
    made = [Splice(*(found[1:3] if found else (end, end)), new)]
    first = chunks[0]
    if first.kind == b"VP8X":
        flags = first.data[0] & ~_FLAG_XMP | (_FLAG_XMP if xmp is not None else 0)
        if flags != first.data[0]:
            made.append(Splice(first.start + 8, first.start + 9, bytes((flags,))))
    elif xmp is not None:
        made.append(Splice(first.start, first.start, _extended_header(first)))
    grown = sum(len(one.data) - (one.end - one.start) for one in made)
    size = int.from_bytes(data[4:8], "little") + grown
    return [*made, Splice(4, 8, size.to_bytes(4, "little"))]


def _packet(chunks: list[_Chunk]) -> _Chunk | None:
    found = [one for one in chunks if one.kind == _KIND]
    if len(found) > 1:
        raise ValueError("it has several XMP packets")
    return found[0] if found else None


def _extended_header(first: _Chunk) -> bytes:
    """Return a chunk VP8X for a file with one frame."""
    data = first.data
    if first.kind == b"VP8L" and data[:1] == b"\x2f" and len(data) >= 5:
        bits = int.from_bytes(data[1:5], "little")
        width, height, alpha = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bits >> 28 & 1
    elif first.kind == b"VP8 " and data[3:6] == b"\x9d\x01\x2a" and len(data) >= 10:
        width = int.from_bytes(data[6:8], "little") & 0x3FFF
        height = int.from_bytes(data[8:10], "little") & 0x3FFF
        alpha = 0
    else:
        raise ValueError("damaged: no pixels after its headers")
    flags = _FLAG_XMP | (_FLAG_ALPHA if alpha else 0)
    sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return _chunk(b"VP8X", bytes((flags, 0, 0, 0)) + sizes)


def _chunks(data: bytes) -> Iterator[_Chunk]:
    end_of_file = 8 + int.from_bytes(data[4:8], "little")
    if end_of_file > len(data) or end_of_file < 20:
        raise ValueError("damaged or cut off")
    at = 12
    while at < end_of_file:
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + length + length % 2
        if end > end_of_file:
            raise ValueError("damaged or cut off")
        yield _Chunk(data[at : at + 4], at, end, data[at + 8 : at + 8 + length])
        at = end


def _chunk(kind: bytes, data: bytes) -> bytes:
    return kind + len(data).to_bytes(4, "little") + data + b"\0" * (len(data) % 2)
