"""TIFF layouts that Pillow lacks or gets wrong: CMYK with alpha, 16-bit planes, and others."""

import io
import struct
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hangtag.dataset.pixel_limit import check_size, max_pixels
from hangtag.dataset.resize import lab_to_rgb, shrunk_by_rows
from hangtag.dataset.tiff import CONTIGUOUS, PLANAR, Page, Tag
from hangtag.errors import ImageError


class Colours(IntEnum):
    """What the samples mean (PhotometricInterpretation)."""

    WHITE_IS_ZERO = 0
    BLACK_IS_ZERO = 1
    RGB = 2
    PALETTE = 3
    CMYK = 5
    LAB = 8
    ICC_LAB = 9


_COLOUR_SAMPLES: Final = {
    Colours.WHITE_IS_ZERO: 1, Colours.BLACK_IS_ZERO: 1, Colours.RGB: 3, Colours.PALETTE: 1,
    Colours.CMYK: 4, Colours.LAB: 3, Colours.ICC_LAB: 3,
}  # fmt: skip
_PREMULTIPLIED, _STRAIGHT = 1, 2  # alpha among the extra samples
_NO_PREDICTOR, _HORIZONTAL = 1, 2
_BLOCK_PIXELS: Final = 2**18
_SHORT, _LONG = 3, 4  # types of values


class Samples:
    """The pixels of a page in any layout, read row by row. Raises ImageError.

    A compression of bytes does not care what they mean: to Pillow, and so to libtiff, each row (of
    each plane, where the file has one per sample) is shown as so many bytes of grey. What they mean
    is our part.
    """

    def __init__(self, data: bytes, page: Page, limit: int) -> None:
        """`limit`: of pixels."""
        self._page = page
        self._check()
        check_size(page.size, limit)
        self._planes: list[Image.Image] = []
        count = len(page.bits) if self._is_planar else 1
        stored = ((page.size[0] * self._samples * page.bits[0] + 7) // 8, page.size[1])
        with max_pixels(stored[0] * stored[1]):
            for plane in range(count):
                file = io.BytesIO(_as_bytes(data, page, plane, count, stored))
                with Image.open(file, formats=["TIFF"]) as image:
                    image.load()
                self._planes.append(image)

    def shrunk(self, longest: int) -> Image.Image:
        """Return the page as RGBA, its longest side at most `longest`, not turned upright."""
        return shrunk_by_rows(self._page.size, self._rows, longest)

    def _check(self) -> None:
        page = self._page
        width, height = page.size
        layout = (
            f"TIFF with {len(page.bits)} samples of {page.bits[:1] or (0,)} bits, colours "
            f"{page.first(Tag.COLOURS, 0)}, compression {page.first(Tag.COMPRESSION, 1)}"
        )
        if page.first(Tag.SAMPLE_FORMAT, 1) == 3:
            raise ImageError("unreadable", "floating-point pixels have no agreed range")
        needed = _COLOUR_SAMPLES.get(page.first(Tag.COLOURS, 0))  # type: ignore[call-overload]
        if (
            needed is None
            or not needed <= len(page.bits) <= 64
            or set(page.bits) - {page.bits[0]}
            or page.bits[0] not in (1, 2, 4, 8, 16, 32)
            or page.first(Tag.SAMPLE_FORMAT, 1) not in (1, 4)
            or page.is_opaque_to_us
            or page.first(Tag.PREDICTOR, _NO_PREDICTOR) not in (_NO_PREDICTOR, _HORIZONTAL)
            or not width
            or not height
        ):
            raise ImageError("unreadable", f"{layout}: not a layout that hangtag reads")

    @property
    def _is_planar(self) -> bool:
        return self._page.first(Tag.PLANAR, CONTIGUOUS) == PLANAR and len(self._page.bits) > 1

    @property
    def _samples(self) -> int:
        """Samples side by side in a plane."""
        return 1 if self._is_planar else len(self._page.bits)

    def _rows(self, top: int, bottom: int) -> Image.Image:
        """Return these rows in mode RGBa."""
        width = self._page.size[0]
        rows = np.empty((bottom - top, width, 4), np.uint8)
        step = max(1, _BLOCK_PIXELS // width)
        for start in range(top, bottom, step):
            end = min(bottom, start + step)
            rows[start - top : end - top] = self._colours(self._values(start, end))
        return Image.fromarray(rows).convert("RGBa")

    def _values(self, top: int, bottom: int) -> NDArray[np.uint32]:
        """Return the samples of these rows, (rows, width, samples)."""
        width, bits = self._page.size[0], self._page.bits[0]
        parts = []
        for plane in self._planes:
            with max_pixels(plane.width * plane.height):  # the page's own have been checked
                stored = np.asarray(plane.crop((0, top, plane.width, bottom)))
            if bits < 8:
                single = np.unpackbits(stored, axis=1)[:, : width * self._samples * bits]
                weights = 1 << np.arange(bits - 1, -1, -1, dtype=np.uint8)
                values = single.reshape(bottom - top, width, self._samples, bits) @ weights
            else:
                kind = np.dtype(f"{self._page.byte_order}u{bits // 8}")
                values = np.ascontiguousarray(stored).view(kind)
                values = values.reshape(bottom - top, width, self._samples)
                if self._page.first(Tag.PREDICTOR, _NO_PREDICTOR) == _HORIZONTAL:
                    values = self._summed(values.astype(kind.newbyteorder("=")))
            parts.append(values)
        return np.concatenate(parts, axis=2).astype(np.uint32)

    def _summed(self, values: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Undo the horizontal predictor, which begins anew in each tile."""
        width = self._page.size[0]
        step = self._page.first(Tag.TILE_WIDTH, width)
        for left in range(0, width, step):
            block = values[:, left : left + step]
            np.cumsum(block, axis=1, dtype=values.dtype, out=block)
        return values

    def _colours(self, values: NDArray[np.uint32]) -> NDArray[np.uint8]:
        """Return samples as RGBA with straight alpha."""
        page, top = self._page, 2 ** self._page.bits[0] - 1
        kind = Colours(page.first(Tag.COLOURS, 0))
        count = _COLOUR_SAMPLES[kind]
        colours, extra = values[..., :count], values[..., count:]
        meaning = self._alpha(kind, extra.shape[2])
        alpha = None if meaning is None else extra[..., meaning[0]]
        if alpha is not None and meaning is not None and meaning[1] == _PREMULTIPLIED:
            divided = colours.astype(np.uint64) * top // np.maximum(alpha, 1)[..., None]
            colours = np.minimum(divided, top).astype(np.uint32)
        rgba = np.empty((*values.shape[:2], 4), np.uint8)
        rgba[..., :3] = self._rgb(kind, colours)
        rgba[..., 3] = 255 if alpha is None else self._eight_bit(alpha)
        return rgba

    def _alpha(self, kind: Colours, extra: int) -> tuple[int, int] | None:
        """Return which extra sample is alpha, and of which kind; None where none is."""
        meanings = self._page.tags.get(Tag.EXTRA_SAMPLES, ())
        if not meanings and extra == 1 and kind != Colours.CMYK:
            return 0, _STRAIGHT  # old programs leave the tag out; in CMYK it may be a spot colour
        for place, meaning in enumerate(meanings[:extra]):
            if meaning in (_PREMULTIPLIED, _STRAIGHT):
                return place, meaning
        return None

    def _eight_bit(self, values: NDArray[np.uint32]) -> NDArray[np.uint8]:
        bits = self._page.bits[0]
        scaled = values * 255 // (2**bits - 1) if bits < 8 else values >> (bits - 8)
        return scaled.astype(np.uint8)

    def _rgb(self, kind: Colours, colours: NDArray[np.uint32]) -> NDArray[np.uint8]:
        if kind == Colours.PALETTE:
            return self._palette()[colours[..., 0]]
        eight = self._eight_bit(colours)
        if kind == Colours.WHITE_IS_ZERO:
            return 255 - eight
        if kind == Colours.CMYK:
            image = _image("CMYK", eight)
            return np.asarray(image.convert("RGB"))
        if kind in (Colours.LAB, Colours.ICC_LAB):
            if kind == Colours.ICC_LAB:
                eight[..., 1:] ^= 128  # Pillow takes the signed numbers of Colours.LAB
            return np.asarray(lab_to_rgb(_image("LAB", eight)))
        return eight

    def _palette(self) -> NDArray[np.uint8]:
        values = np.array(self._page.tags.get(Tag.PALETTE, (0,)), np.uint32)
        shift = 8 if values.max() > 255 else 0  # some programs store 8 bits
        colours = (values[: values.size // 3 * 3].reshape(3, -1) >> shift).T.astype(np.uint8)
        table = np.zeros((2 ** min(16, self._page.bits[0]), 3), np.uint8)
        table[: len(colours)] = colours[: len(table)]
        return table


def _image(mode: str, pixels: NDArray[np.uint8]) -> Image.Image:
    return Image.frombytes(mode, pixels.shape[1::-1], pixels.tobytes())


def _as_bytes(data: bytes, page: Page, plane: int, planes: int, size: tuple[int, int]) -> bytes:
    """Return a TIFF of 8-bit grey, `size` bytes wide, that has a page's compressed data.

    The directory is put behind the data, so that all of that stays where it is.
    """
    tags: dict[Tag, tuple[int, ...]] = {
        Tag.WIDTH: size[:1], Tag.HEIGHT: size[1:], Tag.BITS: (8,), Tag.COLOURS: (1,),
        Tag.COMPRESSION: (page.first(Tag.COMPRESSION, 1),), Tag.SAMPLES: (1,),
        Tag.FILL_ORDER: (page.first(Tag.FILL_ORDER, 1),), Tag.PLANAR: (CONTIGUOUS,),
    }  # fmt: skip
    offsets, lengths = Tag.STRIP_OFFSETS, Tag.STRIP_BYTES
    if Tag.TILE_WIDTH in page.tags:
        offsets, lengths = Tag.TILE_OFFSETS, Tag.TILE_BYTES
        # Whole bytes: a tile is a multiple of 16 pixels wide.
        bytes_of_pixels = page.bits[0] * (1 if planes > 1 else len(page.bits))
        tags[Tag.TILE_WIDTH] = (page.first(Tag.TILE_WIDTH, 0) * bytes_of_pixels // 8,)
        tags[Tag.TILE_HEIGHT] = (page.first(Tag.TILE_HEIGHT, 0),)
    else:
        tags[Tag.STRIP_ROWS] = (min(size[1], page.first(Tag.STRIP_ROWS, size[1])),)
    starts = page.tags.get(offsets) or page.tags.get(Tag.STRIP_OFFSETS, ())
    share = len(starts) // planes
    part = slice(plane * share, (plane + 1) * share)
    tags[offsets] = starts[part]
    tags[lengths] = (page.tags.get(lengths) or page.tags.get(Tag.STRIP_BYTES, ()))[part]
    if not tags[lengths] and share == 1:  # old programs leave it out
        tags[lengths] = (len(data) - tags[offsets][0],)
    if not share or len(tags[lengths]) != share:
        raise ImageError("unreadable", "TIFF does not say where its pixels are")
    return b"II*\0" + struct.pack("<I", len(data)) + data[8:] + _directory(tags, len(data))


def _directory(tags: dict[Tag, tuple[int, ...]], offset: int) -> bytes:
    """Return the image file directory of `tags`, to be put at `offset` of a little-endian file."""
    entries = values = b""
    after = offset + 2 + 12 * len(tags) + 4
    for tag, numbers in sorted(tags.items()):
        kind, letter = (_SHORT, "H") if tag in (Tag.BITS, Tag.COMPRESSION) else (_LONG, "I")
        stored = struct.pack(f"<{len(numbers)}{letter}", *numbers)
        if len(stored) > 4:
            stored, values = struct.pack("<I", after + len(values)), values + stored
        entries += struct.pack("<HHI", tag, kind, len(numbers)) + stored.ljust(4, b"\0")
    return struct.pack("<H", len(tags)) + entries + bytes(4) + values
