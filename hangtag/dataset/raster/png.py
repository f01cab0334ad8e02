"""The chunks of a PNG: those of its pixels, checked; Apple's variant; the frames of an APNG.

https://www.w3.org/TR/png-3/
"""

import itertools
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from PIL import Image

from hangtag.dataset.raster.animation import Disposal, Frame
from hangtag.errors import ImageError

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_PIXELS: Final = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_OPTIONAL: Final = (b"eXIf", b"acTL", b"fcTL", b"fdAT", b"CgBI")  # left out if damaged
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of each colour type
_TRANSPARENT_BYTES: Final = {0: 2, 2: 6, 3: 1}  # fewest of tRNS; not allowed in other types
_CONTROL_BYTES: Final = 26  # length of fcTL
# The passes of Adam7: first column and row, step of columns and rows.
_PASSES: Final = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)
)  # fmt: skip


class Chunk(NamedTuple):
    """One chunk: its type of four letters, and all of its bytes, length and checksum included.

    The bytes are a view of the file, which saves a copy.
    """

    kind: bytes
    whole: bytes | memoryview

    @property
    def body(self) -> bytes:
        """The data of the chunk."""
        return bytes(self.whole[8:-4])


def made_chunk(kind: bytes, body: bytes) -> Chunk:
    """Return the chunk of this type and data."""
    checksum = zlib.crc32(body, zlib.crc32(kind))
    return Chunk(kind, struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum))


@dataclass(frozen=True)
class Png:
    """A PNG with correct checksums, without its metadata."""

    chunks: list[Chunk]
    is_apple: bool
    """Whether it has Apple's CgBI chunk: raw deflate, BGRA, premultiplied alpha."""

    @property
    def depth(self) -> int:
        """Bits of a channel, or of an index into the palette."""
        return self.chunks[0].body[8]

    @property
    def is_animated(self) -> bool:
        """Whether it has an animation (an acTL chunk before the pixels, and frames)."""
        kinds = [chunk.kind for chunk in self.chunks]
        return b"acTL" in kinds[: kinds.index(b"IDAT")] and b"fcTL" in kinds

    @property
    def hides_default_image(self) -> bool:
        """Whether the image that programs without APNG show is not part of the animation."""
        kinds = [chunk.kind for chunk in self.chunks]
        return self.is_animated and b"fcTL" not in kinds[: kinds.index(b"IDAT")]

    def still(self) -> bytes:
        """Return the default image as a PNG file."""
        kept = [chunk for chunk in self.chunks if chunk.kind in _PIXELS or chunk.kind == b"eXIf"]
        return written(_as_zlib(kept) if self.is_apple else kept)

    def frames(self) -> Iterator[Frame]:
        """Yield the frames of the animation, each as a PNG file.

        https://www.w3.org/TR/png-3/#apng-frame-based-animation
        """
        header = self.chunks[0].body
        colours = [chunk for chunk in self.chunks if chunk.kind in (b"PLTE", b"tRNS")]
        animation = (chunk for chunk in self.chunks if chunk.kind in (b"fcTL", b"IDAT", b"fdAT"))
        control: bytes | None = None
        for kind, group in itertools.groupby(animation, key=lambda chunk: chunk.kind):
            bodies = [chunk.body for chunk in group]
            if kind == b"fcTL":
                control = bodies[-1]
            elif control is not None and len(control) == _CONTROL_BYTES:
                width, height, left, top = struct.unpack_from(">4I", control, 4)
                part = [
                    made_chunk(b"IHDR", struct.pack(">II", width, height) + header[8:]),
                    *colours,
                ]
                pixels = bodies if kind == b"IDAT" else [body[4:] for body in bodies]
                part += [made_chunk(b"IDAT", body) for body in pixels] + [made_chunk(b"IEND", b"")]
                disposal = Disposal(min(control[24], Disposal.RESTORE))
                yield Frame(written(part), left, top, disposal, is_over=control[25] == 1)
                control = None


def checked(data: bytes) -> Png:
    """Return the chunks of a PNG that define its pixels, after checking their checksums.

    Pillow shows whatever a damaged IDAT inflates to, and refuses a design for a damaged comment;
    this does the opposite. Data after the end is ignored, and a missing end is accepted where all
    pixels are there. Raises ImageError, `corrupt` or `truncated`.
    https://www.w3.org/TR/png-3/#5CRC-algorithm
    """
    chunks: list[Chunk] = []
    for offset, kind, whole, is_whole in _raw_chunks(data):
        if kind in _PIXELS and not is_whole:
            raise ImageError(
                "corrupt", f"PNG chunk {kind.decode()} at byte {offset} has a wrong checksum"
            )
        if is_whole and (kind in _PIXELS or kind in _OPTIONAL):
            chunks.append(Chunk(kind, whole))
    kinds = [chunk.kind for chunk in chunks]
    if b"IHDR" not in kinds or b"IDAT" not in kinds:
        raise ImageError("truncated", f"PNG ends early, after {len(data):,} bytes")
    if kinds[-1] != b"IEND":  # where pixels are missing too, the decoder says so
        chunks.append(made_chunk(b"IEND", b""))
    header = kinds.index(b"IHDR")
    rest = [chunk for chunk in chunks[header + 1 :] if _is_possible(chunk, chunks[header].body)]
    return Png([chunks[header], *rest], is_apple=b"CgBI" in kinds[:header])


def written(chunks: list[Chunk]) -> bytes:
    """Return a PNG file of `chunks`."""
    return b"".join([SIGNATURE, *(chunk.whole for chunk in chunks)])


def scale_transparent_colour(image: Image.Image, depth: int) -> None:
    """Scale a PNG's transparent grey or colour (tRNS) to the 8 bits that Pillow compares.

    Pillow keeps only the high bytes of 16-bit colours, so all colours with the same high bytes
    become transparent.
    https://www.w3.org/TR/png-3/#11tRNS
    """
    transparent = image.info.get("transparency")
    if image.mode == "L" and isinstance(transparent, int):
        image.info["transparency"] = transparent * 255 // (2**depth - 1)
    elif image.mode == "RGB" and isinstance(transparent, tuple) and depth == 16:
        image.info["transparency"] = tuple(value >> 8 for value in transparent)


def in_usual_order(image: Image.Image) -> Image.Image:
    """Return the pixels of a CgBI file, BGRA with premultiplied alpha or BGR, as RGBA or RGB."""
    if image.mode == "RGBA":
        blue, green, red, alpha = image.split()
        return Image.merge("RGBa", (red, green, blue, alpha)).convert("RGBA")
    if image.mode == "RGB":
        return Image.merge("RGB", image.split()[::-1])
    return image


def _raw_chunks(data: bytes) -> Iterator[tuple[int, bytes, memoryview, bool]]:
    """Yield offset, type, bytes and whether the checksum is right, until the end of a PNG."""
    view, offset = memoryview(data), len(SIGNATURE)
    kind, seen_pixels = b"", False
    while kind != b"IEND" and offset + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, offset)
        kind, end = data[offset + 4 : offset + 8], offset + 12 + length
        if not kind.isalpha():
            if seen_pixels:  # other data was appended instead of the end
                return
            raise ImageError("corrupt", f"PNG lacks a chunk at byte {offset}")
        if end > len(data):
            if kind == b"IDAT" or not seen_pixels:
                raise ImageError("truncated", f"PNG ends early, after {len(data):,} bytes")
            return
        if kind in _PIXELS or kind in _OPTIONAL:
            (checksum,) = struct.unpack_from(">I", data, end - 4)
            is_whole = zlib.crc32(view[offset + 4 : end - 4]) == checksum
            yield offset, kind, view[offset:end], is_whole
        seen_pixels |= kind == b"IDAT"
        offset = end


def _is_possible(chunk: Chunk, header: bytes) -> bool:
    """Return whether a chunk is valid in this PNG: decoders ignore a tRNS that is not."""
    if chunk.kind != b"tRNS" or len(header) < 13:
        return True
    fewest = _TRANSPARENT_BYTES.get(header[9])
    return fewest is not None and len(chunk.body) >= fewest


def _as_zlib(chunks: list[Chunk]) -> list[Chunk]:
    """Replace the raw deflate of a CgBI file by zlib, which all other PNG files have."""
    raw = b"".join(chunk.body for chunk in chunks if chunk.kind == b"IDAT")
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    # At most what the header declares, even if a small file inflates to more.
    pixels = inflater.decompress(raw, _inflated_bytes(chunks[0].body))
    stored = made_chunk(b"IDAT", zlib.compress(pixels, 0))
    before = [chunk for chunk in chunks if chunk.kind not in (b"IDAT", b"IEND")]
    return [*before, stored, made_chunk(b"IEND", b"")]


def _inflated_bytes(header: bytes) -> int:
    """Return how many bytes the pixels of a PNG with this IHDR have before compression."""
    width, height, bits, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    pixel_bits = bits * _CHANNELS[colour]
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    total = 0
    for left, top, across, down in passes:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * pixel_bits + 7) // 8)
    return total
