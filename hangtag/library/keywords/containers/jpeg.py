"""JPEG: XMP in a segment APP1, IPTC in Photoshop's resources in APP13.

Sources: ITU-T T.81, annex B; XMP specification part 3 (ISO 16684-3), section 1.1.3.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from hangtag.library.keywords.containers import Parts, Splice, photoshop

_XMP: Final = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENDED: Final = b"http://ns.adobe.com/xmp/extension/\0"
_EXIF: Final = b"Exif\0\0"
_PHOTOSHOP: Final = b"Photoshop 3.0\0"
# Further pictures in the file (CIPA DC-007), at offsets from here: gain maps, depth, previews.
_PICTURES: Final = b"MPF\0"
_LARGEST: Final = 0xFFFF - 2


class _Segment(NamedTuple):
    marker: int
    start: int
    end: int
    data: bytes


def read(data: bytes) -> Parts:
    """Return the metadata of a JPEG. Raises ValueError."""
    packets, resources = _metadata(data)
    parts = Parts()
    if packets:
        parts.xmp = packets[0].data[len(_XMP) :]
        parts.xmp_span = (packets[0].start, packets[0].end)
    if len(resources) == 1:
        parts.iim = photoshop.iim(resources[0].data[len(_PHOTOSHOP) :])
    return parts


def splices(data: bytes, xmp: bytes | None, iim: bytes | None) -> list[Splice]:
    """Return the changes to other metadata; without `xmp` the packet goes. Raises ValueError."""
    packets, resources = _metadata(data)
    segment = b"" if xmp is None else _segment(0xE1, _XMP + xmp)
    if packets:
        found = [Splice(packets[0].start, packets[0].end, segment)]
    else:
        at = _after_header(data)
        found = [Splice(at, at, segment)]
    if iim is not None and len(resources) == 1:
        old = resources[0]
        block = _PHOTOSHOP + photoshop.with_iim(old.data[len(_PHOTOSHOP) :], iim)
        if block != old.data:
            found.append(Splice(old.start, old.end, _segment(0xED, block)))
    last = max(splice.start for splice in found)
    if any(one.marker == 0xE2 and one.data.startswith(_PICTURES) and one.start < last
           for one in _segments(data)):  # fmt: skip
        raise ValueError("the offsets of further pictures in it would change")
    return found


def _metadata(data: bytes) -> tuple[list[_Segment], list[_Segment]]:
    """Return the segments with XMP and those with Photoshop's resources."""
    segments = list(_segments(data))
    if any(one.marker == 0xE1 and one.data.startswith(_EXTENDED) for one in segments):
        raise ValueError("its XMP continues in further segments")
    packets = [one for one in segments if one.marker == 0xE1 and one.data.startswith(_XMP)]
    if len(packets) > 1:
        raise ValueError("it has several XMP packets")
    return packets, [
        one for one in segments if one.marker == 0xED and one.data.startswith(_PHOTOSHOP)
    ]


def _after_header(data: bytes) -> int:
    """Return where JFIF and EXIF end, which must be first."""
    at = 2
    for segment in _segments(data):
        is_exif = segment.marker == 0xE1 and segment.data.startswith(_EXIF)
        if segment.marker != 0xE0 and not is_exif:
            break
        at = segment.end
    return at


def _segments(data: bytes) -> Iterator[_Segment]:
    """Yield the segments up to the pixels."""
    at = 2
    while True:
        start = at
        while data[at : at + 2] == b"\xff\xff":  # fill bytes
            at += 1
        marker = data[at + 1] if data[at : at + 1] == b"\xff" and at + 1 < len(data) else 0
        if marker == 0xDA:
            return
        if marker in (0, 0xD9):
            raise ValueError("damaged: no pixels after its headers")
        if marker == 1 or 0xD0 <= marker <= 0xD7:
            at += 2
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        end = at + 2 + length
        if length < 2 or end > len(data):
            raise ValueError("damaged: a segment is cut off")
        yield _Segment(marker, start, end, data[at + 4 : end])
        at = end


def _segment(marker: int, data: bytes) -> bytes:
    if len(data) > _LARGEST:
        raise ValueError("a segment of JPEG holds at most 64 kB of metadata")
    return bytes((0xFF, marker)) + (len(data) + 2).to_bytes(2, "big") + data
