"""What an XMP packet says about keywords, and where in its text."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from hangtag.library.keywords.machine_tags import MachineTag
from hangtag.library.keywords.xmp_properties import (
    FIELDS,
    HIERARCHY,
    LAST_KEYWORD,
    TAGS_LIST,
    Keyword,
    all_levels,
    last_levels,
    without_levels,
)
from hangtag.library.rules import normalise_tag

Span = tuple[int, int]


@dataclass(frozen=True)
class People:
    """Keywords of people in other places than a packet, which its new fields must not hide."""

    keywords: Sequence[str] = ()
    paths: Sequence[tuple[str, ...]] = ()
    """The same with their levels, as `Packet.paths`."""


NOBODY: Final = People()


class Element(NamedTuple):
    """Offsets of a property."""

    span: Span
    """Its start tag, its end tag."""
    lists: list[Span]
    """The lists in it, likewise."""


@dataclass
class Offsets:
    """Offsets in UTF-8 of the tags of elements: start tag, end tag."""

    properties: dict[str, list[Element]] = field(default_factory=lambda: defaultdict(list))
    """Properties of LOCATED that are elements, by their full names."""
    roots: list[Span] = field(default_factory=list)
    """rdf:RDF."""
    wrappers: list[Span] = field(default_factory=list)
    """x:xmpmeta."""
    described: list[int] = field(default_factory=list)
    """The start tags that have `dc:subject` as an attribute."""
    descriptions: list[Span] = field(default_factory=list)
    """The nodes below rdf:RDF."""

    def lists(self, name: str) -> list[Span]:
        """Return every list of a property."""
        return [one for element in self.properties[name] for one in element.lists]

    @property
    def subjects(self) -> list[Span]:
        """`dc:subject` as an element."""
        return [element.span for element in self.properties[next(iter(FIELDS))]]


@dataclass
class Packet:
    """The keywords of one or several XMP packets."""

    subjects: list[str] = field(default_factory=list)
    """The values of `dc:subject`, as they are."""
    whole: list[str] = field(default_factory=list)
    """The subjects that hangtag wrote and that are one tag although they look like several."""
    others: list[Keyword] = field(default_factory=list)
    """The values of all other properties."""
    values: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """The values of each property of FIELDS but `dc:subject`; [] for one that is empty."""
    machine: list[MachineTag] = field(default_factory=list)
    """The tags that hangtag marked as its own."""
    undo: list[str] = field(default_factory=list)
    file: list[str] = field(default_factory=list)
    extension: str = ""
    """GUID of the extended XMP that belongs to it."""
    about: str | None = None
    """The resource that the packet describes."""
    has_subject: bool = False
    offsets: Offsets = field(default_factory=Offsets)

    def keywords(self) -> list[str]:
        """Return the keywords of people: subjects, then the last level of other properties."""
        subjects = list(without_levels(self.subjects, self.whole))
        if not self.machine:
            return [*subjects, *last_levels(self.others, subjects, self.whole)]
        names = {name for mark in self.machine for name in mark.names()}
        texts = {sign.join(mark.path) for mark in self.machine for sign in "|/"}
        others = [keyword for keyword in self.others if keyword.text not in texts]
        found = [*subjects, *last_levels(others, subjects, self.whole)]
        return [text for text in found if normalise_tag(text) not in names]

    def paths(self) -> list[tuple[str, ...]]:
        """Return people's keywords as paths: those with levels, then subjects at no level."""
        subjects = list(without_levels(self.subjects, self.whole))
        found = dict.fromkeys(all_levels(self._hierarchical(), subjects, self.whole))
        machine = {normalise_tag(mark.subject) for mark in self.machine}
        found = {path: None for path in found if normalise_tag(path[-1]) not in machine}
        levels = {normalise_tag(level) for path in found for level in path}
        flat = [(text,) for text in self.keywords() if normalise_tag(text) not in levels]
        return [*found, *dict.fromkeys(flat)]

    def _hierarchical(self) -> list[Keyword]:
        found = [
            Keyword(text, FIELDS[name])
            for name in (TAGS_LIST, HIERARCHY, LAST_KEYWORD)
            for text in self.values.get(name, ())
        ]
        split = [text for text in self.subjects if [*without_levels([text], self.whole)] != [text]]
        return [*found, *(Keyword(text, "|") for text in split)]

    def forms(self) -> list[str]:
        """Return every text that another block may hold a copy of, machine tags included."""
        machine = [text for mark in self.machine for text in (mark.tag, mark.subject)]
        others = (keyword.text for keyword in self.others)
        return [*self.keywords(), *self.subjects, *others, *machine]
