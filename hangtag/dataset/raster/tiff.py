"""The pages of a TIFF: their layout, and whether Pillow shows their colours correctly.

https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf, and BigTIFF:
https://www.awaresystems.be/imaging/tiff/bigtiff.html
"""

import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

MAX_PAGES: Final = 256


class Tag(IntEnum):
    """The tags that define how pixels are stored."""

    KIND = 254
    OLD_KIND = 255
    WIDTH = 256
    HEIGHT = 257
    BITS = 258
    COMPRESSION = 259
    COLOURS = 262
    FILL_ORDER = 266
    STRIP_OFFSETS = 273
    ORIENTATION = 274
    SAMPLES = 277
    STRIP_ROWS = 278
    STRIP_BYTES = 279
    PLANAR = 284
    PREDICTOR = 317
    PALETTE = 320
    TILE_WIDTH = 322
    TILE_HEIGHT = 323
    TILE_OFFSETS = 324
    TILE_BYTES = 325
    SUB_PAGES = 330
    EXTRA_SAMPLES = 338
    SAMPLE_FORMAT = 339


WHITE_IS_ZERO: Final = 0  # of Tag.COLOURS
CONTIGUOUS, PLANAR = 1, 2  # of Tag.PLANAR
_TAGS: Final = frozenset(Tag)
_PACKED_BITS: Final = range(9, 16)  # cameras' and scanners'; Pillow shows 12 as if they were 16
_MOST_SAMPLES: Final = 6
_REDUCED_OR_MASK: Final = 0b101
_TYPES: Final = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}  # the unsigned integers
# Compressions of plain bytes: none, LZW, Deflate (two numbers), PackBits, LZMA, Zstandard.
_OF_BYTES: Final = (1, 5, 8, 32946, 32773, 34925, 50000)


@dataclass(frozen=True)
class Page:
    """One image file directory of a TIFF."""

    offset: int
    byte_order: str
    """"<" or ">", as in `struct`."""
    is_big: bool
    """Whether the file is a BigTIFF."""
    tags: dict[int, tuple[int, ...]] = field(repr=False)

    def first(self, tag: Tag, default: int) -> int:
        """Return the first value of a tag, or `default` if it is missing."""
        return self.tags.get(tag, (default,))[0]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) as stored, before it is turned upright."""
        return self.first(Tag.WIDTH, 0), self.first(Tag.HEIGHT, 0)

    @property
    def bits(self) -> tuple[int, ...]:
        """Bits of each sample."""
        bits, samples = self.tags.get(Tag.BITS, (1,)), self.first(Tag.SAMPLES, 1)
        return bits * samples if len(bits) == 1 and samples < 2**8 else bits[:samples]

    @property
    def is_part(self) -> bool:
        """Whether this is a thumbnail or a mask of another page."""
        kind = self.first(Tag.KIND, 0)
        return bool(kind & _REDUCED_OR_MASK) or self.first(Tag.OLD_KIND, 1) == 2

    @property
    def is_planar(self) -> bool:
        """Whether each sample is stored in a plane of its own."""
        return self.first(Tag.PLANAR, CONTIGUOUS) == PLANAR and len(self.bits) > 1

    @property
    def is_beyond_pillow(self) -> bool:
        """Whether Pillow cannot open this layout, or shows wrong colours."""
        if self.is_big and self.byte_order == ">":
            return True
        deep = max(self.bits, default=1) > 8
        inverted = self.first(Tag.COLOURS, 0) == WHITE_IS_ZERO
        integers = self.first(Tag.SAMPLE_FORMAT, 1) == 1
        if self.first(Tag.SAMPLES, 1) > _MOST_SAMPLES:  # Pillow writes a line to the log
            return True
        if any(bits in _PACKED_BITS for bits in self.bits):
            return not self.needs_meaning
        planar = self.first(Tag.PLANAR, CONTIGUOUS) == PLANAR
        return (planar or (deep and integers and inverted)) and not self.needs_meaning

    @property
    def needs_meaning(self) -> bool:
        """Whether its compression needs to know what the samples mean (JPEG, fax, ...)."""
        return self.first(Tag.COMPRESSION, 1) not in _OF_BYTES

    def alone(self, data: bytes) -> bytes:
        """Return the file with this page as its first one."""
        if self.is_big:
            return data[:8] + struct.pack(f"{self.byte_order}Q", self.offset) + data[16:]
        start = struct.pack(f"{self.byte_order}I", self.offset)
        return data if data[4:8] == start else data[:4] + start + data[8:]


def pages(data: bytes) -> list[Page]:
    """Return the pages of a TIFF in order, thumbnails and masks after all others.

    Damage ends the list; without an intact page it is empty.
    """
    found: dict[int, Page] = {}
    try:
        order = "<" if data.startswith(b"II") else ">"
        is_big = data[2:4] in (b"+\0", b"\0+")
        (start,) = struct.unpack_from(f"{order}Q", data, 8) if is_big else struct.unpack_from(
            f"{order}I", data, 4
        )  # fmt: skip
        waiting = [start]
        while waiting and len(found) < MAX_PAGES:
            offset = waiting.pop(0)
            if offset and offset not in found:
                found[offset], following = _read_page(data, offset, order, is_big)
                waiting += [following, *found[offset].tags.get(Tag.SUB_PAGES, ())]
    except struct.error:
        pass
    return sorted(found.values(), key=lambda page: page.is_part)


def _read_page(data: bytes, offset: int, order: str, is_big: bool) -> tuple[Page, int]:
    """Return the page whose directory is at `offset`, and the offset of the next directory."""
    count_type, entry_type, inline = ("Q", "HHQ", 8) if is_big else ("H", "HHI", 4)
    (count,) = struct.unpack_from(order + count_type, data, offset)
    at = offset + struct.calcsize(count_type)
    step = struct.calcsize("=" + entry_type) + inline
    tags = {}
    for _ in range(min(count, 2**12)):
        tag, kind, values = struct.unpack_from(order + entry_type, data, at)
        start = at + step - inline
        if kind in _TYPES and tag in _TAGS:
            length = values * struct.calcsize("=" + _TYPES[kind])
            if length > inline:
                (start,) = struct.unpack_from(order + ("Q" if is_big else "I"), data, start)
            if values and start + length <= len(data):
                tags[tag] = struct.unpack_from(f"{order}{values}{_TYPES[kind]}", data, start)
        at += step
    (following,) = struct.unpack_from(order + ("Q" if is_big else "I"), data, at)
    return Page(offset, order, is_big, tags), following
