"""An XMP packet that gets further keywords, every other byte of it left as it is."""

import re
from collections.abc import Iterable
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from hangtag.library.keywords.encodings import decoded_xml
from hangtag.library.keywords.separators import distinct_keywords
from hangtag.library.keywords.xmp_properties import DC, RDF
from hangtag.library.keywords.xmp_reader import located
from hangtag.library.rules import normalise_tag

NEW_SIDECAR: Final = f"""\
<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="{RDF[1:-1]}">
 </rdf:RDF>
</x:xmpmeta>
""".encode()


def extended(packet: bytes, tags: list[str]) -> bytes:
    """Return `packet` with those of `tags` that it lacks. Raises one of XML_ERRORS.

    The new elements are cut in at the parser's byte offsets, not written from a tree, so that
    comments, processing instructions, prefixes and blanks of other programs stay as they are. The
    encoding stays as well; what a declared code page may not have is written as references.
    """
    source = decoded_xml(packet)
    places = located(source.text)
    known = {normalise_tag(tag) for tag in (*places.subjects, *distinct_keywords(places.subjects))}
    lacking: dict[str, str] = {}
    for tag in tags:
        if (name := normalise_tag(tag)) not in known:
            lacking.setdefault(name, tag)
    if not lacking:
        return packet
    if source.encode(source.text) != packet:
        raise ValueError("its encoding does not give the same bytes again")
    if places.lists:
        span = places.lists[-1]
    elif places.roots and not places.has_subject:
        span = places.roots[0]
    else:
        raise ValueError("not XMP, or its dc:subject is not a list")
    text = source.text.encode()
    prefix = _name(text, span[0]).rpartition(b":")[0].decode()
    if places.lists:
        lines = _items(lacking.values(), prefix)
    else:
        lines = _description(lacking.values(), prefix, places.about or "")
    if not source.agrees:
        lines = [line.encode("ascii", "xmlcharrefreplace").decode() for line in lines]
    longer = source.encode(_cut_in(text, span, lines).decode())
    if located(decoded_xml(longer).text).subjects != [*places.subjects, *lacking.values()]:
        raise ValueError("its encoding or form does not take the tags")
    return longer


def _items(tags: Iterable[str], prefix: str) -> list[str]:
    li = f"{prefix}:li" if prefix else "li"
    return [f"<{li}>{escape(tag)}</{li}>" for tag in tags]


def _description(tags: Iterable[str], prefix: str, about: str) -> list[str]:
    # All descriptions of a packet must be about the same thing (XMP part 1, section 7.4). An
    # attribute needs a prefix, so the RDF of a packet without one gets it here.
    declared = "" if prefix else f' xmlns:rdf="{RDF[1:-1]}"'
    rdf = prefix or "rdf"
    return [
        f'<{rdf}:Description{declared} {rdf}:about={quoteattr(about)} xmlns:dc="{DC}">',
        " <dc:subject>",
        f"  <{rdf}:Bag>",
        *(f"   {item}" for item in _items(tags, rdf)),
        f"  </{rdf}:Bag>",
        " </dc:subject>",
        f"</{rdf}:Description>",
    ]


def _name(packet: bytes, start: int) -> bytes:
    """Return the name of the element whose start tag is at `start`."""
    return re.split(rb"[\s/>]", packet[start + 1 :], maxsplit=1)[0]


def _cut_in(packet: bytes, span: tuple[int, int], lines: list[str]) -> bytes:
    """Put `lines` of RDF at the end of the element whose tags are at `span`, indented like it."""
    start, end = span
    name = _name(packet, start)
    if not packet.startswith(b"</" + name, end):  # <rdf:Bag/>, and the parser stood behind it
        packet = packet[: end - 2] + b"></" + name + b">" + packet[end:]
        end -= 1
    before = packet[:end].rstrip(b" \t\r\n")
    indent = packet[len(before) : end].decode()
    text = "".join(f"{indent} {line}" if "\n" in indent else line.strip() for line in lines)
    return before + text.encode() + packet[len(before) :]
