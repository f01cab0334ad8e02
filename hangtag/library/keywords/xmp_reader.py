"""Keywords in XMP, in any of the properties that programs use, and in the RDF of an SVG."""

import re
import zlib
from typing import Any, Final
from xml.etree.ElementTree import Element, ParseError, TreeBuilder
from xml.parsers.expat import errors

from defusedxml.common import DefusedXmlException, EntitiesForbidden
from defusedxml.ElementTree import XMLParser

from hangtag.library.keywords.encodings import decoded_xml
from hangtag.library.keywords.machine_tags import FILE, MARKS, UNDO, read_marks
from hangtag.library.keywords.xmp_content import Element as Located
from hangtag.library.keywords.xmp_content import Packet, Span
from hangtag.library.keywords.xmp_properties import (
    FIELDS,
    LOCATED,
    PROPERTIES,
    RDF,
    SUBJECT,
    WHOLE,
)

_RDF, _DESCRIPTION, _ABOUT, *_LISTS = (
    RDF + name for name in ("RDF", "Description", "about", "Bag", "Seq", "Alt")
)
_WRAPPERS: Final = ("{adobe:ns:meta/}xmpmeta", "{adobe:ns:meta/}xapmeta")
_EXTENSION: Final = "{http://ns.adobe.com/xmp/note/}HasExtendedXMP"

_READ: Final = (*PROPERTIES, _EXTENSION, MARKS)

# Bytes and depth of XML: more than real drawings have, less than would fill the memory (the worst
# case found for 32 MB takes 0.6 GB and half a minute).
MAX_XML: Final = 32 << 20
_MAX_DEPTH: Final = 1000
_MAX_ELEMENTS: Final = 50_000  # in one list of keywords
# Together these keep expanded entities below 400 MB.
_MAX_ENTITY: Final = 64
_MAX_XML_WITH_ENTITIES: Final = 8 << 20

# Raised by reading or extending XML.
XML_ERRORS: Final = (
    DefusedXmlException,
    ParseError,
    ValueError,
    LookupError,
    OSError,
    EOFError,
    zlib.error,
)
_JUNK: Final = errors.codes[errors.XML_ERROR_JUNK_AFTER_DOC_ELEMENT]
# Characters that XML does not allow, and references to them.
_FORBIDDEN: Final = re.compile(
    "[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|&#x0*([0-8bcef]|1[0-9a-f]);|&#0*([0-8]|1[124-9]|2\\d|3[01]);",
    re.IGNORECASE,
)


class _Parser(XMLParser):  # type: ignore[misc]
    """Refuses external and nested entities, and allows short plain ones.

    Illustrator declares its namespaces as such entities in every SVG.
    """

    def defused_entity_decl(
        self, name: str, is_parameter: bool, value: str | None, *rest: str
    ) -> None:
        if is_parameter or value is None or len(value) > _MAX_ENTITY or "&" in value:
            raise EntitiesForbidden(name, value, *rest)


class _Reader:
    """A parser's target that builds a tree only of the properties that hold keywords.

    A property counts below `rdf:RDF/*`, a subject also below `metadata`; deeper ones belong to
    parts of the image.
    """

    def __init__(self, packet: Packet) -> None:
        self.parser: Any = None
        self.packet = packet
        self._path: list[str] = []
        self._starts: list[int] = []
        self._lists: list[Span] = []  # of the property being read
        self._builder = TreeBuilder()
        self._open: list[Element] = []  # the property being read, and the elements down from it
        self._elements = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if len(self._path) == _MAX_DEPTH:
            raise ValueError(f"more than {_MAX_DEPTH} elements within each other")
        self._path.append(tag)
        if self._open:
            self._elements += 1
            if self._elements > _MAX_ELEMENTS:
                raise ValueError(f"more than {_MAX_ELEMENTS} elements in one list of keywords")
            self._open.append(self._builder.start(tag, attributes))
        elif tag in _READ and self._counts(tag):
            self._builder, self._elements, self._lists = TreeBuilder(), 0, []
            self._open = [self._builder.start(tag, attributes)]
            self.packet.has_subject |= tag == SUBJECT
        elif self._path[-2:-1] == [_RDF]:
            self._describe(attributes)
        self._starts.append(self.parser.CurrentByteIndex)

    def data(self, text: str) -> None:
        if self._open:
            self._builder.data(text)

    def end(self, tag: str) -> None:
        self._locate(tag, (self._starts.pop(), self.parser.CurrentByteIndex))
        if self._open:
            self._builder.end(tag)
            if len(self._open) == 1:
                self._take(self._open[0])
            self._open.pop()
        self._path.pop()

    def stop(self) -> None:
        """Keep the complete keywords of a list in which the text breaks off."""
        if len(self._open) > 1:
            for element, parent in zip(self._open[:1:-1], self._open[-2::-1], strict=False):
                parent.remove(element)
            self._take(self._open[0])

    def _locate(self, tag: str, span: Span) -> None:
        offsets = self.packet.offsets
        if self._open:
            if tag in _LISTS and len(self._open) == 2:
                self._lists.append(span)
            elif len(self._open) == 1 and tag in LOCATED:
                offsets.properties[LOCATED[tag]].append(Located(span, self._lists))
        elif tag == _RDF:
            offsets.roots.append(span)
        elif tag in _WRAPPERS:
            offsets.wrappers.append(span)
        elif self._path[-2:-1] == [_RDF]:
            offsets.descriptions.append(span)

    def _counts(self, tag: str) -> bool:
        inside_metadata = tag == SUBJECT and "".join(self._path[-2:-1]).endswith("metadata")
        return self._path[-3:-2] == [_RDF] or inside_metadata

    def _describe(self, attributes: dict[str, str]) -> None:
        """Read the properties that an rdf:Description has as attributes."""
        self.packet.about = self.packet.about or attributes.get(_ABOUT)
        for name, text in attributes.items():
            if name in PROPERTIES or name == _EXTENSION:
                if name == SUBJECT:
                    self.packet.has_subject = True
                    self.packet.offsets.described.append(self.parser.CurrentByteIndex)
                element = Element(name)
                element.text = text
                self._take(element)

    def _take(self, element: Element) -> None:
        if element.tag == _EXTENSION:
            self.packet.extension = "".join(element.itertext()).strip()
            return
        if element.tag == MARKS:
            self.packet.machine += read_marks(element)
            return
        found = PROPERTIES[element.tag](element)
        texts = [keyword.text for keyword in found]
        if element.tag in (SUBJECT, WHOLE, UNDO, FILE):
            getattr(self.packet, _ATTRIBUTES[element.tag]).extend(texts)
            return
        if (name := LOCATED.get(element.tag)) in FIELDS:
            self.packet.values[str(name)] += texts
        self.packet.others += found


_ATTRIBUTES: Final = {SUBJECT: "subjects", WHOLE: "whole", UNDO: "undo", FILE: "file"}


def read(data: bytes, *, broken_off: bool = False) -> Packet:
    """Return the keywords of XMP or an SVG. Raises one of XML_ERRORS.

    Text after the end, several packets in a row and characters that XML forbids are tolerated.
    With `broken_off`, complete keywords are returned from a text that breaks off.
    """
    if len(data) > MAX_XML:
        raise ValueError(f"more than {MAX_XML >> 20} MB of XML")
    text = decoded_xml(data).text.strip("\0 \t\r\n")
    try:
        return located(text)
    except ParseError:
        packet = Packet()
        pieces = re.split(r"(?=<\?xpacket\s+begin)|(?=<\?xml\s)", _FORBIDDEN.sub("", text))
        pieces = [piece for piece in pieces if re.search(r"<[^?!]", piece)]
        if not pieces:
            raise
        for piece in pieces:
            _read_piece(piece, packet, broken_off)
        return packet


def located(text: str) -> Packet:
    """Parse a text of XML strictly; offsets hold in its UTF-8 form. Raises one of XML_ERRORS."""
    packet = Packet()
    parser, _ = _parser(text, packet)
    parser.feed(text.encode())
    parser.close()
    return packet


def _read_piece(text: str, packet: Packet, broken_off: bool) -> None:
    parser, reader = _parser(text, packet)
    try:
        parser.feed(text.encode())
        parser.close()
    except ParseError as cause:
        if broken_off:
            reader.stop()
        elif cause.code != _JUNK:
            raise


def _parser(text: str, packet: Packet) -> tuple[Any, _Reader]:
    if len(text) > MAX_XML:
        raise ValueError(f"more than {MAX_XML >> 20} MB of XML")
    reader = _Reader(packet)
    kind = _Parser if len(text) <= _MAX_XML_WITH_ENTITIES else XMLParser
    parser = kind(target=reader, encoding="utf-8")
    reader.parser = parser.parser
    return parser, reader
