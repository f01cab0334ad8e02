"""XMP packets extended by further keywords, with every other byte left as it is."""

import re
from collections.abc import Iterable
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from hangtag.library.keywords.encodings import decoded_xml
from hangtag.library.keywords.separators import distinct_keywords
from hangtag.library.keywords.xmp_properties import RDF, SUBJECT, WHOLE, without_levels
from hangtag.library.keywords.xmp_reader import Packet, located
from hangtag.library.keywords.xmp_subject import emptied
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

    The new elements are inserted at the parser's byte offsets, not written from a tree, so that
    comments, processing instructions, prefixes and blanks of other programs stay as they are. Only
    a `dc:subject` that is plain text becomes a list, because XMP allows no second one. The encoding
    stays as well; characters that a declared code page may lack are written as references.
    """
    source = decoded_xml(packet)
    found = located(source.text)
    new, whole = _lacking(found, tags)
    if not new and not whole:
        return packet
    if source.encode(source.text) != packet:
        raise ValueError("its encoding does not reproduce the same bytes")
    text, subjects = source.text, new
    if new and found.has_subject and not found.offsets.lists:
        text, subjects = emptied(text, found), [*found.subjects, *new]
    for name, items in ((SUBJECT, subjects), (WHOLE, whole)):
        if items:
            text = _with_items(text, name, items, only_ascii=not source.agrees)
    longer = source.encode(text)
    again = located(decoded_xml(longer).text)
    if (again.subjects, again.whole) != ([*found.subjects, *new], [*found.whole, *whole]):
        raise ValueError("the tags cannot be written in its encoding or form")
    return longer


def _lacking(found: Packet, tags: list[str]) -> tuple[list[str], list[str]]:
    """Return those of `tags` to add to the subjects, and the subjects to mark as whole.

    A subject that another program wrote, and that would be read as several tags, is marked as well
    if it is one of `tags`.
    """
    subjects = {normalise_tag(text): text for text in reversed(found.subjects)}
    levels = without_levels(found.subjects, found.whole)
    known = set(map(normalise_tag, distinct_keywords(levels, found.whole)))
    new, whole = [], []
    for tag in tags:
        if (name := normalise_tag(tag)) in known:
            continue
        known.add(name)
        if name not in subjects:
            new.append(tag)
        if not _is_plain(text := subjects.get(name, tag)) and text not in found.whole:
            whole.append(text)
    return new, whole


def _is_plain(tag: str) -> bool:
    """Return whether a subject is read as this one tag without being marked as whole."""
    return distinct_keywords(Packet(subjects=[tag]).keywords()) == [tag]


def _with_items(text: str, name: str, tags: list[str], *, only_ascii: bool) -> str:
    """Return XMP with `tags` at the end of the last list of a property, or in a new one."""
    found = located(text)
    offsets, about = found.offsets, found.about or ""
    lists = (offsets.lists if name == SUBJECT else offsets.whole)[-1:]
    spans = lists or offsets.roots[:1] or offsets.wrappers[:1]
    if not spans:
        raise ValueError("not XMP")
    data = text.encode()
    prefix = _name(data, spans[0][0]).rpartition(b":")[0].decode()
    if lists:
        lines = _items(tags, prefix)
    elif offsets.roots:
        lines = _description(name, tags, prefix, about)
    else:
        description = (f" {line}" for line in _description(name, tags, "rdf", about))
        lines = [f'<rdf:RDF xmlns:rdf="{RDF[1:-1]}">', *description, "</rdf:RDF>"]
    if only_ascii:
        lines = [line.encode("ascii", "xmlcharrefreplace").decode() for line in lines]
    return _inserted(data, spans[0], lines).decode()


def _items(tags: Iterable[str], prefix: str) -> list[str]:
    li = f"{prefix}:li" if prefix else "li"
    return [f"<{li}>{escape(tag)}</{li}>" for tag in tags]


def _description(name: str, tags: Iterable[str], prefix: str, about: str) -> list[str]:
    # All descriptions of a packet must be about the same thing (XMP part 1, section 7.4). An
    # attribute needs a prefix, so it is declared here for a packet whose RDF has none.
    declared = "" if prefix else f' xmlns:rdf="{RDF[1:-1]}"'
    rdf = prefix or "rdf"
    namespace, tag = name[1:].split("}")
    own = "dc" if name == SUBJECT else "hangtag"
    return [
        f'<{rdf}:Description{declared} {rdf}:about={quoteattr(about)} xmlns:{own}="{namespace}">',
        f" <{own}:{tag}>",
        f"  <{rdf}:Bag>",
        *(f"   {item}" for item in _items(tags, rdf)),
        f"  </{rdf}:Bag>",
        f" </{own}:{tag}>",
        f"</{rdf}:Description>",
    ]


def _name(packet: bytes, start: int) -> bytes:
    """Return the name of the element whose start tag is at `start`."""
    return re.split(rb"[\s/>]", packet[start + 1 :], maxsplit=1)[0]


def _inserted(packet: bytes, span: tuple[int, int], lines: list[str]) -> bytes:
    """Insert `lines` of RDF at the end of the element with tags at `span`, indented like it."""
    start, end = span
    name = _name(packet, start)
    if not packet.startswith(b"</" + name, end):  # <rdf:Bag/>: the parser was already behind it
        packet = packet[: end - 2] + b"></" + name + b">" + packet[end:]
        end -= 1
    before = packet[:end].rstrip(b" \t\r\n")
    indent = packet[len(before) : end].decode()
    text = "".join(f"{indent} {line}" if "\n" in indent else line.strip() for line in lines)
    return before + text.encode() + packet[len(before) :]
