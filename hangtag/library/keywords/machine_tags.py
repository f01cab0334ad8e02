"""Tags that a model put on an image, and the marks by which they are distinguished from a person's.

A mark is a structure in the XMP property `hangtag:tags`: tag, score and model.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final
from xml.etree.ElementTree import Element

from hangtag.console import warn
from hangtag.library.rules import normalise_tag

HANGTAG: Final = "urn:hangtag:xmp/1.0/"
# The marks, and how the packet was before (see `xmp_undo`).
MARKS, UNDO, FILE = (f"{{{HANGTAG}}}{name}" for name in ("tags", "undo", "file"))
_TAG, _SCORE, _MODEL, _SUBJECT = (
    f"{{{HANGTAG}}}{name}" for name in ("tag", "score", "model", "subject")
)
_DIGITS: Final = 4
# Control characters and surrogates, and a carriage return, which readers make a line end.
_NOT_IN_XML: Final = re.compile("[\0-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class MachineTag:
    """A tag that a model put on an image."""

    tag: str

    score: float
    """Calibrated probability, 0 to 1."""

    model: str
    """Name and fingerprint of the model: `clipart@3f2a91bc04de`."""

    levels: tuple[str, ...] = ()
    """Of a tag that is a path: its levels, ("animal", "cat"). Empty for any other."""

    @property
    def path(self) -> tuple[str, ...]:
        """The levels of a path; for any other tag the tag alone."""
        return self.levels or (self.tag,)

    @property
    def subject(self) -> str:
        """The keyword in fields without levels."""
        return self.path[-1]

    def names(self) -> set[str]:
        """Return the normalised keywords that readers make of the tag."""
        return {normalise_tag(self.tag), normalise_tag(self.subject)}

    def attributes(self) -> dict[str, str]:
        """Return the fields of the mark, by their names without namespace."""
        found = {"tag": self.tag, "score": f"{self.score:.{_DIGITS}f}", "model": self.model}
        return {**found, "subject": self.subject} if self.levels else found


@dataclass(frozen=True)
class Which:
    """Which machine tags are meant; without any condition, all of them."""

    model: str | None = None
    """Name, fingerprint, or NAME@FINGERPRINT of their model."""

    below: float | None = None
    """Those with a lower score."""

    tags: tuple[str, ...] = ()
    """Those of these names, in any spelling."""

    def __contains__(self, mark: MachineTag) -> bool:
        names = {normalise_tag(tag) for tag in self.tags}
        return (
            (self.model is None or self.model in (mark.model, *mark.model.rsplit("@", 1)))
            and (self.below is None or mark.score < self.below)
            and (not names or bool(names & {normalise_tag(mark.tag)}))
        )


def merged(old: Iterable[MachineTag], new: Iterable[MachineTag]) -> list[MachineTag]:
    """Return both, each tag once, without blank ones: in the order of `old`, with the scores and
    models of `new`.

    Tags are stripped and scores rounded, as they are read back from XMP. One with characters that
    XML cannot hold, such as control characters, is left out with a warning.
    """
    found = {normalise_tag(mark.tag): mark for mark in old}
    latest: dict[str, MachineTag] = {}
    for mark in new:
        if (name := normalise_tag(mark.tag)) and _is_writable(mark.tag):
            plain = replace(mark, tag=mark.tag.strip(), score=round(mark.score, _DIGITS))
            latest.setdefault(name, plain)
    return list({**found, **latest}.values())


@lru_cache(maxsize=4096)
def _is_writable(tag: str) -> bool:
    """Return whether XML can hold a tag, and gives it back; warn once if it cannot."""
    if not _NOT_IN_XML.search(tag.strip()):
        return True
    warn(f"left out of metadata: the tag {tag!a} has characters that XML cannot hold")
    return False


def read_marks(element: Element) -> list[MachineTag]:
    """Return the marks in a property `hangtag:tags`, in any form that RDF allows a structure.

    Marks without a tag are left out; a score that is no number counts as 0.
    """
    fields: list[dict[str, str]] = []
    for node in element.iter():
        of_node = {name: text for name, text in node.attrib.items() if name.startswith("{")}
        of_node |= {child.tag: child.text or "" for child in node if child.tag in _FIELDS}
        if _TAG in of_node:
            fields.append(of_node)
    return [_mark(one) for one in fields if one[_TAG].strip()]


_FIELDS: Final = (_TAG, _SCORE, _MODEL, _SUBJECT)


def _mark(fields: dict[str, str]) -> MachineTag:
    tag = fields[_TAG].strip()
    try:
        score = min(max(float(fields.get(_SCORE, "0")), 0.0), 1.0)
    except ValueError:
        score = 0.0
    levels = tuple(tag.split("/")) if fields.get(_SUBJECT) else ()
    return MachineTag(tag, score, fields.get(_MODEL, "").strip(), levels)
