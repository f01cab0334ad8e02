"""Cells of a catalog, read as the text or the tags that they mean."""

import math
import re
import sys
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from hangtag.console import note
from hangtag.errors import CatalogError
from hangtag.library.tag_doubts import Doubts
from hangtag.library.tag_lists import NotUnderstood
from hangtag.library.tag_text import (
    SEPARATOR,
    is_hashtags,
    is_missing,
    is_plain,
    split_tags,
    stripped,
)

# Written by other programs where a group is missing.
_NO_GROUP: Final = frozenset(("nan", "none", "null", "nat", "<na>", "inf", "-inf"))
_IN_CAPTION: Final = re.compile(r"(?:^|\s)#\w")


def text_of(value: Any, column: str, where: str) -> str:
    """Return a field's text; raise CatalogError for what is neither text nor an integer."""
    if value is None:
        return ""
    if type(value) is str and "\0" not in value:  # nearly always
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise CatalogError(f"{where}: {column} holds {str(value)[:40]!r}, which is not text")
    if "\0" in value:
        raise CatalogError(f"{where}: {column} holds a NUL character; remove it")
    return value


def name_of(value: Any, column: str, where: str) -> str:
    """Return the text of a name that may be missing, stripped: a group, a vendor, a split.

    Floats with an integer value, which pandas makes of integers where some are missing, are read as
    integers. NaN, infinity and, for a group, `nan`, `None` and the like are empty.
    """
    if not value and value != 0:
        return ""
    if isinstance(value, float | Decimal):
        value = number_text(value)
    text = text_of(value, column, where).strip()
    return "" if column == "group" and text.casefold() in _NO_GROUP else text


def number_text(value: float | Decimal) -> str:
    """Return a number as text, an integer without a point; "" for NaN and infinity."""
    if not math.isfinite(value):
        return ""
    return str(int(value)) if value == int(value) else str(value)


class TagCells:
    """Reads the tags of every row of one file; `finish` reports unusual forms."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tagged = 0  # rows with tags
        self._names: set[str] = set()
        self._doubts = Doubts()
        self._hashtags = self._single_hashtags = 0  # texts of several hashtags, and of one
        self._lists = 0  # texts in the form of another program
        self._missing = 0  # texts that are a missing value
        self._first: dict[str, str] = {}  # the first text of each kind, and where it is

    def read(self, value: Any, column: str, where: str) -> tuple[str, ...]:
        """Return the tags in a field of `column`, tags or not_tags: stripped, each once.

        Raises CatalogError for a value that cannot be read as tags.
        """
        if value is None or value == "" or value != value:  # NaN
            return ()
        if isinstance(value, str):
            parts: Iterable[str] = self._split(text_of(value, column, where), column, where)
        elif isinstance(value, list | tuple):
            parts = [_item(part, column, where) for part in value]
        elif isinstance(value, int | float | Decimal) and not isinstance(value, bool):
            parts = [_item(value, column, where)]
        else:
            raise CatalogError(
                f"{where}: {column} must be a list of texts, or one text with {SEPARATOR!r} between"
            )
        # Interned, the few distinct tags of 500,000 rows take 140 MB less.
        tags = tuple(dict.fromkeys(sys.intern(tag) for part in parts if (tag := stripped(part))))
        if column == "tags" and tags:
            self._tagged += 1
            self._names.update(tags)
        return tags

    def _split(self, text: str, column: str, where: str) -> list[str]:
        if is_missing(text):
            self._missing += 1
            self._first.setdefault("missing", f"{where}: {text.strip()!r}")
            return []
        if is_plain(text):
            return text.split(SEPARATOR)
        try:
            tags = split_tags(text)
            if column == "tags":
                self._doubts.add(text, where)
        except NotUnderstood:
            raise CatalogError(
                f"{where}: {column} holds {text[:60]!r}, which looks like a list but cannot be"
                f" read as one; write {SEPARATOR!r} between tags, or a .jsonl file with lists"
            ) from None
        if "#" in text and column == "tags":
            self._look_for_hashtags(text, tags, where)
        elif _is_another_form(text, tags):
            self._lists += 1
            self._first.setdefault("list", f"{where}: {text[:60]!r} as {', '.join(tags)[:60]}")
        return tags

    def _look_for_hashtags(self, text: str, tags: list[str], where: str) -> None:
        if is_hashtags(text):
            self._hashtags += len(tags) > 1
            self._single_hashtags += len(tags) == 1
        elif '"' not in text and _IN_CAPTION.search(text):
            self._first.setdefault("caption", f"{where}: {text[:60]!r}")

    def finish(self) -> bool:
        """Return whether the tags are hashtags, from which `#` is to be removed.

        Logs what was read in an unusual form. Raises CatalogError where commas separate tags, or
        where hashtags are mixed with other words.
        """
        self._doubts.refuse(self._tagged, self._names)
        hashtags = self._hashtags > 0 or 0 < self._tagged == self._single_hashtags
        if hashtags and "caption" in self._first:
            raise CatalogError(
                f"{self._first['caption']} mixes hashtags with other words; write"
                f" {SEPARATOR!r} between tags"
            )
        if hashtags:
            note(f"{self._path}: tags are read as hashtags, without their #")
        if self._lists:
            note(
                f"{self._path}: {self._lists:,} fields are read as lists of tags, such as"
                f" {self._first_in_file('list')}"
            )
        if self._missing:
            note(
                f"{self._path}: {self._missing:,} fields are read as missing tags, such as"
                f" {self._first_in_file('missing')}; put a tag of that name in double quotes"
            )
        return hashtags

    def _first_in_file(self, kind: str) -> str:
        return self._first[kind].removeprefix(f"{self._path}, ")


def _item(value: Any, column: str, where: str) -> str:
    if isinstance(value, float | Decimal):
        return number_text(value)
    return text_of(value, column, where)


def _is_another_form(text: str, tags: list[str]) -> bool:
    """Return whether a text was read as a list other than with SEPARATOR and double quotes."""
    if text.lstrip()[:1] == '"' or f'{SEPARATOR}"' in text:
        return False
    return tags != [tag for part in text.split(SEPARATOR) if (tag := stripped(part))]
