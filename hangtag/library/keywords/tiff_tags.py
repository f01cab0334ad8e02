"""Tags in the first directory of a TIFF, as bytes; EXIF is a TIFF as well.

Pillow gives values instead, and only the first of those that old programs write as 32-bit numbers.
Source: TIFF 6.0, section 2; BigTIFF (magic number 43).
"""

import struct
from collections.abc import Collection
from typing import BinaryIO, Final

# Bytes of a value of each type, by its number.
_SIZES: Final = dict(enumerate((1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8), start=1))
_MAX_BYTES: Final = 64 << 20


def tag_bytes(file: BinaryIO, wanted: Collection[int]) -> tuple[dict[int, bytes], bool]:
    """Return the bytes of the `wanted` tags that exist, and whether all could be read.

    `file` is positioned at the beginning of the TIFF. Raises ValueError for anything else.
    """
    base = file.tell()
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        raise ValueError("not TIFF")
    is_big = struct.unpack(f"{order}H", head[2:4])[0] == 43
    word, count_size = ("Q", 8) if is_big else ("I", 2)
    offset = head[8:16] if is_big else head[4:8]
    if len(offset) < (8 if is_big else 4):
        raise ValueError("not TIFF")
    file.seek(base + struct.unpack(order + word, offset)[0])
    number = file.read(count_size)
    if len(number) < count_size:
        raise ValueError("no directory")
    entries = struct.unpack(order + ("Q" if is_big else "H"), number)[0]
    size = 20 if is_big else 12
    table = file.read(min(entries, 1 << 16) * size)
    found, is_whole = {}, len(table) == entries * size
    for tag, kind, count, value in struct.iter_unpack(
        f"{order}HH{word}{struct.calcsize(word)}s", table[: len(table) // size * size]
    ):
        if tag not in wanted:
            continue
        length = count * _SIZES.get(kind, 0)
        if length > len(value):
            file.seek(base + struct.unpack(order + word, value)[0])
            value = file.read(min(length, _MAX_BYTES))
        found[tag] = value[:length]
        is_whole &= 0 < length == len(found[tag]) or not count
    return found, is_whole
