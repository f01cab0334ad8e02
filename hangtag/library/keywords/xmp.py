"""Keywords of an image: XMP, IPTC and EXIF inside it, and in XMP sidecars.

Tags that hangtag marked as a model's are not among them.
"""

import gzip
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import ParseError

from hangtag.errors import CatalogError
from hangtag.library.keywords import iptc
from hangtag.library.keywords.copies import Copies
from hangtag.library.keywords.encodings import decoded_utf16
from hangtag.library.keywords.image_metadata import Blocks, read_blocks
from hangtag.library.keywords.machine_tags import MachineTag
from hangtag.library.keywords.separators import distinct_keywords, split_semicolons
from hangtag.library.keywords.sidecars import sidecars
from hangtag.library.keywords.xmp_content import Packet, People
from hangtag.library.keywords.xmp_reader import MAX_XML, XML_ERRORS, read
from hangtag.library.paths import SIGN
from hangtag.library.rules import normalise_tag

SUFFIX: Final = ".xmp"


@dataclass
class Keywords:
    """The keywords of one image, and the files of which some could not be read."""

    tags: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """One line for each file, which names it."""
    machine: list[MachineTag] = field(default_factory=list)
    """The tags in it that a model put on the image, which are not among `tags`."""
    paths: list[tuple[str, ...]] = field(default_factory=list)
    """The tags as paths: those with levels, then those that are no level of a path."""

    def people(self) -> People:
        """Return the tags, for a packet whose new fields must not hide them."""
        return People(self.tags, self.paths)

    def or_raise(self) -> list[str]:
        """Return the tags. Raises CatalogError if there are problems and no tags."""
        if self.problems and not self.tags:
            raise CatalogError(self.problems[0])
        return self.tags


@dataclass
class _Found:
    """The keywords in the blocks of an image, before copies are left out."""

    packets: list[Packet] = field(default_factory=list)
    windows: list[str] = field(default_factory=list)
    iptc: list[tuple[bytes, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def tags(self, beside: Iterable[Packet] = (), *, paths: bool = False) -> list[str]:
        """Return the keywords inside the image, then those `beside` it, each once.

        Older kinds of block often hold damaged copies of the keywords in newer ones. With `paths` a
        keyword is the path that ends with it, if there is one.
        """
        packets = [*self.packets, *beside]
        whole = [keyword for packet in packets for keyword in packet.whole]
        originals = [form for packet in packets for form in packet.forms()]
        originals += distinct_keywords(originals, whole)
        found = [keyword for packet in self.packets for keyword in packet.keywords()]
        copies = Copies(originals)
        windows = [tag for text in self.windows for tag in copies.without(text.encode(), text)]
        copies = Copies([*originals, *windows])
        old = [tag for value, text in self.iptc for tag in copies.without(value, text)]
        later = [keyword for packet in beside for keyword in packet.keywords()]
        tags = distinct_keywords([*found, *windows, *old, *later], whole)
        if not paths:
            return tags
        path_of = {
            normalise_tag(path[-1]): SIGN.join(path)
            for packet in packets
            for path in packet.paths()
            if len(path) > 1 and not any(SIGN in level for level in path)
        }
        return list(dict.fromkeys(path_of.get(normalise_tag(tag), tag) for tag in tags))

    def paths(self, tags: Iterable[str], beside: Iterable[Packet]) -> list[tuple[str, ...]]:
        """Return the paths in the packets, then those of `tags` that are no level of one."""
        found = dict.fromkeys(
            path for packet in (*self.packets, *beside) for path in packet.paths() if len(path) > 1
        )
        levels = {normalise_tag(level) for path in found for level in path}
        return [*found, *((tag,) for tag in tags if normalise_tag(tag) not in levels)]


def read_keywords(image: Path, *, paths: bool = False, leave_out: Path | None = None) -> Keywords:
    """Return the keywords inside an image, then those in NAME.EXT.xmp, then those in NAME.xmp.

    Stripped, each once, whatever the case of a sidecar's suffix; with `paths`, `animal/cat` for
    `cat` below `animal`. The sidecar `leave_out` is not read. The result names what cannot be read;
    the rest is returned.
    """
    found = _embedded(image)
    problems = [_unreadable(image, "; ".join(found.problems))] if found.problems else []
    beside = []
    for sidecar in sidecars(image, SUFFIX):
        if sidecar == leave_out:
            continue
        try:
            beside.append(packet_of_file(sidecar))
        except XML_ERRORS as cause:
            problems.append(_unreadable(sidecar, reason_of(cause)))
    machine = [mark for packet in (*found.packets, *beside) for mark in packet.machine]
    tags = found.tags(beside)
    levels = found.paths(tags, beside)
    return Keywords(found.tags(beside, paths=True) if paths else tags, problems, machine, levels)


def keywords(image: Path) -> list[str]:
    """Return the tags of `read_keywords`. Raises CatalogError if there are problems and no tags."""
    return read_keywords(image).or_raise()


def embedded_keywords(image: Path) -> list[str]:
    """Return the keywords inside an image file, stripped, each once; pixels are not decoded.

    From XMP (PNG, JPEG, GIF, WebP, TIFF, AVIF, SVG and SVGZ), EXIF XPKeywords, and IPTC-IIM 2:25.
    Raises CatalogError, naming the file, where it is damaged and no keyword can be read.
    """
    return _inside(image).or_raise()


def people_inside(image: Path, data: bytes) -> People:
    """Return the keywords in the bytes of an image file, which is no SVG. Raises CatalogError."""
    found = _inside(image, data)
    found.or_raise()
    return found.people()


def _inside(image: Path, data: bytes | None = None) -> Keywords:
    found = _embedded(image, data)
    problems = [_unreadable(image, "; ".join(found.problems))] if found.problems else []
    tags = found.tags()
    return Keywords(tags, problems, paths=found.paths(tags, ()))


def _embedded(image: Path, data: bytes | None = None) -> _Found:
    """Read an image file, or what its bytes would be."""
    found = _Found()
    try:
        if data is not None:
            _sort(read_blocks(io.BytesIO(data)), found)
        elif image.suffix.lower() in (".svg", ".svgz"):
            found.packets.append(packet_of_file(image))
        else:
            with image.open("rb") as file:
                _sort(read_blocks(file), found)
    except Exception as cause:  # Pillow passes on whatever its parsers raise
        found.problems.append(reason_of(cause))
    found.problems = list(dict.fromkeys(found.problems))
    return found


def _sort(blocks: Blocks, found: _Found) -> None:
    """Read every block separately."""
    found.problems += blocks.problems
    for data in blocks.xmp:
        try:
            found.packets.append(read(data))
        except XML_ERRORS as cause:
            found.problems.append(f"damaged XMP: {reason_of(cause)}")
    if blocks.extended:
        _read_extension(blocks.extended, found)
    for data in blocks.windows:
        found.windows += split_semicolons(decoded_utf16(data))
    for data in blocks.iptc:
        values, encoding = iptc.keyword_bytes(data)
        found.iptc += zip(values, iptc.decoded(values, encoding), strict=True)


def _read_extension(parts: list[bytes], found: _Found) -> None:
    """Join the parts of extended XMP that belong to a packet of the image.

    A part: GUID (32 hex digits), uint32 length of the whole, uint32 offset, big-endian, data. Parts
    of another GUID are leftovers of an earlier version. Source: XMP specification part 3, 1.1.3.1.
    """
    wanted = {packet.extension.upper().encode() for packet in found.packets if packet.extension}
    for guid in sorted({part[:32].upper() for part in parts} - wanted):
        found.problems.append(f"extended XMP {guid[:8].decode('latin-1')} belongs to no packet")
    for guid in sorted(wanted):
        chosen = [part for part in parts if part[:32].upper() == guid and len(part) > 40]
        data, length = b"", int.from_bytes(chosen[0][32:36], "big") if chosen else 1
        for part in sorted(chosen, key=lambda part: int.from_bytes(part[36:40], "big")):
            if int.from_bytes(part[36:40], "big") == len(data):
                data += part[40:]
        is_whole = len(data) >= length
        try:
            whole = data if is_whole else data.decode("utf-8", "ignore").encode()
            if whole:
                found.packets.append(read(whole, broken_off=not is_whole))
        except XML_ERRORS as cause:
            found.problems.append(f"damaged extended XMP: {reason_of(cause)}")
        if not is_whole:
            found.problems.append("a part of the extended XMP is missing")


def packet_of_file(path: Path) -> Packet:
    """Return what a sidecar or a drawing says. Raises one of XML_ERRORS."""
    with gzip.open(path) if _is_gzip(path) else path.open("rb") as file:
        return read(file.read(MAX_XML + 1))


def _is_gzip(path: Path) -> bool:
    """Return whether the content is gzip: packed drawings are often `.svg`, and vice versa."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _unreadable(path: Path, reason: str) -> str:
    return f"{path}: its keywords cannot be read ({reason})"


def reason_of(cause: Exception) -> str:
    """Return what an error of reading metadata says, in one line."""
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    if isinstance(cause, (ParseError, ValueError)) or type(cause) is LookupError:
        return " ".join(str(cause).split())
    return "damaged or of an unknown format"
