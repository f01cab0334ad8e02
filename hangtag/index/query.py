"""What a search asks for: names of tags and colours, wanted and unwanted."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hangtag.errors import ConfigError
from hangtag.library.rules import normalise_tag

# A minus, then a phrase in quotes or a word.
_TERM: Final = re.compile(r'(-?)(?:"([^"]*)"|([^\s"]+))')


@dataclass(frozen=True)
class Term:
    """One name of a query, normalised."""

    name: str
    wanted: bool = True


def parse_query(text: str, is_known: Callable[[str], bool]) -> list[Term]:
    """Return the terms of a query such as `red "birthday cake" -black`.

    Words in quotes are one name. Others are one name where `is_known` says so of them together (the
    longest such run of words), else one each. Raises ConfigError for a query without a wanted
    name, and for quotes that do not end.
    """
    if text.count('"') % 2:
        raise ConfigError(f"search {text!r}: a quotation mark is missing")
    terms: list[Term] = []
    words: list[str] = []
    for minus, phrase, word in _TERM.findall(text):
        if phrase or minus or not word:
            terms += _joined(words, is_known)
            words = []
            if name := normalise_tag(phrase or word):
                terms.append(Term(name, not minus))
        else:
            words.append(word)
    terms += _joined(words, is_known)
    found = list(dict.fromkeys(terms))
    if not any(term.wanted for term in found):
        raise ConfigError(f"search {text!r}: name at least one tag that the designs should have")
    return found


def _joined(words: list[str], is_known: Callable[[str], bool]) -> list[Term]:
    """Return the terms of words without quotes: the longest known names, from left to right."""
    found, start = [], 0
    while start < len(words):
        ends = range(len(words), start, -1)
        names = (normalise_tag(" ".join(words[start:end])) for end in ends)
        end, name = next(
            (
                (end, name)
                for end, name in zip(ends, names, strict=True)
                if end == start + 1 or is_known(name)
            )
        )
        start = end
        if name:
            found.append(Term(name))
    return found
