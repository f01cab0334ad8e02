"""Metadata blocks of image files that can hold keywords: XMP, IPTC and EXIF, wherever they are.

Each block is read separately, so that a damaged one does not hide the others. Pixels are not
decoded.
"""

import io
import re
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from PIL import Image

from hangtag.library.keywords.iptc import photoshop_resources
from hangtag.library.keywords.tiff_tags import tag_bytes

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_XMP: Final = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENDED: Final = b"http://ns.adobe.com/xmp/extension/\0"
_EXIF: Final = b"Exif\0\0"
_PHOTOSHOP: Final = b"Photoshop 3.0\0"
_TIFF: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Tags of TIFF and EXIF: XMP, IPTC, Photoshop's resources, Windows' keywords.
_TAG_XMP, _TAG_IPTC, _TAG_PHOTOSHOP, _TAG_WINDOWS = 700, 33723, 34377, 0x9C9E
_RESOURCE_IPTC, _RESOURCE_EXIF, _RESOURCE_XMP = 0x0404, 0x0422, 0x0424
_MAX_PROBLEMS: Final = 16  # after so many, the rest of a JPEG is not searched
_MAX_TEXT: Final = 64 << 20  # bytes of a compressed text in PNG


@dataclass
class Blocks:
    """The blocks of one image, in the order of the file."""

    xmp: list[bytes] = field(default_factory=list)
    extended: list[bytes] = field(default_factory=list)
    """Parts of extended XMP in JPEG, from the GUID on."""
    iptc: list[bytes] = field(default_factory=list)
    windows: list[bytes] = field(default_factory=list)
    """EXIF XPKeywords, UTF-16."""
    problems: list[str] = field(default_factory=list)
    """The blocks that could not be read, a few words each."""

    def add(self, data: bytes) -> None:
        """Add a block to its kind, by its first bytes, whatever its frame declares."""
        if data.startswith(_EXTENDED):
            self.extended.append(data[len(_EXTENDED) :])
        elif data.startswith(_XMP):
            self.xmp.append(data[len(_XMP) :])
        elif data.startswith((_EXIF, *_TIFF)):
            self._add_exif(data)
        elif data.startswith((_PHOTOSHOP, b"8BIM")):
            self._add_photoshop(data)
        elif data.startswith(b"\x1c"):
            self.iptc.append(data)
        elif data.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n").startswith(b"<"):
            self.xmp.append(data)

    def add_tiff(self, file: BinaryIO) -> None:
        """Add the blocks in the tags of a TIFF or of EXIF. Raises ValueError for anything else."""
        tags, is_whole = tag_bytes(file, (_TAG_XMP, _TAG_IPTC, _TAG_PHOTOSHOP, _TAG_WINDOWS))
        if not is_whole:
            self.problems.append("a damaged TIFF directory")
        for number, data in tags.items():
            if number == _TAG_WINDOWS:
                self.windows.append(data)
            else:
                self.add(_in_order(data) if number == _TAG_IPTC else data)

    def _add_exif(self, data: bytes) -> None:
        while data.startswith(_EXIF):  # some programs write it twice
            data = data[len(_EXIF) :]
        try:
            self.add_tiff(io.BytesIO(data))
        except (ValueError, OverflowError):
            self.problems.append("damaged EXIF")

    def _add_photoshop(self, data: bytes) -> None:
        for number, resource, is_whole in photoshop_resources(data):
            if not is_whole:
                self.problems.append("a damaged Photoshop block")
            if number == _RESOURCE_IPTC:
                self.iptc.append(resource)
            elif number in (_RESOURCE_EXIF, _RESOURCE_XMP):
                self.add(resource)


def read_blocks(file: BinaryIO) -> Blocks:
    """Return the blocks of a PNG, JPEG, GIF, WebP, TIFF or AVIF file, read from its beginning.

    Raises ValueError, or what Pillow raises, for a file that is no image.
    """
    blocks = Blocks()
    start = file.read(12)
    file.seek(0)
    if start.startswith(_PNG):
        _read_png(file, blocks)
    elif start.startswith(b"\xff\xd8"):
        _read_jpeg(file, blocks)
    elif start.startswith((b"GIF87a", b"GIF89a")):
        _read_gif(file.read(), blocks)
    elif start.startswith(_TIFF):
        blocks.add_tiff(file)
    else:
        _read_others(file, blocks)
    return blocks


def _read_others(file: BinaryIO, blocks: Blocks) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about sizes and odd metadata, which do not matter here
        with Image.open(file) as image:
            for name in ("xmp", "exif"):
                if data := image.info.get(name):
                    blocks.add(bytes(data))


def _in_order(data: bytes) -> bytes:
    """Return IPTC data in byte order, where a program swapped it like 32-bit numbers."""
    if data[:1] == b"\x1c" or data[3:4] != b"\x1c":
        return data
    padded = data + bytes(-len(data) % 4)
    return b"".join(padded[at : at + 4][::-1] for at in range(0, len(padded), 4))


# PNG


def _read_png(file: BinaryIO, blocks: Blocks) -> None:
    """Read the texts of a PNG, also those that some programs write after the pixels.

    Source: PNG specification, third edition, sections 5.3 and 11.3.
    """
    file.seek(len(_PNG))
    kind = b""
    while kind != b"IEND":
        head = file.read(8)
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if not kind.isalpha() or len(kind) < 4:
            blocks.problems.append("damaged or cut off")
            return
        if kind not in (b"iTXt", b"tEXt", b"zTXt", b"eXIf"):
            file.seek(length + 4, 1)  # over the checksum
            continue
        data = file.read(length)
        file.seek(4, 1)
        try:
            blocks.add(data if kind == b"eXIf" else _png_text(kind, data))
        except (zlib.error, ValueError):
            blocks.problems.append(f"a damaged {kind.decode()} block")


def _png_text(kind: bytes, data: bytes) -> bytes:
    """Return the metadata block in a text chunk of PNG, or b"" for another text.

    Raises ValueError and zlib.error for a damaged one.
    """
    key, _, text = data.partition(b"\0")
    is_profile = key.startswith(b"Raw profile type ")
    if not is_profile and key != b"XML:com.adobe.xmp":
        return b""
    if kind == b"zTXt":
        text = _inflated(text[1:])
    elif kind == b"iTXt":
        is_packed, (_, _, text) = text[:1] == b"\1", text[2:].split(b"\0", 2)
        text = _inflated(text) if is_packed else text
    if not is_profile:
        return text
    # Lines: the profile's name, its length, hex digits.
    return bytes.fromhex("".join(text.decode("ascii").strip().split("\n")[2:]))


def _inflated(data: bytes) -> bytes:
    packed = zlib.decompressobj()
    text = packed.decompress(data, _MAX_TEXT)
    if not packed.eof:
        raise ValueError("cut off or too long")
    return text


# JPEG


def _read_jpeg(file: BinaryIO, blocks: Blocks) -> None:
    """Read the application segments of a JPEG, up to its pixels.

    Photoshop's resources may continue in a further segment, also within one resource.
    Source: ITU-T T.81, annex B; XMP specification part 3, section 1.1.3.
    """
    photoshop = b""
    for marker, data in _segments(file, blocks):
        if marker == 0xED and data.startswith(_PHOTOSHOP):
            photoshop += data[len(_PHOTOSHOP) :]
        elif marker in (0xE1, 0xED):
            blocks.add(data)
    if photoshop:
        blocks.add(_PHOTOSHOP + photoshop)


def _segments(file: BinaryIO, blocks: Blocks) -> Iterator[tuple[int, bytes]]:
    file.seek(2)
    while len(blocks.problems) < _MAX_PROBLEMS:
        mark = file.read(2)
        while mark == b"\xff\xff":  # fill bytes
            mark = mark[1:] + file.read(1)
        if len(mark) < 2 or mark[0] != 0xFF or mark[1] == 0:
            blocks.problems.append("damaged or cut off")
            if not _find_segment(file):
                return
            continue
        if mark[1] in (0xDA, 0xD9):  # the pixels, or the end
            return
        if mark[1] == 1 or 0xD0 <= mark[1] <= 0xD7:
            continue
        length = int.from_bytes(file.read(2), "big") - 2
        data = file.read(max(length, 0))
        if length < 0 or len(data) < length:
            blocks.problems.append("damaged or cut off")
            file.seek(-len(data), 1)
            if not _find_segment(file):
                return
            continue
        yield mark[1], data


def _find_segment(file: BinaryIO) -> bool:
    """Seek the next segment with metadata, after one whose length is wrong."""
    start = file.tell()
    rest = file.read(1 << 20)
    found = re.search(
        rb"\xff[\xe1\xed]..(?=http://ns\.adobe\.com/|Exif\0|Photoshop)", rest, re.DOTALL
    )
    if found:
        file.seek(start + found.start())
    return found is not None


# GIF


def _read_gif(data: bytes, blocks: Blocks) -> None:
    """Read the XMP of a GIF: plain bytes, and a trailer that leads every reader to its end.

    Some programs write it as sub-blocks instead. Source: GIF89a; XMP specification part 3, 1.1.2.
    """
    at = 13 + _table_size(data[10]) if len(data) > 12 else len(data)
    while at < len(data) and data[at] != 0x3B:
        if data[at] == 0x21:
            at += 2
            if data[at : at + 12] == b"\x0bXMP DataXMP":
                blocks.add(_gif_xmp(data, at + 12))
        elif data[at] == 0x2C and at + 9 < len(data):
            at += 11 + _table_size(data[at + 9])
        elif data[at]:  # zeros between blocks are common
            break
        _, at = _sub_blocks(data, at)
    if len(data) < 13 or at > len(data) or data[at : at + 1] not in (b";", b""):
        blocks.problems.append("damaged or cut off")


def _gif_xmp(data: bytes, start: int) -> bytes:
    end = data.find(b"\x01\xff\xfe\xfd\xfc", start)
    chained, after = _sub_blocks(data, start)
    return data[start:end] if start <= end < after else chained


def _sub_blocks(data: bytes, at: int) -> tuple[bytes, int]:
    """Return the bytes of a chain of sub-blocks, and where it ends."""
    parts = []
    while at < len(data) and data[at]:
        parts.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return b"".join(parts), at + 1


def _table_size(flags: int) -> int:
    return 3 * (2 << (flags & 7)) if flags & 0x80 else 0
