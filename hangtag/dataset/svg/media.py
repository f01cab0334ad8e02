"""Conditions in style sheets: media queries and @supports.

The medium is a light screen in colour that shows the drawing at its own size, as <img> does.
https://www.w3.org/TR/mediaqueries-5/ and https://www.w3.org/TR/css-conditional-4/
"""

import operator
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import tinycss2
from tinycss2.ast import Node

from hangtag.dataset.svg import numbers
from hangtag.dataset.svg.properties import PROPERTIES, computed
from hangtag.dataset.svg.values import Surroundings

_WORDS: Final = {
    "prefers-color-scheme": "light", "prefers-contrast": "no-preference",
    "prefers-reduced-motion": "no-preference", "prefers-reduced-transparency": "no-preference",
    "prefers-reduced-data": "no-preference", "forced-colors": "none", "inverted-colors": "none",
    "scripting": "none", "update": "fast", "hover": "hover", "any-hover": "hover",
    "pointer": "fine", "any-pointer": "fine", "display-mode": "browser", "scan": "progressive",
    "overflow-block": "scroll", "overflow-inline": "scroll", "dynamic-range": "standard",
    "video-dynamic-range": "standard",
}  # fmt: skip
_GAMUTS: Final = ("srgb",)
_COMPARED: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq,
}  # fmt: skip
_TURNED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}
_DEEPEST: Final = 30
# The words in the names of Chromium's 715 properties.
_OF_NAMES: Final = """
    accent action activation active adjust after align alignment all alternates anchor animation
    app appearance area areas asian aspect attachment auto autospace axis backdrop backface
    background baseline basis before behavior bidi blend block border bottom box break buffered
    cap caps caption caret cells change character chars clamp class clear clip collapse color
    column columns combine composite composition contain container content corner count counter
    cursor cx cy d dasharray dashoffset decoration decorations delay depth direction display
    distance dominant drag duration dynamic east edge effect emoji emphasis empty end events
    fallbacks family feature field fill filter filters fit flex float flood flow font forced frame
    function gap grid group grow gutter height highlight horizontal hyphenate hyphens image in
    increment indent index initial ink inline inset inside interactivity interest interpolate
    interpolation intrinsic isolation items iteration junction justify kerning language last
    layout left letter ligatures lighting limit line linecap linejoin list locale lock logical
    margin marker mask math max mid min miterlimit mix mode modify name numeric object offset
    opacity optical order ordering ordinal orient orientation origin orphans outline outset
    outside overflow overhang overlap overlay override overscroll pack padding page paint palette
    path perspective place play pointer position print property quotes r radius range ratio
    reading reflect region rendering repeat reset resize right rotate row rows rtl ruby rule rx ry
    safety scale scheme scope scroll scrollbar security select self set settings shadow shape
    shift shrink side size sizing skip slice small smoothing snap source space spacing span speak
    start state stop stretch stroke style synthesis tab table tap target template text thickness
    threshold timeline timing top touch transform transition translate trigger trim try type
    underline unicode upright user variant variation vector vertical view visibility webkit weight
    white widows width will window word wrap writing x y z zoom
"""

Test = Callable[[Sequence[Node]], bool | None]


class MediaScreen(NamedTuple):
    """The screen that media queries are evaluated for, in px."""

    width: float
    height: float

    def matches(self, query: str) -> bool:
        """Return whether a list of media queries matches; an empty one does."""
        return self.matches_tokens(tinycss2.parse_component_value_list(query))

    def matches_tokens(self, tokens: Sequence[Node]) -> bool:
        """Return the same for a list of component values."""
        queries = numbers.split(tokens, ",")
        return queries == [[]] or any(self._query(query) for query in queries)

    def _query(self, query: list[Node]) -> bool:
        words = query
        negated = False
        if words and _word(words[0]) in ("not", "only") and len(words) > 1 and _word(words[1]):
            negated = _word(words[0]) == "not"
            words = words[1:]
        medium = _word(words[0]) if words else ""
        if not medium or medium == "not":
            return _condition(words, self._feature) is True
        holds = medium in ("all", "screen")
        rest = words[1:]
        if rest:
            if _word(rest[0]) != "and":
                return False
            found = _condition(rest[1:], self._feature)
            if found is None:
                return False
            holds = holds and found
        return holds != negated

    def _feature(self, tokens: Sequence[Node]) -> bool | None:
        """Evaluate the content of parentheses; None if no browser knows it."""
        words = [token for token in tokens if token.type not in ("whitespace", "comment")]
        parts = numbers.split(words, ":")
        if len(parts) == 2:
            return self._plain_feature(_word(parts[0][0]) if parts[0] else "", parts[1])
        if len(words) == 1:
            return self._plain_feature(_word(words[0]), [])
        return self._range(words)

    def _plain_feature(self, name: str, value: list[Node]) -> bool | None:
        prefix, _, bare = name.partition("-")
        if prefix in ("min", "max") and bare in self._numbers():
            compare = operator.ge if prefix == "min" else operator.le
            limit = _amount(value)
            return compare(self._numbers()[bare], limit) if limit is not None else None
        if name in self._numbers():
            if not value:
                return self._numbers()[name] != 0
            amount = _amount(value)
            return self._numbers()[name] == amount if amount is not None else None
        word = _word(value[0]) if len(value) == 1 else ""
        if name == "orientation":
            return word == ("portrait" if self.height >= self.width else "landscape")
        if name == "color-gamut":
            return word in _GAMUTS if value else True
        if name in _WORDS:
            return word == _WORDS[name] if value else _WORDS[name] not in ("none", "no-preference")
        return None

    def _numbers(self) -> dict[str, float]:
        return {
            "width": self.width, "height": self.height, "device-width": self.width,
            "device-height": self.height, "aspect-ratio": self.width / self.height,
            "device-aspect-ratio": self.width / self.height, "resolution": 96.0, "color": 8.0,
            "color-index": 0.0, "monochrome": 0.0, "grid": 0.0, "device-pixel-ratio": 1.0,
        }  # fmt: skip

    def _range(self, words: list[Node]) -> bool | None:
        """Evaluate `100px <= width < 600px` or one half of it."""
        groups: list[list[Node]] = [[]]
        signs: list[str] = []
        for token in words:
            if token.type == "literal" and token.value in ("<", ">", "=", "<=", ">="):
                if token.value == "=" and not groups[-1] and signs and signs[-1] in "<>":
                    signs[-1] += "="
                    continue
                signs.append(token.value)
                groups.append([])
            else:
                groups[-1].append(token)
        feature = next((i for i, group in enumerate(groups) if group and _word(group[0])), None)
        if (
            feature is None
            or not signs
            or len(groups) > 3
            or _word(groups[feature][0]) not in self._numbers()
        ):
            return None
        own = self._numbers()[_word(groups[feature][0])]
        holds = True
        for index, sign in enumerate(signs):
            other = groups[index if index < feature else index + 1]
            limit = _amount(other)
            if limit is None:
                return None
            sign = _TURNED[sign] if index < feature else sign
            holds = holds and _COMPARED[sign](own, limit)
        return holds


def supported(tokens: Sequence[Node]) -> bool:
    """Return whether a @supports condition holds in a current browser."""
    words = [token for token in tokens if token.type not in ("whitespace", "comment")]
    return _condition(words, _declares) is True


def _declares(tokens: Sequence[Node]) -> bool | None:
    declaration = tinycss2.parse_one_declaration(tokens)
    if declaration.type != "declaration":
        return None
    value = str(tinycss2.serialize(declaration.value)).strip()
    name = str(declaration.lower_name)
    if name not in PROPERTIES:
        words = name.removeprefix("-").split("-")
        return name.startswith("--") or set(words) <= set(_OF_NAMES.split())
    return computed(name, value, Surroundings()) is not None


def _condition(words: Sequence[Node], test: Test, depth: int = 0) -> bool | None:
    """Evaluate `not (a)`, `(a) and (b)`, `(a) or (b)`; None for an unknown condition."""
    words = [token for token in words if token.type not in ("whitespace", "comment")]
    if depth > _DEEPEST or not words:
        return None
    if _word(words[0]) == "not":
        inner = _operand(words[1:], test, depth)
        return None if inner is None else not inner
    joins = {_word(word) for word in words[1::2]}
    if len(words) % 2 == 0 or len(joins) > 1 or not joins <= {"and", "or"}:
        return None
    found = [_operand([word], test, depth) for word in words[::2]]
    if joins == {"or"}:
        return True if True in found else None if None in found else False
    return False if False in found else None if None in found else True


def _operand(words: Sequence[Node], test: Test, depth: int) -> bool | None:
    if len(words) != 1:
        return None
    token = words[0]
    if token.type == "function":
        # Current browsers support nearly every selector(); font-tech() and others are unknown.
        return True if token.lower_name == "selector" else None
    if token.type != "() block":
        return None
    inner = [part for part in token.content if part.type not in ("whitespace", "comment")]
    if inner and (inner[0].type == "() block" or _word(inner[0]) == "not"):
        return _condition(inner, test, depth + 1)
    return test(token.content)


def _word(token: Node) -> str:
    return str(token.lower_value) if token.type == "ident" else ""


def _amount(value: Sequence[Node]) -> float | None:
    """Return a length in px, a number, a ratio `16 / 9` or a resolution as dots per inch."""
    if len(value) == 3 and value[1] == "/":
        first, second = numbers.number(value[0]), numbers.number(value[2])
        return first / second if first is not None and second else None
    if len(value) != 1:
        return None
    token = value[0]
    if token.type == "dimension" and token.lower_unit in ("dpi", "dppx", "x", "dpcm"):
        return float(token.value) * {"dpi": 1.0, "dpcm": 2.54}.get(token.lower_unit, 96.0)
    found = numbers.quantity(token)
    return numbers.in_pixels(found, {"em": 16.0, "rem": 16.0, "ex": 8.0}) if found else None
