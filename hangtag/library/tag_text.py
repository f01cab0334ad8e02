"""Several tags in one text, as in a cell of a CSV file: written, and read back.

Tags are separated by `;`. A tag that would be read as something else is in double quotes, with a
quote inside doubled, as in CSV itself: `cat;"red; dark";"#1"`. What spreadsheets and other programs
write is read as well: their lists (see `tag_lists`), other semicolons, tabs, `cat|red`,
`#cat #red`, one tag per line with or without a bullet, curly quotes, `="cat;red"`.
"""

import re
from collections.abc import Iterable
from typing import Final

from hangtag.library.tag_lists import NULLS, listed

SEPARATOR: Final = ";"
# Separators that a name may hold as well: tags are to be written with SEPARATOR instead.
DOUBTFUL: Final = {
    "commas": re.compile("[,、，،､﹐]"),
    "slashes": re.compile(r"\s/\s"),
    "dots": re.compile(r"\s[·•∙⋅・]\s"),
}

_SEPARATORS: Final = ";；؛\u037e﹔\t"  # semicolons: full-width, Arabic, Greek, small
_CURLY: Final = "“”„‟«»"
_BULLET: Final = r"[-*•–]\s"
_SCORE: Final = r":\s*[01]?\.\d+"
# A text without these is split at SEPARATOR only, and a tag without them is written as it is.
_SPECIAL: Final = re.compile(
    rf"""["{_CURLY}|#(){{}}\[\],、，،､﹐{_SEPARATORS[1:]}\r\n]"""
    rf"|\A\s*(?:'|{_BULLET})|\s[/·•∙⋅・]\s|{_SCORE}\s*(?:;|\Z)"
)
# An item in quotes with nothing but blanks around it, or anything up to the next separator.
_ITEM: Final = re.compile(
    rf'\s*"((?:[^"]|"")*)"\s*(?:[{_SEPARATORS}]|\Z)|([^{_SEPARATORS}]*)(?:[{_SEPARATORS}]|\Z)'
)
_LINE_END: Final = re.compile(r"[\r\n]+")
_LETTER: Final = re.compile(r"[^\W_]")
_HASHTAGS: Final = re.compile(r"#[^\s#,;]+(?:[\s,;]*#[^\s#,;]+)*[\s,;]*")
_HASHTAG: Final = re.compile(r"#[^\s#,;]+")
_BULLETS: Final = re.compile(rf"\s*{_BULLET}.*(?:\s*[\r\n]\s*{_BULLET}.*)*\s*")
_IN_CURLY: Final = re.compile(rf'\s*[{_CURLY}]([^"{_CURLY}]*)[{_CURLY}]\s*')
_FORMULA: Final = re.compile(r'\s*="((?:[^"]|"")*)"\s*')  # Excel's, for text that stays as it is
_SCORED: Final = re.compile(rf".*\D{_SCORE}")

# Missing values, as pandas, R, SQL, spreadsheets and people write them
_MISSING: Final = NULLS.union(
    ("n/a", "-nan", "(null)", r"\n", "-", "--", "–", "—"),
    ("#n/a", "#na", "#null!", "#ref!", "#name?", "#value!", "#div/0!", "#num!"),
)
# Blanks, and characters without width that copying from web pages leaves around a name
_BLANKS: Final = (
    "".join(char for char in map(chr, range(0x3001)) if char.isspace())
    + "\u200b\u200c\u200e\u200f\u2060\ufeff"
)


def join_tags(tags: Iterable[str]) -> str:
    """Return one text that `split_tags` reads as exactly these tags, in this order."""
    return SEPARATOR.join(map(_written, tags))


def split_tags(text: str) -> list[str]:
    """Return the tags in a text, stripped, without blank ones; hashtags keep their `#`.

    A text that is a missing value, such as `nan`, has none, unless the name is in quotes. Raises
    NotUnderstood for a text that begins as a list but is none, such as a list cut off.
    """
    if wrapped := _FORMULA.fullmatch(text):
        text = wrapped[1].replace('""', '"')
    if wrapped := _IN_CURLY.fullmatch(text):
        text = wrapped[1]
    if is_missing(text):
        items = []
    elif is_plain(text):
        items = text.split(SEPARATOR)
    elif (found := listed(text.strip())) is not None:
        items = found
    elif is_hashtags(text):
        items = _HASHTAG.findall(text)
    elif _BULLETS.fullmatch(text):
        items = [_without_bullet(line) for line in _LINE_END.split(text)]
    else:
        items = _items(text)
    return [tag for item in items if (tag := stripped(item))]


def stripped(text: str) -> str:
    """Return a text without blanks and characters without width at its ends."""
    return text.strip(_BLANKS)


def is_plain(text: str) -> bool:
    """Return whether SEPARATOR is the only special character in a text."""
    return _SPECIAL.search(text) is None


def is_missing(text: str) -> bool:
    """Return whether a text is a missing value, such as `nan` or `#N/A`."""
    return text.strip().casefold() in _MISSING


def is_hashtags(text: str) -> bool:
    """Return whether a text consists of hashtags: words that each begin with `#`."""
    return _HASHTAGS.fullmatch(text.strip()) is not None


def comma_parts(text: str) -> list[str]:
    """Return the parts between commas of a text that reads as one tag, [] without commas."""
    return parts_between(DOUBTFUL["commas"], text)


def parts_between(separator: re.Pattern[str], text: str) -> list[str]:
    """Return the parts of a text that reads as one tag, [] without separators."""
    if '"' in text or not separator.search(text):
        return []
    tags = split_tags(text)
    if len(tags) != 1 or not separator.search(tags[0]):
        return []
    return [part for item in separator.split(tags[0]) if (part := _without_curly(item))]


def has_scores(text: str) -> bool:
    """Return whether every tag in a text has a score, as in `cat:0.9;red:0.8`."""
    return '"' not in text and all(map(_SCORED.fullmatch, split_tags(text)))


def _written(tag: str) -> str:
    plain = SEPARATOR not in tag and is_plain(tag) and not is_missing(tag)
    return tag if plain else '"' + tag.replace('"', '""') + '"'


def _items(text: str) -> list[str]:
    items: list[str] = []
    position = 0
    while position < len(text) and (match := _ITEM.match(text, position)):
        quoted, plain = match.groups()
        if quoted is not None:
            items.append(quoted.replace('""', '"'))
        else:
            items += [
                item
                for line in _LINE_END.split(plain)
                for item in _between_bars(_without_curly(line))
            ]
        position = match.end()
    return items


def _between_bars(text: str) -> list[str]:
    """Split `cat|red` and `|cat|red|`, but not `:|` and the like."""
    parts = [part for part in text.split("|") if part.strip()]
    bars = len(parts) > 1 or (text.strip()[:1] == text.strip()[-1:] == "|")
    return parts if bars and all(map(_LETTER.search, parts)) else [text]


def _without_curly(text: str) -> str:
    wrapped = _IN_CURLY.fullmatch(text)
    return stripped(wrapped[1] if wrapped else text)


def _without_bullet(line: str) -> str:
    item = re.sub(_BULLET, "", line.lstrip(), count=1).strip()
    quoted = len(item) > 1 and item[0] == item[-1] and item[0] in "\"'"
    return item[1:-1] if quoted else _without_curly(item)
