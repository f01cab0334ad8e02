"""Machine tags inside image files: JPEG, PNG, WebP and TIFF; written, and taken back.

The XMP packet is edited as in a sidecar. `hangtag:file`, beside its record of edits, says how the
rest of the file was: a digest of all but the packet, then the changes, `START+LENGTH:REMOVED` in
bytes, what was removed zlib-compressed in base64. Where the digest agrees, nobody has changed the
file since, and it gets its old bytes back.
"""

import base64
import binascii
import hashlib
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Final

from hangtag.library.keywords.containers import (
    Parts,
    Splice,
    inverse,
    jpeg,
    png,
    spliced,
    tiff,
    webp,
)
from hangtag.library.keywords.encodings import decoded_xml
from hangtag.library.keywords.iim_keywords import with_keywords, without_keywords
from hangtag.library.keywords.machine_tags import MachineTag
from hangtag.library.keywords.xmp_content import People
from hangtag.library.keywords.xmp_packet import NEW_EMBEDDED, recorded, tagged
from hangtag.library.keywords.xmp_reader import located
from hangtag.library.keywords.xmp_undo import without_machine_tags

_CHANGE: Final = re.compile(r"(\d+)\+(\d+):([\w+/=]*)")
_MAX_REMOVED: Final = 64 << 20


@dataclass(frozen=True)
class FileTakenBack:
    """An image file without its machine tags."""

    data: bytes

    tags: tuple[MachineTag, ...]
    """The tags that were in it."""

    exact: bool
    """Whether the file is byte for byte what it was before."""


def container_of(data: bytes) -> ModuleType | None:
    """Return the module for a kind of file, by its first bytes; None for one without."""
    if data.startswith(b"\xff\xd8\xff"):
        return jpeg
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return png
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return webp
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return tiff
    return None


def embedded(data: bytes, marks: Sequence[MachineTag], people: People) -> bytes:
    """Return a file, which has no machine tags, with those of `marks` that people lack.

    `people` are all keywords of people in it, also those outside of XMP. Raises one of XML_ERRORS,
    ValueError among them for a file that is damaged or too odd to be sure of.
    """
    container = _container(data)
    parts: Parts = container.read(data)
    packet = tagged(parts.xmp, marks, people=people, start=NEW_EMBEDDED)
    if packet == (parts.xmp or b""):
        return data
    written = located(decoded_xml(packet).text).machine
    iim = None if parts.iim is None else with_keywords(parts.iim, [one.subject for one in written])
    record = ""
    for _ in range(8):  # its length is part of what it describes
        whole = recorded(packet, record)
        splices = container.splices(data, whole, iim)
        new = spliced(data, splices)
        again = _record(container, new, inverse(data, splices))
        if again == record:
            return new
        record = again
    raise ValueError("its changes cannot be recorded")


def taken_out(data: bytes) -> FileTakenBack:
    """Return a file as it was before any machine tags. Raises one of XML_ERRORS."""
    container = container_of(data)
    parts: Parts = Parts() if container is None else container.read(data)
    if container is None or not parts.xmp or b"hangtag" not in parts.xmp.replace(b"\0", b""):
        return FileTakenBack(data, (), exact=True)
    found = located(decoded_xml(parts.xmp).text)
    was = without_machine_tags(parts.xmp)
    if not was.tags and was.packet == parts.xmp:
        return FileTakenBack(data, (), exact=True)
    known, *changes = found.file[0].split() if found.file else [""]
    start, end = parts.xmp_span
    if was.exact and known == _digest(data[:start], data[end:]):
        return FileTakenBack(spliced(data, map(_change, changes)), was.tags, exact=True)
    iim = parts.iim and without_keywords(parts.iim, {mark.subject for mark in was.tags})
    rest = spliced(data, container.splices(data, was.packet, iim))
    return FileTakenBack(rest, was.tags, exact=False)


def _container(data: bytes) -> ModuleType:
    if (container := container_of(data)) is None:
        raise ValueError("not JPEG, PNG, WebP or TIFF")
    return container


def _record(container: ModuleType, new: bytes, back: Sequence[Splice]) -> str:
    start, end = container.read(new).xmp_span
    changes = [
        f"{one.start}+{one.end - one.start}:"
        + (base64.b64encode(zlib.compress(one.data, 9)).decode() if one.data else "")
        for one in back
    ]
    return " ".join((_digest(new[:start], new[end:]), *changes))


def _change(text: str) -> Splice:
    """Return one change of a record. Raises ValueError."""
    found = _CHANGE.fullmatch(text)
    if found is None:
        raise ValueError("damaged record of edits")
    start, length = int(found[1]), int(found[2])
    try:
        packed = base64.b64decode(found[3])
        data = zlib.decompressobj().decompress(packed, _MAX_REMOVED) if packed else b""
    except (binascii.Error, zlib.error) as cause:
        raise ValueError("damaged record of edits") from cause
    return Splice(start, start + length, data)


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:32]
