"""A WebP or AVIF with damaged metadata -> the same file without it.

libwebp refuses a file for one chunk of a wrong length, libavif for invalid EXIF data; browsers show
both.
"""

import re
import struct
from typing import Final

_HEADER: Final = 12  # "RIFF", length, "WEBP"
_WANTED: Final = re.compile(rb"VP8 |VP8L|VP8X|ALPH|ANIM|ANMF|EXIF")
_EXIF_ITEM: Final = re.compile(rb"(infe.{8,10}?)Exif", re.DOTALL)
_PIXELS: Final = (b"VP8 ", b"VP8L", b"ANMF")
_HAS_ICC, _HAS_EXIF, _HAS_XMP = 0x20, 0x08, 0x04  # flags of VP8X


def without_exif(avif: bytes) -> bytes:
    """Return an AVIF whose EXIF data has an unknown item type, which decoders ignore.

    ISO/IEC 14496-12, 8.11.6.2: "infe", version and flags, number, protection, type.
    """
    return _EXIF_ITEM.sub(rb"\1none", avif)


def without_damage(data: bytes) -> bytes | None:
    """Return a WebP of the chunks with pixels and of undamaged EXIF data; None without pixels.

    https://developers.google.com/speed/webp/docs/riff_container
    """
    chunks: dict[int, bytes] = {}
    at = _HEADER
    while found := _WANTED.search(data, at):
        start = found.start()
        (length,) = struct.unpack_from("<I", data.ljust(start + 8, b"\0"), start + 4)
        end = start + 8 + length
        is_whole = end <= len(data)
        if is_whole:
            chunks[start] = data[start:end] + bytes(length % 2)
        at = end + length % 2 if is_whole else start + 4
    kinds = {chunk[:4] for chunk in chunks.values()}
    if not kinds.intersection(_PIXELS):
        return None
    missing = _HAS_ICC | _HAS_XMP | (0 if b"EXIF" in kinds else _HAS_EXIF)
    body = b"".join(
        chunk[:8] + bytes([chunk[8] & ~missing]) + chunk[9:] if chunk[:4] == b"VP8X" else chunk
        for chunk in chunks.values()
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body
