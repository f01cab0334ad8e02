"""Several tags in one text, as in a cell of a CSV file: written, and read back.

Tags are separated by `;`. A tag that would be read as something else is in double quotes, with a
quote inside doubled, as in CSV itself: `cat;"red; dark";"#1"`. Lists as pandas, NumPy, JSON,
PostgreSQL, R and others print them are read as well, and so are `cat|red`, `#cat #red` and one tag
per line.
"""

import ast
import json
import re
from collections.abc import Iterable
from typing import Final

SEPARATOR: Final = ";"

# A text without these is split at SEPARATOR only, and a tag without them is written as it is.
_SPECIAL: Final = re.compile(r'["|#(){}\[\],、，\r\n]')
# An item in quotes with nothing but blanks around it, or anything up to the next separator.
_ITEM: Final = re.compile(r'\s*"((?:[^"]|"")*)"\s*(?:;|\Z)|([^;]*)(?:;|\Z)')
_LINE_END: Final = re.compile(r"[\r\n]+")
_LETTER: Final = re.compile(r"[^\W_]")
_COMMA: Final = re.compile(r"[,、，]")
_HASHTAGS: Final = re.compile(r"#[^\s#,;]+(?:[\s,;]*#[^\s#,;]+)*[\s,;]*")
_HASHTAG: Final = re.compile(r"#[^\s#,;]+")

# Lists of other programs
_NAMED: Final = re.compile(
    r"(?:\w+\.)?(?:array|Array|Index|list|List|set|Set|frozenset|tuple|deque|c|ArrayBuffer"
    r"|WrappedArray)\((.*?)(?:,\s*(?:dtype|maxlen)=[^\]})]*)?\)",
    re.DOTALL,
)
_STR: Final = re.compile(r"(?:np|numpy)\.str_\(((?:'[^']*')|(?:\"[^\"]*\"))\)")
_BRACKETS: Final = {"[": "]", "{": "}", "(": ")"}
_QUOTED: Final = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_QUOTED_ITEM: Final = re.compile(rf"[bu]?({_QUOTED})", re.DOTALL)
_BARE_ITEM: Final = re.compile(r"""[^\[\]{}(),;"'][^\[\]{}(),;"]*""")
_BEGINS: Final = re.compile(r"""[\[{(][\[{(\s]*[bu]?['"]""")
_GAP: Final = re.compile(r"\s*[,;]?\s*")
_NUMBER: Final = re.compile(r"-?\d+(\.\d*)?")

# Missing values, as pandas, R, SQL, spreadsheets and people write them
_NULLS: Final = frozenset(("none", "nan", "null", "nil", "na", "<na>", "nat", "undefined"))
_MISSING: Final = _NULLS | frozenset(
    [
        r"n/a",
        r"-nan",
        r"(null)",
        r"\n",
        r"-",
        r"--",
        r"–",
        r"—",
        r"#n/a",
        r"#na",
        r"#null!",
        r"#ref!",
        r"#name?",
        r"#value!",
        r"#div/0!",
        r"#num!",
    ]
)


class NotUnderstood(ValueError):
    """A text that is neither plain tags nor a list in a known form."""


def join_tags(tags: Iterable[str]) -> str:
    """Return one text that `split_tags` reads as exactly these tags, in this order."""
    return SEPARATOR.join(map(_written, tags))


def split_tags(text: str) -> list[str]:
    """Return the tags in a text, stripped, without blank ones; hashtags keep their `#`.

    A text that is a missing value, such as `nan`, has none, unless the name is in quotes. Raises
    NotUnderstood for a text that begins as a list but is none, such as a list cut off.
    """
    if is_missing(text):
        items = []
    elif is_plain(text):
        items = text.split(SEPARATOR)
    elif (found := _listed(text.strip())) is not None:
        items = found
    elif is_hashtags(text):
        items = _HASHTAG.findall(text)
    else:
        items = _items(text)
    return [tag for item in items if (tag := item.strip())]


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
    if '"' in text or not _COMMA.search(text):
        return []
    tags = split_tags(text)
    if len(tags) != 1 or not _COMMA.search(tags[0]):
        return []
    return [part for item in _COMMA.split(tags[0]) if (part := item.strip())]


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
            items += [item for line in _LINE_END.split(plain) for item in _between_bars(line)]
        position = match.end()
    return items


def _between_bars(text: str) -> list[str]:
    """Split `cat|red` and `|cat|red|`, but not `:|` and the like."""
    parts = [part for part in text.split("|") if part.strip()]
    bars = len(parts) > 1 or (text.strip()[:1] == text.strip()[-1:] == "|")
    return parts if bars and all(map(_LETTER.search, parts)) else [text]


# Lists of other programs


def _listed(text: str) -> list[str] | None:
    """Return the items of a list as another program prints it, None for plain text."""
    named = _NAMED.fullmatch(text)
    if named and named[1].lstrip()[:1] in tuple("[{('\""):
        inner = named[1].strip()
        text = inner if inner[:1] in _BRACKETS else f"[{inner}]"
    elif named and text.endswith("()"):
        return []
    if text[:1] not in _BRACKETS:
        return None
    text = _STR.sub(r"\1", text)
    begins = _BEGINS.match(text) is not None
    if text[0] == "(" and not begins:
        return [] if text == "()" else None  # (^_^) is a tag
    if text[0] == "[" and begins:
        try:
            return [_text(value) for value in json.loads(text) if not _is_nothing(value)]
        except ValueError:
            pass
    try:
        if not text.endswith(_BRACKETS[text[0]]):
            raise NotUnderstood
        return _tokens(text[1:-1], mixed=text[0] == "{")
    except NotUnderstood:
        if begins or ("..." in text and "," in text):
            raise
        return None


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NotUnderstood
    return f"{value:.15g}"


def _is_nothing(value: object) -> bool:
    return value is None or value != value


def _tokens(text: str, *, mixed: bool) -> list[str]:
    """Return the items between the brackets of a list: all separated by commas, or all by blanks.

    `mixed` lists have quotes only around the items that need them, as PostgreSQL writes them.
    """
    items: list[tuple[str, bool]] = []  # and whether in quotes
    gaps: set[str] = set()
    position = len(text) - len(text.lstrip())
    while position < len(text):
        match = _QUOTED_ITEM.match(text, position)
        quoted = match is not None
        match = match or _BARE_ITEM.match(text, position)
        if match is None:
            raise NotUnderstood
        items.append((_unquoted(match[1]) if quoted else match[0].strip(), quoted))
        end = _GAP.match(text, match.end())
        gap, position = (end[0], end.end()) if end else ("", match.end())
        if position < len(text):
            gaps.add(gap.strip() or gap[:1].replace("\n", " "))
    if len(gaps) > 1 or "" in gaps:
        raise NotUnderstood
    bare = [item for item, quoted in items if not quoted]
    if any("..." in item or "…" in item for item in bare):  # an abbreviated list
        raise NotUnderstood
    if len(bare) == len(items):
        words = [word for item in bare for word in item.split()]
        if all(map(_NUMBER.fullmatch, words)):  # as NumPy prints them, with blanks
            return [_number(word) for word in words]
    elif not mixed and not all(_NUMBER.fullmatch(item) or _is_null(item) for item in bare):
        raise NotUnderstood
    return [
        item if quoted else _number(item) for item, quoted in items if quoted or not _is_null(item)
    ]


def _is_null(text: str) -> bool:
    return text.casefold() in _NULLS


def _number(text: str) -> str:
    return re.sub(r"\.0*$", "", text) if _NUMBER.fullmatch(text) else text


def _unquoted(text: str) -> str:
    try:
        return str(ast.literal_eval(text))
    except (ValueError, SyntaxError):  # a line end within quotes, say
        return re.sub(r"\\(.)", r"\1", text[1:-1])
