"""TIFF layouts that Pillow lacks or shows wrongly: CMYK with alpha, 16-bit planes, and others."""

import io
import struct
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hangtag.dataset.raster.pixel_limit import check_size, max_pixels
from hangtag.dataset.raster.resize import lab_to_rgb, shrunk_by_rows
from hangtag.dataset.raster.tiff import CONTIGUOUS, Page, Tag
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
_UNSIGNED, _FLOAT, _UNKNOWN = 1, 3, 4  # sample formats
_BLOCK_PIXELS: Final = 2**18
_MOST_BYTES: Final = 16  # of a pixel: eight samples of 16 bits
_WHOLE_BYTES: Final = (8, 16, 32)  # bits of a sample; others are packed, the highest bit first
_SHORT, _LONG = 3, 4  # types of values


class Samples:
    """The pixels of a page in any layout, read row by row. Raises ImageError.

    Compressions of plain bytes do not depend on what the bytes mean. So Pillow, and through it
    libtiff, decodes each row (of each plane, if the file has one per sample) as bytes of grey, and
    this class interprets them.
    """

    def __init__(self, data: bytes, page: Page, limit: int) -> None:
        """`limit`: largest number of pixels."""
        self._page = page
        self._kind = _colours_of(page)
        check_size(page.size, limit)
        self._alpha = self._find_alpha()
        count = _COLOUR_SAMPLES[self._kind]
        needed = [*range(count), *([] if self._alpha is None else [count + self._alpha[0]])]
        planes = needed if self._page.is_planar else [0]
        stored = ((page.size[0] * self._samples * page.bits[0] + 7) // 8, page.size[1])
        check_size((stored[0] * len(planes), stored[1]), limit * _MOST_BYTES)
        self._planes: list[Image.Image] = []
        with max_pixels(stored[0] * stored[1]):
            for plane in planes:
                file = io.BytesIO(_as_bytes(data, page, plane, stored))
                with Image.open(file, formats=["TIFF"]) as image:
                    image.load()
                self._planes.append(image)
        # Index of alpha among the loaded samples.
        self._alpha_at = len(needed) - 1 if self._page.is_planar else needed[-1]

    def shrunk(self, longest: int) -> Image.Image:
        """Return the page as RGBA, its longest side at most `longest`, not turned upright."""
        return shrunk_by_rows(self._page.size, self._rows, longest)

    @property
    def _samples(self) -> int:
        """Samples side by side in a plane."""
        return 1 if self._page.is_planar else len(self._page.bits)

    def _rows(self, top: int, bottom: int) -> Image.Image:
        """Return these rows in mode RGBA."""
        width = self._page.size[0]
        rows = np.empty((bottom - top, width, 4), np.uint8)
        step = max(1, _BLOCK_PIXELS // width)
        for start in range(top, bottom, step):
            end = min(bottom, start + step)
            rows[start - top : end - top] = self._colours(self._values(start, end))
        return Image.fromarray(rows)

    def _values(self, top: int, bottom: int) -> NDArray[np.uint32]:
        """Return the samples of these rows, (rows, width, samples)."""
        width, bits = self._page.size[0], self._page.bits[0]
        parts = []
        for plane in self._planes:
            with max_pixels(plane.width * plane.height):  # the page's own size is checked
                stored = np.asarray(plane.crop((0, top, plane.width, bottom)))
            if bits not in _WHOLE_BYTES:
                single = np.unpackbits(stored, axis=1)[:, : width * self._samples * bits]
                weights = 1 << np.arange(bits - 1, -1, -1, dtype=np.uint32)
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
        """Undo the horizontal predictor, which restarts in each tile."""
        width = self._page.size[0]
        step = self._page.first(Tag.TILE_WIDTH, width)
        for left in range(0, width, step):
            block = values[:, left : left + step]
            np.cumsum(block, axis=1, dtype=values.dtype, out=block)
        return values

    def _colours(self, values: NDArray[np.uint32]) -> NDArray[np.uint8]:
        """Return samples as RGBA with straight alpha."""
        top = 2 ** self._page.bits[0] - 1
        colours = values[..., : _COLOUR_SAMPLES[self._kind]]
        rgba = np.empty((*values.shape[:2], 4), np.uint8)
        rgba[..., 3] = 255
        if self._alpha is not None:
            alpha = values[..., self._alpha_at]
            rgba[..., 3] = self._eight_bit(alpha)
            if self._alpha[1] == _PREMULTIPLIED:
                divided = colours.astype(np.uint64) * top // np.maximum(alpha, 1)[..., None]
                colours = np.minimum(divided, top).astype(np.uint32)
        rgba[..., :3] = self._rgb(colours)
        return rgba

    def _find_alpha(self) -> tuple[int, int] | None:
        """Return the index of alpha among the extra samples, and its kind; None without alpha."""
        extra = len(self._page.bits) - _COLOUR_SAMPLES[self._kind]
        meanings = self._page.tags.get(Tag.EXTRA_SAMPLES, ())
        if not meanings and extra == 1 and self._kind != Colours.CMYK:
            return 0, _STRAIGHT  # old programs omit the tag; in CMYK it may be a spot colour
        for index, meaning in enumerate(meanings[:extra]):
            if meaning in (_PREMULTIPLIED, _STRAIGHT):
                return index, meaning
        return None

    def _eight_bit(self, values: NDArray[np.uint32]) -> NDArray[np.uint8]:
        bits = self._page.bits[0]
        scaled = values * 255 // (2**bits - 1) if bits < 8 else values >> (bits - 8)
        return scaled.astype(np.uint8)

    def _rgb(self, colours: NDArray[np.uint32]) -> NDArray[np.uint8]:
        kind = self._kind
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
                eight[..., 1:] ^= 128  # Pillow expects the signed numbers of Colours.LAB
            return np.asarray(lab_to_rgb(_image("LAB", eight)))
        return eight

    def _palette(self) -> NDArray[np.uint8]:
        values = np.array(self._page.tags.get(Tag.PALETTE, (0,)), np.uint32)
        shift = 8 if values.max() > 255 else 0  # some programs store 8 bits
        colours = (values[: values.size // 3 * 3].reshape(3, -1) >> shift).T.astype(np.uint8)
        table = np.zeros((2 ** min(16, self._page.bits[0]), 3), np.uint8)
        table[: len(colours)] = colours[: len(table)]
        return table


def _colours_of(page: Page) -> Colours:
    """Return what the samples of a page mean. Raises ImageError for unsupported layouts."""
    if page.first(Tag.SAMPLE_FORMAT, _UNSIGNED) == _FLOAT:
        raise ImageError("unreadable", "floating-point pixels have no agreed range")
    bits, colours = page.bits, page.first(Tag.COLOURS, 0)
    compression = page.first(Tag.COMPRESSION, 1)
    if (
        colours not in set(Colours)
        or not _COLOUR_SAMPLES[Colours(colours)] <= len(bits)
        or len(set(bits)) > 1
        or bits[0] not in (*range(1, 17), 32)
        or (bits[0] > 8 and page.first(Tag.SAMPLE_FORMAT, _UNSIGNED) not in (_UNSIGNED, _UNKNOWN))
        or page.needs_meaning
        or page.first(Tag.PREDICTOR, _NO_PREDICTOR) not in (_NO_PREDICTOR, _HORIZONTAL)
        or not min(page.size)
    ):
        raise ImageError(
            "unreadable",
            f"TIFF with {len(bits)} samples of {bits[0] if bits else 0} bits, photometric "
            f"interpretation {colours}, compression {compression}: a layout that hangtag does not "
            "support; save it as RGB",
        )
    return Colours(colours)


def _image(mode: str, pixels: NDArray[np.uint8]) -> Image.Image:
    return Image.frombytes(mode, pixels.shape[1::-1], pixels.tobytes())


def _as_bytes(data: bytes, page: Page, plane: int, size: tuple[int, int]) -> bytes:
    """Return a TIFF of 8-bit grey with the compressed data of a page; its width is in bytes.

    The new directory is appended to the data, whose offsets stay the same.
    """
    tags: dict[Tag, tuple[int, ...]] = {
        Tag.WIDTH: size[:1], Tag.HEIGHT: size[1:], Tag.BITS: (8,), Tag.COLOURS: (1,),
        Tag.COMPRESSION: (page.first(Tag.COMPRESSION, 1),), Tag.SAMPLES: (1,),
        Tag.FILL_ORDER: (page.first(Tag.FILL_ORDER, 1),), Tag.PLANAR: (CONTIGUOUS,),
    }  # fmt: skip
    offsets, lengths = Tag.STRIP_OFFSETS, Tag.STRIP_BYTES
    planes = len(page.bits) if page.is_planar else 1
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
    if not tags[lengths] and share == 1:  # old programs omit it
        tags[lengths] = (len(data) - tags[offsets][0],)
    if not share or len(tags[lengths]) != share:
        raise ImageError("unreadable", "TIFF lacks the positions of its pixels")
    return b"II*\0" + struct.pack("<I", len(data)) + data[8:] + _directory(tags, len(data))


def _directory(tags: dict[Tag, tuple[int, ...]], offset: int) -> bytes:
    """Return the image file directory of `tags`, for `offset` in a little-endian file."""
    entries = values = b""
    after = offset + 2 + 12 * len(tags) + 4
    for tag, numbers in sorted(tags.items()):
        kind, letter = (_SHORT, "H") if tag in (Tag.BITS, Tag.COMPRESSION) else (_LONG, "I")
        stored = struct.pack(f"<{len(numbers)}{letter}", *numbers)
        if len(stored) > 4:
            stored, values = struct.pack("<I", after + len(values)), values + stored
        entries += struct.pack("<HHI", tag, kind, len(numbers)) + stored.ljust(4, b"\0")
    return struct.pack("<H", len(tags)) + entries + bytes(4) + values
