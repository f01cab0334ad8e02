"""Separators of several keywords in one text, and similar signs that are part of a name."""

import html
import re
from collections.abc import Iterable
from typing import Final

from hangtag.library.rules import normalise_tag

# ASCII, full-width, ideographic, Arabic, small and half-width.
COMMAS: Final = ",，、،﹐､"
# A semicolon after a name, before a blank or before a word; not at the start of an emoticon (`;)`,
# `;d`) nor within one (`;_;`).
_SEMICOLON: Final = re.compile(
    r"(?<![_(]);(?![_])(?:(?<=[^\s;];)|(?=[^\W_]{2}|\s|$)|(?<=;;)(?=\w))|[；؛]"
)
_WORD: Final = re.compile(r"[^\W_]")


def split_list(text: str) -> list[str]:
    """Return the tags in a caption or another free text, stripped, without blank ones.

    Line ends and commas separate them, and semicolons in a line without commas.
    """
    found: list[str] = []
    for line in re.split(r"[\r\n\u2028\u2029]", text):
        parts = re.split(f"[{COMMAS}]", line)
        found += parts if len(parts) > 1 else split_semicolons(line)
    return [tag for part in found if (tag := part.strip())]


def split_semicolons(text: str) -> list[str]:
    """Split at semicolons, but not within emoticons: names of signs only, and names that begin
    with `;`, such as `;)` or `;d`."""
    parts = _SEMICOLON.split(text) if _WORD.search(text) else [text]
    return [part.strip() for part in parts if part.strip()]


def unescaped(tag: str) -> str:
    r"""Return a tag without the backslashes that prompts need before brackets: `miku \(vocaloid\)`.

    If any bracket is without one, backslashes are part of the name: `\(^o^)/`.
    """
    if re.search(r"(?<!\\)[()\[\]{}]", tag):
        return tag
    return re.sub(r"\\([()\[\]{}])", r"\1", tag)


def distinct_keywords(texts: Iterable[str], whole: Iterable[str] = ()) -> list[str]:
    """Return the keywords in `texts`, stripped, each once, with two common errors fixed.

    Web shops escape twice (`&amp;eacute;`), and some programs store `cat; dog` as one keyword;
    texts that are in `whole` stay as they are. Of spellings that `normalise_tag` makes equal, the
    first is kept.
    """
    kept = set(whole)
    found: dict[str, str] = {}
    for text in texts:
        fixed = re.sub(r"&#?\w+;", lambda entity: html.unescape(entity[0]), text)
        for tag in [text] if text in kept else split_semicolons(fixed):
            if name := normalise_tag(tag):
                found.setdefault(name, tag)
    return list(found.values())
