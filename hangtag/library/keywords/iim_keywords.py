"""Keywords added to IPTC-IIM data that has some, and taken out again.

Sources: IPTC-IIM 4.2, 1.5 and 2:25; MWG guidelines 2.0, 5.3: keywords stand in IPTC as in XMP.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

from hangtag.library.keywords import iptc

_LONGEST: Final = 64  # bytes of a keyword
_HEAD: Final = b"\x1c\x02\x19"


class _Set(NamedTuple):
    start: int
    end: int
    value: bytes


def with_keywords(data: bytes, tags: Sequence[str]) -> bytes:
    """Return IIM data with further keywords after its last one, in its own encoding.

    Data without keywords stays as it is: nobody reads keywords there. So does one in which a tag
    cannot be written; a tag longer than the format allows is cut, as programs do.
    """
    sets = list(_keywords(data))
    if not sets:
        return data
    values, declared = iptc.keyword_bytes(data)
    encoding = declared or iptc.encoding_of(values)
    new = []
    for tag in tags:
        try:
            value = tag.encode(encoding)
        except UnicodeEncodeError:
            continue
        while len(value) > _LONGEST:
            tag = tag[:-1]
            value = tag.encode(encoding)
        new.append(_HEAD + len(value).to_bytes(2, "big") + value)
    at = sets[-1].end
    return data[:at] + b"".join(new) + data[at:]


def without_keywords(data: bytes, tags: Collection[str]) -> bytes:
    """Return IIM data without keywords that are `tags`, whole or cut."""
    values, declared = iptc.keyword_bytes(data)
    encoding = declared or iptc.encoding_of(values)
    gone = {tag.encode(encoding, "replace")[:_LONGEST] for tag in tags}
    for found in reversed(list(_keywords(data))):
        if found.value in gone:
            data = data[: found.start] + data[found.end :]
    return data


def _keywords(data: bytes) -> Iterator[_Set]:
    """Yield the data sets 2:25, as far as the data is whole."""
    at = 0
    while data[at : at + 1] == b"\x1c" and at + 5 <= len(data):
        size = int.from_bytes(data[at + 3 : at + 5], "big")
        end = at + 5 + size
        if size & 0x8000 or end > len(data):
            return
        if data[at : at + 3] == _HEAD:
            yield _Set(at, end, data[at + 5 : end])
        at = end
