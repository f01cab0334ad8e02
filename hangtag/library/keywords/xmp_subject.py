"""The value of `dc:subject` in a form that can take further keywords: a list or nothing."""

import re
from typing import Final

from hangtag.library.keywords.xmp_reader import Packet, located

_NAME: Final = rb"[^\s=/>]+"
_ATTRIBUTE: Final = rb"\s+" + _NAME + rb"\s*=\s*(?:\"[^\"]*\"|'[^']*')"
_START_TAG: Final = re.compile(rb"<(" + _NAME + rb")((?:" + _ATTRIBUTE + rb")*)\s*/?>")
# rdf:value and rdf:parseType, which hold or announce a plain value.
_PLAIN_VALUE: Final = re.compile(
    rb"\s+(?:[^\s=:]+:)?(?:value|parseType)\s*=\s*(?:\"[^\"]*\"|'[^']*')"
)
# An element with nothing but text in it, or one rdf:value.
_PLAIN_TEXT: Final = re.compile(
    rb"\s*<((?:[^\s/>:]+:)?value)>(?:[^<]|<!\[CDATA\[.*?\]\]>)*</\1\s*>\s*"
    rb"|(?:[^<]|<!\[CDATA\[.*?\]\]>)*",
    re.DOTALL,
)


def emptied(text: str, found: Packet) -> str:
    """Return XMP whose plain `dc:subject` is an empty list or, if it was an attribute, absent.

    Every other byte stays. Raises ValueError for a `dc:subject` that is neither plain text nor a
    list, or that holds more than keywords, such as comments.
    """
    data = text.encode()
    offsets = found.offsets
    if len(offsets.subjects) + len(offsets.described) == 1:
        for start in offsets.described:
            return _without_attribute(data, start)
        for span in offsets.subjects:
            if (empty := _with_empty_list(data, span, found)) is not None:
                return empty
    raise ValueError("its dc:subject is not a list")


def _without_attribute(data: bytes, start: int) -> str:
    tag = _START_TAG.match(data, start)
    if tag is None:
        raise ValueError("its dc:subject is not a list")
    for attribute in re.finditer(_ATTRIBUTE, tag[2]):
        if attribute[0].split(b"=")[0].rstrip().endswith(b":subject"):
            at = tag.start(2)
            shorter = data[: at + attribute.start()] + data[at + attribute.end() :]
            if not located(shorter.decode()).has_subject:
                return shorter.decode()
    raise ValueError("its dc:subject is not a list")


def _with_empty_list(data: bytes, span: tuple[int, int], found: Packet) -> str | None:
    start, end = span
    tag = _START_TAG.match(data, start)
    root = found.offsets.roots and _START_TAG.match(data, found.offsets.roots[0][0])
    if not tag or not root:
        return None
    is_closed = data.startswith(b"</" + tag[1], end)  # else <dc:subject/>
    if is_closed and not _PLAIN_TEXT.fullmatch(data, tag.end(), end):
        return None
    after = data.index(b">", end) + 1 if is_closed else tag.end()
    rdf = root[1].rpartition(b":")
    bag = rdf[0] + rdf[1] + b"Bag"
    attributes = _PLAIN_VALUE.sub(b"", tag[2])
    element = b"<%b%b><%b></%b></%b>" % (tag[1], attributes, bag, bag, tag[1])
    empty = (data[:start] + element + data[after:]).decode()
    again = located(empty)
    return empty if again.offsets.lists and not again.subjects else None
