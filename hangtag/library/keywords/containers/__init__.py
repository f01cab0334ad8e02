"""Where image files keep XMP and IPTC, and how these are replaced with every other byte as it is.

Each module has two functions. `read(data)` returns the `Parts` of a file, `splices(data, xmp, iim)`
the changes that give it other ones. Both raise ValueError for a file in which they would not be
sure; nothing is repaired.
"""

from collections.abc import Iterable
from dataclasses import dataclass

Span = tuple[int, int]


@dataclass
class Parts:
    """The metadata of a file that tags are written to."""

    xmp: bytes | None = None
    xmp_span: Span = (0, 0)
    """The bytes that change with the packet alone: the packet, its frame and its checksum."""
    iim: bytes | None = None
    """IPTC-IIM; None also where it is in a form that is not written."""


@dataclass(frozen=True)
class Splice:
    """The bytes `start` to `end` of a file are replaced by `data`."""

    start: int
    end: int
    data: bytes


def spliced(data: bytes, splices: Iterable[Splice]) -> bytes:
    """Return a file with changes, which do not overlap."""
    parts, at = [], 0
    for splice in sorted(splices, key=lambda one: (one.start, one.end)):
        parts += [data[at : splice.start], splice.data]
        at = splice.end
    return b"".join([*parts, data[at:]])


def inverse(data: bytes, splices: Iterable[Splice]) -> list[Splice]:
    """Return the changes that take `splices` back."""
    found, grown = [], 0
    for splice in sorted(splices, key=lambda one: (one.start, one.end)):
        start = splice.start + grown
        found.append(Splice(start, start + len(splice.data), data[splice.start : splice.end]))
        grown += len(splice.data) - (splice.end - splice.start)
    return found
