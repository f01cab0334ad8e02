"""Machine tags taken back out of XMP packets.

`hangtag:undo` holds a digest of the packet and the edits that made it. Where the digest agrees,
nobody has changed the packet since, and reverting the edits gives the same bytes as before.
Otherwise the marked tags are cut out of each field, and all else stays.
"""

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import unescape

from hangtag.library.keywords.encodings import Decoded, decoded_xml
from hangtag.library.keywords.machine_tags import FILE, MARKS, UNDO, MachineTag
from hangtag.library.keywords.xmp_content import Packet, Span
from hangtag.library.keywords.xmp_edits import PREFIXES, digest, name_at, reverted
from hangtag.library.keywords.xmp_packet import CREATED, FILLED
from hangtag.library.keywords.xmp_properties import FIELDS, WHOLE
from hangtag.library.keywords.xmp_reader import located

# A description as hangtag writes it for one property, which is gone.
_EMPTY: Final = re.compile(
    rb"\s*<((?:[\w.-]+:)?)Description(?: xmlns:rdf=\"[^\"]*\")? (?:[\w.-]+:)about=\"[^\"]*\""
    rb" xmlns:[\w.-]+=\"(?:"
    + b"|".join(re.escape(namespace.encode()) for namespace in PREFIXES)
    + rb")\">\s*</\1Description>"
)


@dataclass(frozen=True)
class TakenBack:
    """A packet without its machine tags."""

    packet: bytes | None
    """None where hangtag made the packet."""

    tags: tuple[MachineTag, ...]
    """The tags that were in it."""

    exact: bool
    """Whether the packet is byte for byte what it was before."""


def without_machine_tags(packet: bytes) -> TakenBack:
    """Return a packet as it was before any machine tags. Raises one of XML_ERRORS."""
    source = decoded_xml(packet)
    found = located(source.text)
    if not found.machine and not found.undo:
        return TakenBack(packet, (), exact=True)
    tags = tuple(found.machine)
    if found.undo and (text := _without_record(source.text, found)) is not None:
        known, *edits = found.undo[0].split() or [""]
        if known == digest(text):
            return TakenBack(_reverted(source, text, edits), tags, exact=True)
    data = source.text.encode()
    for start, end in sorted(_machine_spans(data, found), reverse=True):
        data = data[:start] + data[end:]
    data = _EMPTY.sub(b"", data)
    left = located(data.decode())
    if left.machine or left.undo:
        raise ValueError("the marks of its machine tags are in a form that cannot be removed")
    return TakenBack(source.encode(data.decode()), tags, exact=False)


def _reverted(source: Decoded, text: str, edits: list[str]) -> bytes | None:
    if edits == [CREATED]:
        return None
    if len(edits) == 1 and edits[0].startswith(FILLED):
        return base64.b64decode(edits[0].removeprefix(FILLED))
    return source.encode(reverted(text, edits))


def _without_record(text: str, found: Packet) -> str | None:
    """Return the text without the description that holds the record of edits."""
    spans = [element.span for element in found.offsets.properties[UNDO]]
    if len(spans) != 1:
        return None
    data = text.encode()
    for start, end in found.offsets.descriptions:
        if start < spans[0][0] < end:
            first, last = _whole(data, (start, end))
            return (data[:first] + data[last:]).decode()
    return None


def _whole(data: bytes, span: Span) -> Span:
    """Return where an element begins, with the blanks before it, and where it ends."""
    start, end = span
    if data.startswith(b"</" + name_at(data, start), end):
        end = data.index(b">", end) + 1
    return len(data[:start].rstrip(b" \t\r\n")), end


def _machine_spans(data: bytes, found: Packet) -> Iterator[Span]:
    """Yield the spans of hangtag's properties, and of the machine tags in every field."""
    for name in (MARKS, UNDO, FILE):
        for element in found.offsets.properties[name]:
            yield _whole(data, element.span)
    for name, sign in {**FIELDS, WHOLE: ""}.items():
        texts = {sign.join(mark.path) if sign else mark.subject for mark in found.machine}
        for element in found.offsets.properties[name]:
            spans = [one for span in element.lists for one in _items(data, span, texts)]
            count = sum(len(re.findall(rb"<[\w:.-]*\bli\b", data[a:b])) for a, b in element.lists)
            if spans and len(spans) == count:  # nothing else is in it
                yield _whole(data, element.span)
            else:
                yield from spans


def _items(data: bytes, span: Span, texts: set[str]) -> Iterator[Span]:
    start, end = span
    item = re.compile(rb"\s*<([\w.-]+:)?li\b[^<>]*>([^<]*)</(?:[\w.-]+:)?li\s*>")
    for match in item.finditer(data, start, end):
        if _unescaped(match[2].decode()).strip() in texts:
            yield match.span()


def _unescaped(text: str) -> str:
    text = re.sub(r"&#(\d+);", lambda found: chr(int(found[1])), text)
    text = re.sub(r"&#x([0-9a-fA-F]+);", lambda found: chr(int(found[1], 16)), text)
    return unescape(text, {"&quot;": '"', "&apos;": "'"})
