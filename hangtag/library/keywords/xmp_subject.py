"""A plain `dc:subject` emptied, so that a list of keywords can take its place.

XMP specification part 1 (ISO 16684-1), section 7: `dc:subject` is a list, and a property occurs
once. Some programs write plain text instead, as an element or an attribute, and others nothing.
"""

import re
from typing import Final

from hangtag.library.keywords.xmp_content import Packet
from hangtag.library.keywords.xmp_reader import located

_VALUE: Final = rb"\s*=\s*(?:\"[^\"]*\"|'[^']*')"
_ATTRIBUTE: Final = rb"\s+[^\s=/>]+" + _VALUE
_START_TAG: Final = re.compile(rb"<([^\s/>]+)((?:" + _ATTRIBUTE + rb")*)\s*/?>")
_TEXT: Final = rb"(?:[^<]|<!\[CDATA\[(?:[^\]]|\](?!\]>))*\]\]>)*"
# Attributes that a list cannot have.
_NOT_OF_LISTS: Final = re.compile(rb"[\s:](?:value|parseType|datatype|resource|nodeID|ID)\s*=")


def emptied(text: str, found: Packet) -> str:
    """Return XMP whose plain `dc:subject` is an empty list or, if it was an attribute, absent.

    Every other byte stays. Raises ValueError for a `dc:subject` that is neither plain text nor a
    list, or that holds more than keywords, such as comments.
    """
    data, offsets = text.encode(), found.offsets
    empty = None
    if len(offsets.described) == 1 and not offsets.subjects:
        empty = _without_attribute(data, offsets.described[0])
    elif len(offsets.subjects) == 1 and not offsets.described and offsets.roots:
        empty = _with_empty_list(data, offsets.subjects[0], offsets.roots[0][0])
    if empty is None or located(empty).subjects:
        raise ValueError("its dc:subject is not a list")
    return empty


def _without_attribute(data: bytes, start: int) -> str | None:
    tag = _START_TAG.match(data, start)
    for attribute in re.finditer(_ATTRIBUTE, tag[2]) if tag else ():
        name = attribute[0].split(b"=")[0].rstrip()
        if tag and name.endswith(b":subject"):
            at = tag.start(2)
            shorter = (data[: at + attribute.start()] + data[at + attribute.end() :]).decode()
            if not located(shorter).has_subject:
                return shorter
    return None


def _with_empty_list(data: bytes, span: tuple[int, int], root: int) -> str | None:
    """Replace the element at `span`, whose RDF begins at `root`, by one with an empty rdf:Bag."""
    start, end = span
    tag, rdf_tag = _START_TAG.match(data, start), _START_TAG.match(data, root)
    if not tag or not rdf_tag:
        return None
    rdf = rdf_tag[1].removesuffix(b"RDF")  # the prefix and its colon
    attributes = _without_plain_value(tag[2], rdf)
    after = tag.end()
    if data.startswith(b"</" + tag[1], end):  # else <dc:subject/>
        if not _is_plain(data[after:end], rdf):
            return None
        after = data.index(b">", end) + 1
    if _NOT_OF_LISTS.search(attributes):
        return None
    element = b"<%b%b><%bBag></%bBag></%b>" % (tag[1], attributes, rdf, rdf, tag[1])
    return (data[:start] + element + data[after:]).decode()


def _without_plain_value(attributes: bytes, rdf: bytes) -> bytes:
    """Return the attributes without those that hold or announce a plain value."""
    names = re.escape(rdf) + rb"(?:value|parseType|datatype)"
    return re.sub(rb"\s+" + names + _VALUE, b"", attributes)


def _is_plain(content: bytes, rdf: bytes) -> bool:
    """Return whether an element holds nothing but text, or one rdf:value with text."""
    name = re.escape(rdf) + b"value"
    value = rb"\s*<" + name + b">" + _TEXT + b"</" + name + rb"\s*>\s*"
    return re.fullmatch(value + b"|" + _TEXT, content) is not None
