"""XMP properties that hold keywords, and the form of each.

Sources: XMP specification part 1 (ISO 16684-1), section 7 (forms of a value); ExifTool's list of
XMP tags; digiKam's metadata settings (who writes which property); MWG guidelines 2.0, chapter 5.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple
from xml.etree.ElementTree import Element

from defusedxml.ElementTree import fromstring

from hangtag.library.keywords.machine_tags import FILE, HANGTAG, MARKS, UNDO
from hangtag.library.keywords.separators import COMMAS, distinct_keywords, split_list
from hangtag.library.rules import normalise_tag

RDF: Final = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
DC: Final = "http://purl.org/dc/elements/1.1/"
SUBJECT: Final = f"{{{DC}}}subject"
LIGHTROOM: Final = "http://ns.adobe.com/lightroom/1.0/"
DIGIKAM: Final = "http://www.digikam.org/ns/1.0/"
MICROSOFT: Final = "http://ns.microsoft.com/photo/1.0/"
HIERARCHY: Final = f"{{{LIGHTROOM}}}hierarchicalSubject"
TAGS_LIST: Final = f"{{{DIGIKAM}}}TagsList"
LAST_KEYWORD: Final = f"{{{MICROSOFT}}}LastKeywordXMP"
# The properties that tags are written to, and the sign between levels in each.
FIELDS: Final = {SUBJECT: "", HIERARCHY: "|", TAGS_LIST: "/", LAST_KEYWORD: "/"}
# Lists the subjects that are one tag although they look like several: `heart; love`, `a|b`.
WHOLE: Final = f"{{{HANGTAG}}}whole"
_VALUE, _DESCRIPTION, *_LISTS = (
    RDF + name for name in ("value", "Description", "Bag", "Seq", "Alt")
)
_DEEPEST: Final = 8  # lists within lists
_MWG: Final = "http://www.metadataworkinggroup.com/schemas/keywords/"
# Top levels that programs use for their own state.
_INTERNAL: Final = ("_digikam_internal_tags_", "darktable")
_MAX_CATEGORIES: Final = 1 << 20  # characters of XML


class Keyword(NamedTuple):
    """A keyword as a property holds it, and the signs that may separate its levels."""

    text: str
    separators: str = ""


def without_levels(subjects: Iterable[str], whole: Iterable[str]) -> Iterator[str]:
    """Yield the last level of each subject: `cat` of `animal|cat`, as Lightroom and digiKam write.

    Subjects in `whole`, and those with an emoticon or nothing beside a bar, have no levels.
    """
    kept = set(whole)
    for text in subjects:
        levels = [] if text in kept else text.split("|")
        if len(levels) > 1 and all(any(map(str.isalnum, level)) for level in levels):
            yield from last_levels([Keyword(text, "|")], ())
        else:
            yield text


def last_levels(
    keywords: Iterable[Keyword], subjects: Iterable[str], whole: Iterable[str] = ()
) -> Iterator[str]:
    """Yield the last level of each keyword: `cat` of `animal|cat`.

    A keyword that is a subject as a whole has no levels, only a sign in it: `black/white`. Subjects
    in `whole` are one tag although they look like several.
    """
    for levels in all_levels(keywords, subjects, whole):
        yield levels[-1]


def all_levels(
    keywords: Iterable[Keyword], subjects: Iterable[str], whole: Iterable[str] = ()
) -> Iterator[tuple[str, ...]]:
    """Yield the levels of each keyword, without those of programs' own trees.

    See `last_levels` for keywords that have none.
    """
    flat = {normalise_tag(text) for text in distinct_keywords(subjects, whole)}
    for text, separators in keywords:
        sign = next((sign for sign in separators if sign in text), None)
        if sign is None or normalise_tag(text) in flat or not any(map(str.isalnum, text)):
            yield (text,)
            continue
        levels = tuple(level for part in text.split(sign) if (level := part.strip()))
        if levels[0].casefold() not in _INTERNAL:
            yield levels


def _texts(element: Element, depth: int = 0) -> list[tuple[str, bool]]:
    """Return the values of a property, and whether each is an item of a list.

    A value is text or, where it has qualifiers, an `rdf:value` in any of RDF's forms.
    """
    if _VALUE in element.attrib:
        return [(element.attrib[_VALUE], False)]
    parts = [child for child in element if child.tag == _VALUE]
    parts = parts or [child for child in element if child.tag in (*_LISTS, _DESCRIPTION)]
    if not parts or depth > _DEEPEST:
        return [("".join(element.itertext()), False)]
    found = []
    for child in parts:
        is_list = child.tag in _LISTS
        for item in child if is_list else [child]:
            found += [(text, is_list) for text, _ in _texts(item, depth + 1)]
    return found


def _keywords(separators: str = "", pattern: str = "") -> Callable[[Element], list[Keyword]]:
    """Return a reader of a property: `separators` between levels, `pattern` between items."""

    def read(element: Element) -> list[Keyword]:
        found: list[str] = []
        for text, is_item in _texts(element):
            found += [text] if is_item or not pattern else re.split(pattern, text)
        return [Keyword(text.strip(), separators) for text in found if text.strip()]

    return read


def _free_text(element: Element) -> list[Keyword]:
    """Read `pdf:Keywords`, which has no fixed separator."""
    return [Keyword(tag) for text, _ in _texts(element) for tag in split_list(text)]


def _categories(element: Element) -> list[Keyword]:
    """Read ACDSee's categories, which are XML within a text; only assigned ones are keywords.

    Raises one of XML_ERRORS.
    """
    text = "".join(text for text, _ in _texts(element)).strip()
    if len(text) > _MAX_CATEGORIES:
        raise ValueError("more than a million characters of acdsee:categories")
    found = fromstring(text).iter("Category") if text else ()
    chosen = (
        category
        for category in found
        if category.get("Assigned", "0" if len(category) else "1") == "1"
    )
    return [Keyword(name) for category in chosen if (name := (category.text or "").strip())]


def _hierarchy(element: Element) -> list[Keyword]:
    """Read the Metadata Working Group's tree: its leaves, and inner nodes marked as applied."""
    name, children, applied = (f"{{{_MWG}}}{part}" for part in ("Keyword", "Children", "Applied"))

    def of(node: Element, part: str) -> str:
        return (node.get(part) or node.findtext(part) or "").strip()

    found = []
    for node in element.iter():
        if text := of(node, name):
            below = node.find(children)
            is_leaf = below is None or not any(of(child, name) for child in below.iter())
            if of(node, applied).casefold() in (("true", "1", "") if is_leaf else ("true", "1")):
                found.append(Keyword(text))
    return found


_COMMA: Final = f"[{COMMAS}]"
_READERS: Final = {
    (DC, "subject"): _keywords(pattern=_COMMA),
    ("http://purl.org/dc/elements/1.0/", "subject"): _keywords(pattern=_COMMA),
    ("http://purl.org/dc/terms/", "subject"): _keywords(pattern=_COMMA),
    (LIGHTROOM, "hierarchicalSubject"): _keywords("|", _COMMA),
    (LIGHTROOM, "weightedFlatSubject"): _keywords(pattern=_COMMA),
    (DIGIKAM, "TagsList"): _keywords("|/", _COMMA),
    (MICROSOFT, "LastKeywordXMP"): _keywords("/|", _COMMA),
    (MICROSOFT, "LastKeywordIPTC"): _keywords("/|", _COMMA),
    ("http://ns.iview-multimedia.com/mediapro/1.0/", "CatalogSets"): _keywords("|", _COMMA),
    ("http://ns.microsoft.com/expressionmedia/1.0/", "CatalogSets"): _keywords("|", _COMMA),
    ("http://ns.acdsee.com/iptc/1.0/", "keywords"): _keywords("|", _COMMA),
    ("http://ns.acdsee.com/iptc/1.0/", "categories"): _categories,
    ("http://ns.adobe.com/pdf/1.3/", "Keywords"): _free_text,
    (_MWG, "Keywords"): _hierarchy,
    (HANGTAG, "whole"): _keywords(),
    (HANGTAG, "undo"): _keywords(),
    (HANGTAG, "file"): _keywords(),
}
# Some programs omit the slash at the end of a namespace.
PROPERTIES: Final = {
    f"{{{namespace}}}{name}": reader
    for (full, name), reader in _READERS.items()
    for namespace in (full, full.rstrip("/"))
}
# Properties whose place in the text is kept, under their full names.
LOCATED: Final = {
    name: full
    for full in (*FIELDS, WHOLE, MARKS, UNDO, FILE)
    for name in (full, full.replace("/}", "}"))
}
