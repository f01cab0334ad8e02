"""Lists of tags in one text, as pandas, NumPy, JSON, PostgreSQL, R and others print them."""

import ast
import json
import re
from typing import Final

# Missing values in lists
NULLS: Final = frozenset(("none", "nan", "null", "nil", "na", "<na>", "nat", "undefined"))

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


class NotUnderstood(ValueError):
    """A text that is neither plain tags nor a list in a known form."""


def listed(text: str) -> list[str] | None:
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
    return text.casefold() in NULLS


def _number(text: str) -> str:
    return re.sub(r"\.0*$", "", text) if _NUMBER.fullmatch(text) else text


def _unquoted(text: str) -> str:
    try:
        return str(ast.literal_eval(text))
    except (ValueError, SyntaxError):  # a line end within quotes, say
        return re.sub(r"\\(.)", r"\1", text[1:-1])
