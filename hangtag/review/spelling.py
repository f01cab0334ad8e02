"""Tags that differ in spelling only are one tag; here is decided how it is shown."""

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
    """Return what is the same for all spellings of a tag and, with a vocabulary, its aliases."""
    name = normalise_tag(text) or text
    return vocabulary.tag_of(name) if vocabulary else name


def one_each(texts: Iterable[str], vocabulary: Vocabulary | None = None) -> tuple[str, ...]:
    """Return the first spelling of every tag, in order."""
    first: dict[str, str] = {}
    for text in texts:
        first.setdefault(tag_key(text, vocabulary), text)
    return tuple(first.values())


class Spelling:
    """One spelling of every tag for a whole library: the one that people wrote most often.

    A tag that people call only by an alias has the vocabulary's name. Blanks of any kind become one
    blank, and characters that XML cannot hold U+FFFD.
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
        """Return how a tag is shown, whatever the spelling or alias."""
        key = tag_key(text, self._vocabulary)
        return self._written.get(key) or clean(key)

    def all(self, texts: Iterable[str]) -> tuple[str, ...]:
        """Return how tags are shown, each once, in order."""
        return tuple(dict.fromkeys(map(self.of, texts)))


def clean(text: str) -> str:
    """Return a tag with single blanks, and U+FFFD for every character that XML cannot hold."""
    return _NOT_XML.sub("\ufffd", " ".join(text.split()) or text)
