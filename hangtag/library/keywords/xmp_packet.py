"""XMP packets with machine tags: every field that programs read, and marks of what is hangtag's.

What people wrote stays as it is, byte for byte. Sources: XMP specification part 1 (ISO 16684-1),
section 7; MWG guidelines 2.0, chapter 5; digiKam's metadata settings (who reads which field).
"""

import base64
from collections.abc import Sequence
from typing import Final

from hangtag.library.keywords.encodings import decoded_xml
from hangtag.library.keywords.machine_tags import MARKS, UNDO, MachineTag
from hangtag.library.keywords.separators import distinct_keywords
from hangtag.library.keywords.xmp_content import NOBODY, Packet, People
from hangtag.library.keywords.xmp_edits import Edited, digest, name_at
from hangtag.library.keywords.xmp_properties import FIELDS, RDF, SUBJECT, WHOLE, without_levels
from hangtag.library.keywords.xmp_reader import located
from hangtag.library.keywords.xmp_subject import emptied
from hangtag.library.rules import normalise_tag

NEW_PACKET: Final = f"""\
<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="{RDF[1:-1]}">
 </rdf:RDF>
</x:xmpmeta>
""".encode()
# As it stands inside an image file.
NEW_EMBEDDED: Final = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'.encode()
    + NEW_PACKET.split(b"\n", 1)[1]
    + b'<?xpacket end="w"?>'
)
BLANK: Final = b"\0 \t\r\n\xef\xbb\xbf"
# In place of edits: there was no packet before; there was one of blanks, in base64.
CREATED, FILLED = "new", "blank:"


def tagged(
    packet: bytes | None,
    marks: Sequence[MachineTag],
    *,
    people: People = NOBODY,
    start: bytes = NEW_PACKET,
) -> bytes:
    """Return `packet`, which has no machine tags, with those of `marks` that people lack.

    A field that is not there yet begins with the keywords that people put into the others and
    elsewhere (`people`): programs read the first one that they find, in a sidecar before the image.
    A packet that is None or blank begins as `start`. Without new tags the packet is returned as it
    is, b"" for None. The encoding stays; characters that a declared code page may lack are written
    as references. Raises one of XML_ERRORS.
    """
    is_new = packet is None or not packet.strip(BLANK)
    source = decoded_xml(start if packet is None or is_new else packet)
    found = located(source.text)
    new = _lacking(found, marks, people)
    if not new:
        return packet or b""
    if not is_new and source.encode(source.text) != packet:
        raise ValueError("its encoding does not reproduce the same bytes")
    edited = Edited(source.text, only_ascii=not source.agrees)
    _fill(edited, found, new, people)
    edits = edited.edits
    if is_new:
        edits = [FILLED + base64.b64encode(packet).decode()] if packet is not None else [CREATED]
    undo = " ".join((digest(edited.text), *edits))
    edited.describe({MARKS: [("", mark.attributes()) for mark in new], UNDO: [(undo, {})]})
    longer = source.encode(edited.text)
    again = located(decoded_xml(longer).text)
    if again.machine != new or not {mark.subject for mark in new} <= set(again.subjects):
        raise ValueError("the tags cannot be written in its encoding or form")
    return longer


def recorded(packet: bytes, text: str) -> bytes:
    """Return a packet that `tagged` made with `hangtag:file` beside the record of its edits.

    The record describes the packet without both. Raises one of XML_ERRORS.
    """
    source = decoded_xml(packet)
    (undo,) = located(source.text).offsets.properties[UNDO]
    data = source.text.encode()
    bag = name_at(data, undo.lists[0][0])
    rdf = bag.removesuffix(b"Bag")
    end = data.index(b">", undo.span[1]) + 1
    indent = data[len(data[: undo.span[0]].rstrip(b" \t\r\n")) : undo.span[0]]
    item = b"<%bli>%b</%bli>" % (rdf, text.encode(), rdf)
    added = b"%b<hangtag:file><%b>%b</%b></hangtag:file>" % (indent, bag, item, bag)
    return source.encode((data[:end] + added + data[end:]).decode())


def _lacking(found: Packet, marks: Sequence[MachineTag], people: People) -> list[MachineTag]:
    """Return those of `marks` that are no keyword of people, whole or as a last level."""
    levels = without_levels(found.subjects, found.whole)
    names = [*distinct_keywords(levels, found.whole), *found.keywords()]
    elsewhere = [*people.keywords, *distinct_keywords(people.keywords)]
    known = {normalise_tag(text) for text in (*names, *found.subjects, *elsewhere)}
    return [mark for mark in marks if not mark.names() & known]


def _fill(edited: Edited, found: Packet, marks: Sequence[MachineTag], people: People) -> None:
    """Add `marks` to every field of a packet whose content is `found`."""
    subjects = list(dict.fromkeys(mark.subject for mark in marks))
    flat, paths = _begin(found, people)
    if found.has_subject and not found.offsets.lists(SUBJECT):
        edited.change(emptied(edited.text, found))
        subjects = [*(found.subjects or flat), *subjects]
    elif not found.subjects:
        subjects = [*flat, *subjects]
    edited.add(SUBJECT, subjects)
    for name, sign in list(FIELDS.items())[1:]:
        added = [mark.path for mark in marks]
        if not found.values.get(name):
            added = [*paths, *added]
        if name not in found.values or found.offsets.lists(name):
            edited.add(name, [sign.join(path) for path in added])
    whole = [text for text in subjects if text not in found.subjects and not _is_plain(text)]
    if whole:
        edited.add(WHOLE, whole)


def _begin(found: Packet, people: People) -> tuple[list[str], list[tuple[str, ...]]]:
    """Return what a new field begins with: keywords, and the same with levels."""
    flat, paths = found.keywords(), found.paths()
    names = {normalise_tag(text) for text in flat}
    flat += [text for text in people.keywords if normalise_tag(text) not in names]
    levels = {normalise_tag(level) for path in paths for level in path}
    paths += [path for path in people.paths if normalise_tag(path[-1]) not in levels]
    return flat, paths


def _is_plain(tag: str) -> bool:
    """Return whether a subject is read as this one tag without being marked as whole."""
    return distinct_keywords(Packet(subjects=[tag]).keywords()) == [tag]
