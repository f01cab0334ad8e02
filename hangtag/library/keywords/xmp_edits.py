"""Edits of XMP text: lists extended in place, and how each edit is taken back.

Elements are inserted at the parser's byte offsets, not written from a tree, so that comments,
processing instructions, prefixes and blanks of other programs stay as they are.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from hangtag.library.keywords.xmp_properties import RDF
from hangtag.library.keywords.xmp_reader import located

PREFIXES: Final = {
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://ns.adobe.com/lightroom/1.0/": "lr",
    "http://www.digikam.org/ns/1.0/": "digiKam",
    "http://ns.microsoft.com/photo/1.0/": "MicrosoftPhoto",
    "urn:hangtag:xmp/1.0/": "hangtag",
}
_EDIT: Final = re.compile(r"(\d+)\+(\d+)(?::([\w+/=]*))?")


def digest(text: str) -> str:
    """Return 32 hex digits by which a text is known again."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Edited:
    """A text, and the edits made to it."""

    def __init__(self, text: str, *, only_ascii: bool = False) -> None:
        self.text = text
        self.edits: list[str] = []
        self._only_ascii = only_ascii

    def change(self, text: str) -> None:
        """Replace the text, and note how it was: `START+LENGTH:REMOVED`, in base64."""
        if text == self.text:
            return
        start = _common(self.text, text)
        most = min(len(self.text), len(text)) - start
        end = _common(self.text[::-1][:most], text[::-1][:most])
        removed = self.text[start : len(self.text) - end].encode()
        note = f"{start}+{len(text) - end - start}"
        self.edits.append(f"{note}:{base64.b64encode(removed).decode()}" if removed else note)
        self.text = text

    def add(self, name: str, texts: Sequence[str]) -> None:
        """Add items to the last list of a property, or a new one. Raises one of XML_ERRORS."""
        found = located(self.text)
        lists = found.offsets.lists(name)[-1:]
        if lists:
            data = self.text.encode()
            lines = [_item(text, _prefix(data, lists[0])) for text in texts]
            self._insert(lists[0], lines)
        else:
            self.describe({name: [(text, {}) for text in texts]})

    def describe(self, properties: Mapping[str, Sequence[tuple[str, Mapping[str, str]]]]) -> None:
        """Add a description with lists: items of text, or of attributes in the namespace."""
        found = located(self.text)
        offsets, about = found.offsets, found.about or ""
        spans = offsets.roots[:1] or offsets.wrappers[:1]
        if not spans:
            raise ValueError("not XMP")
        if offsets.roots:
            prefix = _prefix(self.text.encode(), spans[0])
            self._insert(spans[0], _description(properties, prefix, about))
            return
        inside = (f" {line}" for line in _description(properties, "rdf", about))
        self._insert(spans[0], [f'<rdf:RDF xmlns:rdf="{RDF[1:-1]}">', *inside, "</rdf:RDF>"])

    def _insert(self, span: tuple[int, int], lines: list[str]) -> None:
        if self._only_ascii:
            lines = [line.encode("ascii", "xmlcharrefreplace").decode() for line in lines]
        self.change(_inserted(self.text.encode(), span, lines).decode())


def reverted(text: str, edits: Iterable[str]) -> str:
    """Return a text as it was before `edits`. Raises ValueError for edits that do not fit."""
    for edit in reversed([*edits]):
        found = _EDIT.fullmatch(edit)
        start, length = (int(found[1]), int(found[2])) if found else (0, -1)
        if found is None or start + length > len(text):
            raise ValueError("damaged record of edits")
        try:
            removed = base64.b64decode(found[3] or "").decode()
        except binascii.Error as cause:
            raise ValueError("damaged record of edits") from cause
        text = text[:start] + removed + text[start + length :]
    return text


def _common(a: str, b: str) -> int:
    """Return how many characters two texts have in common at their beginning."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if a[:middle] == b[:middle] else (low, middle - 1)
    return low


def _prefix(packet: bytes, span: tuple[int, int]) -> str:
    return name_at(packet, span[0]).rpartition(b":")[0].decode()


def _item(text: str, prefix: str, attributes: Mapping[str, str] | None = None) -> str:
    li = f"{prefix}:li" if prefix else "li"
    if not attributes:
        return f"<{li}>{escape(text)}</{li}>"
    given = "".join(f" hangtag:{name}={quoteattr(value)}" for name, value in attributes.items())
    return f"<{li}{given}/>"


def _description(
    properties: Mapping[str, Sequence[tuple[str, Mapping[str, str]]]], prefix: str, about: str
) -> list[str]:
    # All descriptions of a packet must be about the same thing (XMP part 1, section 7.4). An
    # attribute needs a prefix, so it is declared here for a packet whose RDF has none.
    declared = "" if prefix else f' xmlns:rdf="{RDF[1:-1]}"'
    rdf = prefix or "rdf"
    namespace = next(iter(properties))[1:].split("}")[0]
    own = PREFIXES[namespace]
    lines = [
        f'<{rdf}:Description{declared} {rdf}:about={quoteattr(about)} xmlns:{own}="{namespace}">'
    ]
    for name, items in properties.items():
        tag = name.split("}")[1]
        lines += [
            f" <{own}:{tag}>",
            f"  <{rdf}:Bag>",
            *(f"   {_item(text, rdf, attributes)}" for text, attributes in items),
            f"  </{rdf}:Bag>",
            f" </{own}:{tag}>",
        ]
    return [*lines, f"</{rdf}:Description>"]


def name_at(packet: bytes, start: int) -> bytes:
    """Return the name of the element whose start tag is at `start`."""
    return re.split(rb"[\s/>]", packet[start + 1 :], maxsplit=1)[0]


def _inserted(packet: bytes, span: tuple[int, int], lines: list[str]) -> bytes:
    """Insert `lines` of RDF at the end of the element with tags at `span`, indented like it."""
    start, end = span
    name = name_at(packet, start)
    if not packet.startswith(b"</" + name, end):  # <rdf:Bag/>: the parser was already behind it
        packet = packet[: end - 2] + b"></" + name + b">" + packet[end:]
        end -= 1
    before = packet[:end].rstrip(b" \t\r\n")
    indent = packet[len(before) : end].decode()
    text = "".join(f"{indent} {line}" if "\n" in indent else line.strip() for line in lines)
    return before + text.encode() + packet[len(before) :]
