"""PNG and APNG: XMP in a chunk iTXt before the pixels.

Sources: PNG specification, third edition, sections 5.3 and 11.3.3; XMP specification part 3,
section 1.1.5. IPTC has no place in PNG but ImageMagick's raw profiles, which stay as they are.
"""

import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from hangtag.library.keywords.containers import Parts, Splice

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_KEY: Final = b"XML:com.adobe.xmp\0"
_MAX_TEXT: Final = 64 << 20


class _Chunk(NamedTuple):
    kind: bytes
    start: int
    end: int
    data: bytes


def read(data: bytes) -> Parts:
    """Return the metadata of a PNG. Raises ValueError."""
    found = _packet(list(_chunks(data)))
    if found is None:
        return Parts()
    return Parts(_text(found.data), (found.start, found.end))


def splices(data: bytes, xmp: bytes | None, iim: bytes | None) -> list[Splice]:
    """Return the changes to another packet; without `xmp` it goes. Raises ValueError."""
    chunks = list(_chunks(data))
    found = _packet(chunks)
    new = b"" if xmp is None else _chunk(b"iTXt", _KEY + b"\0\0\0\0" + xmp)
    if found is not None:
        return [Splice(found.start, found.end, new)]
    at = next(chunk.start for chunk in chunks if chunk.kind == b"IDAT")
    return [Splice(at, at, new)]


def _packet(chunks: list[_Chunk]) -> _Chunk | None:
    found = [one for one in chunks if one.kind == b"iTXt" and one.data.startswith(_KEY)]
    if len(found) > 1:
        raise ValueError("it has several XMP packets")
    return found[0] if found else None


def _text(data: bytes) -> bytes:
    """Return the text of a chunk iTXt: flag, method, language, translated key, text."""
    rest = data[len(_KEY) :]
    is_packed = rest[:1] == b"\1"
    fields = rest[2:].split(b"\0", 2)
    if len(fields) < 3:
        raise ValueError("damaged XMP chunk")
    if not is_packed:
        return fields[2]
    packed = zlib.decompressobj()
    try:
        text = packed.decompress(fields[2], _MAX_TEXT)
    except zlib.error as cause:
        raise ValueError("damaged XMP chunk") from cause
    if not packed.eof:
        raise ValueError("damaged XMP chunk")
    return text


def _chunks(data: bytes) -> Iterator[_Chunk]:
    """Yield the chunks up to IEND; what follows it is no part of the image."""
    at = len(_SIGNATURE)
    kinds = set()
    while True:
        length = int.from_bytes(data[at : at + 4], "big")
        kind, end = data[at + 4 : at + 8], at + 12 + length
        if len(kind) < 4 or not kind.isalpha() or end > len(data):
            raise ValueError("damaged or cut off")
        is_text = kind == b"iTXt"
        yield _Chunk(kind, at, end, data[at + 8 : end - 4] if is_text else b"")
        kinds.add(kind)
        if kind == b"IEND":
            if b"IDAT" not in kinds:
                raise ValueError("damaged: no pixels")
            return
        at = end


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data).to_bytes(4, "big")
    return len(data).to_bytes(4, "big") + kind + data + checksum
