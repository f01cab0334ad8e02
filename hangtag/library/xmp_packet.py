"""The keywords in an XMP packet, as XML: reading `dc:subject`, also in SVG, and adding to it."""

import html
import re
import zlib
from collections.abc import Iterable
from typing import Any
from xml.etree.ElementTree import ParseError
from xml.sax.saxutils import escape, quoteattr

from defusedxml.common import DefusedXmlException, EntitiesForbidden
from defusedxml.ElementTree import XMLParser

from hangtag.library.rules import normalise_tag

_NAMESPACES = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "dc": "http://purl.org/dc/elements/1.1/",
}
_RDF, _LI, _DESCRIPTION, _ABOUT, *_LISTS = (
    f"{{{_NAMESPACES['rdf']}}}{name}"
    for name in ("RDF", "li", "Description", "about", "Bag", "Seq", "Alt")
)
_SUBJECT = f"{{{_NAMESPACES['dc']}}}subject"
NEW_SIDECAR = f"""\
<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="{_NAMESPACES["rdf"]}">
 </rdf:RDF>
</x:xmpmeta>
""".encode()

# Bytes and depth of XML: above drawings that people make, below what would fill the memory (the
# worst found for 32 MB takes 0.6 GB and half a minute).
MAX_XML = 32 << 20
_MAX_DEPTH = 1000
# Together these keep what entities unfold to below 400 MB.
_MAX_ENTITY = 64
_MAX_XML_WITH_ENTITIES = 8 << 20

# What reading or extending XML raises.
XML_ERRORS = (
    DefusedXmlException,
    ParseError,
    ValueError,
    LookupError,
    OSError,
    EOFError,
    zlib.error,
)


class _Parser(XMLParser):  # type: ignore[misc]
    """Refuses external and nested entities, and lets short plain ones through.

    Illustrator names its namespaces by such entities in every SVG.
    """

    def defused_entity_decl(
        self, name: str, is_parameter: bool, value: str | None, *rest: str
    ) -> None:
        if is_parameter or value is None or len(value) > _MAX_ENTITY or "&" in value:
            raise EntitiesForbidden(name, value, *rest)


class _Reader:
    """A parser's target that builds no tree: the subjects, and where further ones can go.

    A subject counts below `rdf:RDF/*` and `metadata`; deeper ones belong to parts of the image.
    """

    def __init__(self) -> None:
        self.parser: Any = None
        self.subjects: list[str] = []
        self.has_subject = False
        self.about: str | None = None  # what the packet describes
        self.lists: list[tuple[int, int]] = []  # byte offsets: start tag, end tag
        self.roots: list[tuple[int, int]] = []  # the same of rdf:RDF
        self._path: list[str] = []
        self._starts: list[int] = []
        self._inside = False
        self._text: list[str] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if len(self._path) == _MAX_DEPTH:
            raise ValueError(f"more than {_MAX_DEPTH} elements within each other")
        self._path.append(tag)
        self._text.clear()
        if tag == _SUBJECT and (
            self._path[-3:-2] == [_RDF] or "".join(self._path[-2:-1]).endswith("metadata")
        ):
            self._inside = self.has_subject = True
        elif tag == _RDF or tag in _LISTS:
            self._starts.append(self.parser.CurrentByteIndex)
        elif tag == _DESCRIPTION:
            self.about = self.about or attributes.get(_ABOUT)
            self.has_subject |= _SUBJECT in attributes

    def data(self, text: str) -> None:
        if self._inside:
            self._text.append(text)

    def end(self, tag: str) -> None:
        if tag == _RDF or tag in _LISTS:
            span = (self._starts.pop(), self.parser.CurrentByteIndex)
            if tag == _RDF:
                self.roots.append(span)
            elif self._inside and self._path[-2] == _SUBJECT:
                self.lists.append(span)
        elif self._inside and (tag == _SUBJECT or (tag == _LI and self._path[-2] in _LISTS)):
            text = "".join(self._text)
            parts = [text] if tag == _LI else text.split(",")
            self.subjects += [part.strip() for part in parts if part.strip()]
            self._inside = tag != _SUBJECT
        self._text.clear()
        self._path.pop()


def _read(data: bytes) -> _Reader:
    """Parse XML of any declared encoding. Raises one of XML_ERRORS."""
    if len(data) > MAX_XML:
        raise ValueError(f"more than {MAX_XML >> 20} MB of XML")
    reader = _Reader()
    parser = (_Parser if len(data) <= _MAX_XML_WITH_ENTITIES else XMLParser)(target=reader)
    reader.parser = parser.parser
    parser.feed(data)
    parser.close()
    return reader


def subjects(xmp: bytes) -> list[str]:
    """Return the keywords of an XMP packet or an SVG, stripped. Raises one of XML_ERRORS."""
    return _read(xmp.rstrip(b"\0")).subjects


def extended(packet: bytes, tags: list[str]) -> bytes:
    """Return `packet` with those of `tags` that it lacks. Raises one of XML_ERRORS.

    The new elements are cut in at the parser's byte offsets, not written from a tree, so that
    comments, processing instructions, prefixes and blanks of other programs stay as they are.
    """
    places = _read(packet)
    known = {normalise_tag(tag) for tag in (*places.subjects, *distinct_keywords(places.subjects))}
    lacking: dict[str, str] = {}
    for tag in tags:
        if (name := normalise_tag(tag)) not in known:
            lacking.setdefault(name, tag)
    if not lacking:
        return packet
    packet.decode("utf-8")
    if places.lists:
        longer = _cut_in(packet, places.lists[-1], _items(lacking.values()))
    elif places.roots and not places.has_subject:
        longer = _cut_in(packet, places.roots[0], _description(lacking.values(), places.about))
    else:
        raise ValueError("not XMP, or its dc:subject is not a list")
    if _read(longer).subjects != [*places.subjects, *lacking.values()]:
        raise ValueError("its encoding or form does not take the tags")
    return longer


def _items(tags: Iterable[str]) -> list[str]:
    return [f"<rdf:li>{escape(tag)}</rdf:li>" for tag in tags]


def _description(tags: Iterable[str], about: str | None) -> list[str]:
    # All descriptions of a packet must be about the same thing (XMP part 1, section 7.4).
    return [
        f'<rdf:Description rdf:about={quoteattr(about or "")} xmlns:dc="{_NAMESPACES["dc"]}">',
        " <dc:subject>",
        "  <rdf:Bag>",
        *(f"   {item}" for item in _items(tags)),
        "  </rdf:Bag>",
        " </dc:subject>",
        "</rdf:Description>",
    ]


def _cut_in(packet: bytes, span: tuple[int, int], lines: list[str]) -> bytes:
    """Put `lines` of RDF at the end of the element whose tags are at `span`, indented like it."""
    start, end = span
    name = re.split(rb"[\s/>]", packet[start + 1 :], maxsplit=1)[0]
    if not packet.startswith(b"</" + name, end):  # <rdf:Bag/>, and the parser stood behind it
        packet = packet[: end - 2] + b"></" + name + b">" + packet[end:]
        end -= 1
    before = packet[:end].rstrip(b" \t\r\n")
    indent = packet[len(before) : end].decode()
    text = "".join(f"{indent} {line}" if "\n" in indent else line.strip() for line in lines)
    return before + text.encode() + packet[len(before) :]


def distinct_keywords(texts: Iterable[str]) -> list[str]:
    """Return the keywords in `texts`, stripped, each once, and two common accidents mended.

    Web shops escape twice (`&amp;eacute;`), and some programs store `cat; dog` as one keyword.
    """
    mended = (re.sub(r"&#?\w+;", lambda entity: html.unescape(entity[0]), text) for text in texts)
    tags = (tag.strip() for text in mended for tag in text.split(";"))
    return list(dict.fromkeys(tag for tag in tags if tag))
