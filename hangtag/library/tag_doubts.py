"""Texts that read as tags but probably mean others, such as tags between commas: refused where they
are more than odd names of a file."""

from collections import Counter
from collections.abc import Set
from typing import Final

from hangtag.errors import CatalogError
from hangtag.library.tag_text import DOUBTFUL, SEPARATOR, has_scores, parts_between

_ADVICE: Final = f"write {SEPARATOR!r} between tags, or a .jsonl file with lists"


class Doubts:
    """Collects the doubtful texts of one file."""

    def __init__(self) -> None:
        self._separated: dict[str, Counter[str]] = {name: Counter() for name in DOUBTFUL}
        self._scored = self._marked = 0  # texts with scores, and after an apostrophe
        self._first: dict[str, str] = {}  # where each text, or the first of a kind, is

    def add(self, text: str, where: str) -> None:
        """Look at a text of tags that is more than plain names and SEPARATOR."""
        for name, separator in DOUBTFUL.items():
            if parts_between(separator, text):
                self._separated[name][text] += 1
                self._first.setdefault(text, where)
        if ":" in text and has_scores(text):
            self._scored += 1
            self._first.setdefault("scored", f"{where}: tags such as {text[:40]!r}")
        if text.lstrip()[:1] == "'" and text.count("'") == 1:
            self._marked += 1
            self._first.setdefault("marked", f"{where}: tags such as {text[:40]!r}")

    def refuse(self, tagged: int, names: Set[str]) -> None:
        """Raise CatalogError where texts mean other tags than they say.

        `tagged` is the number of texts with tags, and `names` are all tags read from them.
        """
        for name, texts in self._separated.items():
            if _are_lists(name, texts, tagged, names):
                text = next(iter(texts))
                raise CatalogError(
                    f"{self._first[text]}: tags such as {text[:40]!r} look separated by {name};"
                    f" {_ADVICE}"
                )
        if 2 * self._scored > tagged:
            raise CatalogError(f"{self._first['scored']} look like names with scores; write names")
        if self._marked == tagged > 1:
            raise CatalogError(
                f"{self._first['marked']} all begin with an apostrophe, which marks text in"
                " spreadsheets; remove it, or put names that begin with one in double quotes"
            )


def _are_lists(separator: str, texts: Counter[str], tagged: int, names: Set[str]) -> bool:
    """Return whether texts are lists of tags with another separator, and no names that hold it.

    They are lists if every text of the file has the separator, if there are more such texts than
    names in them, or if most consist of parts that all occur elsewhere as well.
    """
    if not texts:
        return False
    parts = {text: parts_between(DOUBTFUL[separator], text) for text in texts}
    times = Counter(name for some in parts.values() for name in set(some))
    known = sum(all(times[name] > 1 or name in names for name in some) for some in parts.values())
    many = 2 * texts.total() > tagged and len(times) < len(texts)
    return texts.total() == tagged or many or 2 * known >= len(texts)
