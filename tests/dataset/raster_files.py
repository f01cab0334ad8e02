"""Raster files made chunk by chunk, of kinds that Pillow does not write."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def header(width: int, height: int, colour: int = 6, interlaced: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, interlaced))


def rows(pixels: np.ndarray) -> bytes:
    """The bytes of a PNG before compression, unfiltered."""
    return b"".join(b"\0" + row.tobytes() for row in pixels)


def apng(size: int, *frames: tuple, default: np.ndarray | None = None) -> bytes:
    """An APNG of frames (pixels, left, top, disposal, blend); `default` is no frame of it."""
    parts = [b"\x89PNG\r\n\x1a\n", header(size, size), chunk(b"acTL", struct.pack(">II", 2, 0))]
    if default is not None:
        parts.append(chunk(b"IDAT", zlib.compress(rows(default))))
    number = 0
    for pixels, left, top, disposal, blend in frames:
        height, width = pixels.shape[:2]
        control = struct.pack(
            ">IIIIIHHBB", number, width, height, left, top, 1, 10, disposal, blend
        )
        data = zlib.compress(rows(pixels))
        is_first = number == 0 and default is None
        parts += [
            chunk(b"fcTL", control),
            chunk(b"IDAT", data)
            if is_first
            else chunk(b"fdAT", struct.pack(">I", number + 1) + data),
        ]
        number += 1 if is_first else 2
    return b"".join([*parts, chunk(b"IEND", b"")])


def gif(size: int, *frames: tuple, background: int = 0, palette: bytes = b"") -> bytes:
    """A GIF of frames (image of mode P, left, top, disposal, transparent index or None)."""
    palette = palette or bytes((255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255))
    parts = [b"GIF89a", struct.pack("<HHBBB", size, size, 0xF1, background, 0), palette]
    for image, left, top, disposal, transparent in frames:
        flags = disposal << 2 | (transparent is not None)
        parts.append(struct.pack("<BBBBHBB", 0x21, 0xF9, 4, flags, 10, transparent or 0, 0))
        parts.append(struct.pack("<BHHHHB", 0x2C, left, top, *image.size, 0) + b"\x02")
        # Codes of 3 bits with a clear code (4) before each two pixels: no code ever gets longer.
        codes = []
        for at, value in enumerate(np.asarray(image).ravel().tolist()):
            codes += [4, value] if at % 2 == 0 else [value]
        bits = sum(code << 3 * at for at, code in enumerate([*codes, 5]))
        data = bits.to_bytes((3 * (len(codes) + 1) + 7) // 8, "little")
        blocks = (data[at : at + 255] for at in range(0, len(data), 255))
        parts += [bytes([len(block)]) + block for block in blocks] + [b"\0"]
    return b"".join([*parts, b";"])


def tiff(pixels: np.ndarray, colours: int, **options: object) -> bytes:
    """A TIFF of one strip of `pixels` (rows, columns, samples): see the options in the body."""
    order = options.get("order", "<")
    extra, compression = options.get("extra"), options.get("compression", 1)
    planar, bits = options.get("planar", False), options.get("bits", pixels.dtype.itemsize * 8)
    height, width, samples = pixels.shape
    stored = pixels.astype(pixels.dtype.newbyteorder(order))
    planes = [stored[..., n] for n in range(samples)] if planar else [stored]
    if bits not in (8, 16, 32):
        planes = [plane.reshape(height, -1, 1) for plane in (planes if planar else [pixels])]
        single = [(plane >> np.arange(bits - 1, -1, -1) & 1).astype(np.uint8) for plane in planes]
        planes = [np.packbits(bit.reshape(height, -1), axis=1) for bit in single]
    data = [plane.tobytes() for plane in planes]
    if compression == 8:
        data = [zlib.compress(part) for part in data]
    tags: dict[int, tuple[int, ...]] = {
        256: (width,), 257: (height,), 258: (bits,) * samples, 259: (compression,),
        262: (colours,), 273: (0,) * len(data), 277: (samples,), 278: (height,),
        279: tuple(map(len, data)), 284: (2 if planar else 1,),
    }  # fmt: skip
    tags |= {338: extra} if extra is not None else {}
    tags |= options.get("tags", {})
    size = len(_directory(tags, order, 8))
    ends = np.cumsum([size + 8, *map(len, data)]).tolist()
    tags[273] = tuple(ends[:-1])
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    return start + _directory(tags, order, 8) + b"".join(data)


def _directory(tags: dict[int, tuple[int, ...]], order: str, at: int) -> bytes:
    after = at + 2 + 12 * len(tags) + 4
    entries = values = b""
    for tag, numbers in sorted(tags.items()):
        kind, letter = (3, "H") if tag in (258, 259, 262, 277, 320, 338) else (4, "I")
        raw = struct.pack(f"{order}{len(numbers)}{letter}", *numbers)
        if len(raw) > 4:
            raw, values = struct.pack(f"{order}I", after + len(values)), values + raw
        entries += struct.pack(f"{order}HHI", tag, kind, len(numbers)) + raw.ljust(4, b"\0")
    return struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + values
