"""Keywords in XMP, in any of the properties that programs use, and in the RDF of an SVG."""

import re
import zlib
from dataclasses import dataclass, field
from typing import Any, Final
from xml.etree.ElementTree import Element, ParseError, TreeBuilder
from xml.parsers.expat import errors

from defusedxml.common import DefusedXmlException, EntitiesForbidden
from defusedxml.ElementTree import XMLParser

from hangtag.library.keywords.encodings import decoded_xml
from hangtag.library.keywords.xmp_properties import (
    PROPERTIES,
    RDF,
    SUBJECT,
    WHOLE,
    Keyword,
    last_levels,
    without_levels,
)

_RDF, _DESCRIPTION, _ABOUT, *_LISTS = (
    RDF + name for name in ("RDF", "Description", "about", "Bag", "Seq", "Alt")
)
_WRAPPERS: Final = ("{adobe:ns:meta/}xmpmeta", "{adobe:ns:meta/}xapmeta")
_EXTENSION: Final = "{http://ns.adobe.com/xmp/note/}HasExtendedXMP"

_LOCATED: Final = (_RDF, *_LISTS, *_WRAPPERS, SUBJECT)  # elements whose offsets are kept

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


@dataclass
class Offsets:
    """Offsets in UTF-8 of the tags of elements: start tag, end tag."""

    lists: list[tuple[int, int]] = field(default_factory=list)
    """Every list of subjects."""
    whole: list[tuple[int, int]] = field(default_factory=list)
    """Every list of subjects that are to be read whole."""
    roots: list[tuple[int, int]] = field(default_factory=list)
    """rdf:RDF."""
    wrappers: list[tuple[int, int]] = field(default_factory=list)
    """x:xmpmeta."""
    subjects: list[tuple[int, int]] = field(default_factory=list)
    """`dc:subject` as an element."""
    described: list[int] = field(default_factory=list)
    """The start tags that have `dc:subject` as an attribute."""


@dataclass
class Packet:
    """The keywords of one or several XMP packets."""

    subjects: list[str] = field(default_factory=list)
    """The values of `dc:subject`, as they are."""
    whole: list[str] = field(default_factory=list)
    """The subjects that hangtag wrote and that are one tag although they look like several."""
    others: list[Keyword] = field(default_factory=list)
    """The values of all other properties."""
    extension: str = ""
    """GUID of the extended XMP that belongs to it."""
    about: str | None = None
    """The resource that the packet describes."""
    has_subject: bool = False
    offsets: Offsets = field(default_factory=Offsets)

    def keywords(self) -> list[str]:
        """Return the keywords: subjects, then the last level of what other properties hold."""
        subjects = list(without_levels(self.subjects, self.whole))
        return [*subjects, *last_levels(self.others, subjects)]

    def forms(self) -> list[str]:
        """Return every text that another block may hold a copy of."""
        return [*self.keywords(), *self.subjects, *(keyword.text for keyword in self.others)]


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
        elif (tag in PROPERTIES or tag == _EXTENSION) and self._counts(tag):
            self._builder, self._elements = TreeBuilder(), 0
            self._open = [self._builder.start(tag, attributes)]
            self.packet.has_subject |= tag == SUBJECT
        elif self._path[-2:-1] == [_RDF]:
            self._describe(attributes)
        if tag in _LOCATED:
            self._starts.append(self.parser.CurrentByteIndex)

    def data(self, text: str) -> None:
        if self._open:
            self._builder.data(text)

    def end(self, tag: str) -> None:
        if tag in _LOCATED:
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

    def _locate(self, tag: str, span: tuple[int, int]) -> None:
        offsets = self.packet.offsets
        name = self._open[0].tag if self._open else ""
        if tag == _RDF:
            offsets.roots.append(span)
        elif tag in _WRAPPERS:
            offsets.wrappers.append(span)
        elif tag in _LISTS and name in (SUBJECT, WHOLE) and len(self._open) == 2:
            (offsets.lists if name == SUBJECT else offsets.whole).append(span)
        elif tag == SUBJECT and len(self._open) == 1:
            offsets.subjects.append(span)

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
        found = PROPERTIES[element.tag](element)
        if element.tag == SUBJECT:
            self.packet.subjects += [keyword.text for keyword in found]
        elif element.tag == WHOLE:
            self.packet.whole += [keyword.text for keyword in found]
        else:
            self.packet.others += found


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
