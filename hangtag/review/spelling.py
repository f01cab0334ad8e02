"""Tags that differ only in spelling are one tag: its key, and the spelling that is shown."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

from hangtag.library.catalog import Design
from hangtag.library.rules import normalise_tag
from hangtag.library.vocabulary import Vocabulary

# What XML 1.0 cannot hold, not even escaped: https://www.w3.org/TR/xml/#charsets
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def tag_key(text: str, vocabulary: Vocabulary | None = None) -> str:
    """Return the key that all spellings of a tag and, with a vocabulary, its aliases share."""
    name = normalise_tag(text) or text
    return vocabulary.tag_of(name) if vocabulary else name


def one_each(texts: Iterable[str], vocabulary: Vocabulary | None = None) -> tuple[str, ...]:
    """Return the first spelling of every tag, in order."""
    first: dict[str, str] = {}
    for text in texts:
        first.setdefault(tag_key(text, vocabulary), text)
    return tuple(first.values())


class Spelling:
    """One spelling of every tag for a whole library: the most frequent one of its human tags.

    A tag that occurs only as an alias gets the vocabulary's name. Runs of whitespace become one
    blank, and characters that XML cannot hold become U+FFFD.
    """

    def __init__(self, designs: Iterable[Design], vocabulary: Vocabulary | None = None) -> None:
        self._vocabulary = vocabulary
        written = Counter(text for d in designs for text in (*d.tags, *d.not_tags))
        counts: dict[str, Counter[str]] = {}
        for text, count in written.items():
            if (name := tag_key(text)) == tag_key(text, vocabulary):
                counts.setdefault(name, Counter())[clean(text)] += count
        self._written = {name: found.most_common(1)[0][0] for name, found in counts.items()}

    def of(self, text: str) -> str:
        """Return the shown spelling of a tag, given any spelling or alias."""
        key = tag_key(text, self._vocabulary)
        return self._written.get(key) or clean(key)

    def all(self, texts: Iterable[str]) -> tuple[str, ...]:
        """Return the shown spellings of tags, each once, in order."""
        return tuple(dict.fromkeys(map(self.of, texts)))


def clean(text: str) -> str:
    """Return a tag with single blanks, and U+FFFD for every character that XML cannot hold."""
    return _NOT_XML.sub("\ufffd", " ".join(text.split()) or text)
