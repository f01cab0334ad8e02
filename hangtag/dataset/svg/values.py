"""Values of CSS properties -> values for the renderer; None for what a browser ignores.

https://www.w3.org/TR/css-values-4/, with the lengths without units that SVG allows.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

import tinycss2
from tinycss2.ast import Node

from hangtag.dataset.svg import colours, names, numbers, shapes, transforms

_SOME_BOX: Final = (0.0, 0.0, 100.0, 100.0)
_SIZES: Final = (
    "xx-small", "x-small", "small", "medium", "large", "x-large", "xx-large", "smaller", "larger",
)  # fmt: skip
_POSITIVE: Final = ("width", "height", "r", "rx", "ry", "stroke-width", "font-size")
_NUMBER: Final = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_IS_NUMBER: Final = re.compile(_NUMBER)
_IS_LENGTH: Final = re.compile(rf"{_NUMBER}(?:px|pt|pc|mm|cm|in|em|ex|%)|0")
_IS_HEX: Final = re.compile(r"#[0-9a-fA-F]{3}(?:[0-9a-fA-F]{3})?")
_IS_REFERENCE: Final = re.compile(r"url\(#[\w.-]+\)")
_IS_DASHES: Final = re.compile(rf"{_NUMBER}(?:px)?(?:(?:\s*,\s*|\s+){_NUMBER}(?:px)?)*")


class Surroundings(NamedTuple):
    """What relative values refer to."""

    width: float = 100.0  # of the viewport, in user units
    height: float = 100.0
    color: str = "black"
    em: float = 16.0  # the font size of the parent
    rem: float = 16.0  # the font size of the root


class Context(NamedTuple):
    """What a parser needs beside the value: name of the property, surroundings."""

    name: str
    around: Surroundings


class Kind(NamedTuple):
    """A kind of value: a quick test for plain values, and a parser for all."""

    plain: Callable[[str], object]
    parse: Callable[[Sequence[Node], Context], str | None]


def _colour(tokens: Sequence[Node], context: Context) -> str | None:
    return colours.parse(tokens[0], context.around.color) if len(tokens) == 1 else None


def _paint(tokens: Sequence[Node], context: Context) -> str | None:
    first, rest = tokens[0], tokens[1:]
    reference = _reference_of(first)
    if reference is not None:
        fallback = _paint(rest, context) if rest else ""
        if fallback is None or fallback.startswith("url("):
            return None
        return f"{reference} {fallback}".strip() if reference else fallback or "none"
    if first.type == "ident" and first.lower_value in ("none", "context-fill", "context-stroke"):
        return first.lower_value if not rest else None
    return _colour(tokens, context)


def _reference_of(token: Node) -> str | None:
    """Return `url(#id)` of an address, "" if it leaves the document, None if it is no address."""
    address = None
    if token.type == "url":
        address = token.value
    elif token.type == "function" and token.lower_name == "url":
        strings = [part.value for part in token.arguments if part.type == "string"]
        address = strings[0] if strings else None
    if address is None:
        return None
    mark, name = address.strip()[:1], address.strip()[1:]
    return f"url(#{names.plain(names.decoded(name))})" if mark == "#" and name else ""


def _reference(tokens: Sequence[Node], context: Context) -> str | None:
    found = _reference_of(tokens[0])
    if found is not None and (len(tokens) == 1 or context.name in ("mask", "clip-path")):
        return found or "none"
    if len(tokens) == 1 and tokens[0].type == "ident" and tokens[0].lower_value == "none":
        return "none"
    if context.name == "clip-path" and shapes.is_shape(tokens):
        return str(tinycss2.serialize(tokens))
    # Images as masks: valid, but the renderer does not support them.
    return "none" if context.name in ("mask", "clip-path") and found is None else None


def _filter(tokens: Sequence[Node], context: Context) -> str | None:
    words = []
    for token in tokens:
        reference = _reference_of(token)
        if reference is not None:
            words.append(reference)
        elif token.type == "function":
            words.append(_filter_function(token, context.around))
        elif len(tokens) == 1 and token.type == "ident" and token.lower_value == "none":
            return "none"
        else:
            return None
    return " ".join(word for word in words if word) or "none"


def _filter_function(token: Node, around: Surroundings) -> str:
    """Write a filter function with colours in the notation of the renderer."""
    words = []
    for part in token.arguments:
        colour = colours.parse(part, around.color) if part.type != "number" else None
        words.append(colour or tinycss2.serialize([part]))
    return f"{token.lower_name}({''.join(words)})"


def _background(tokens: Sequence[Node], context: Context) -> str | None:
    """Return the colour of a `background`; the renderer cannot draw its images."""
    for token in tokens:
        colour = colours.parse(token, context.around.color)
        if colour is not None:
            return colour
    return "transparent"


def _share(tokens: Sequence[Node], context: Context) -> str | None:
    found = numbers.number_or_share(tokens[0]) if len(tokens) == 1 else None
    return numbers.text(min(1.0, max(0.0, found))) if found is not None else None


def _number(tokens: Sequence[Node], context: Context) -> str | None:
    found = numbers.number(tokens[0]) if len(tokens) == 1 else None
    return numbers.text(found) if found is not None else None


def _length(tokens: Sequence[Node], context: Context) -> str | None:
    if len(tokens) != 1:
        return None
    if tokens[0].type == "ident":
        return _length_keyword(tokens[0].lower_value, context.name)
    found = numbers.quantity(tokens[0], basis=_basis(context))
    if found is None or "deg" in found:
        return None
    # Lengths without a unit are valid: Chromium accepts them for SVG's own properties, also in
    # style sheets. A negative length is invalid; a negative result of a calculation is 0.
    negative = any(amount < 0 for amount in found.values()) and tokens[0].type != "function"
    if negative and context.name in _POSITIVE:
        return None
    return _written(found, context)


def _length_keyword(word: str, name: str) -> str | None:
    if name in ("width", "height", "rx", "ry"):
        return "auto" if word == "auto" else None
    if name in ("letter-spacing", "word-spacing"):
        return word if word == "normal" else None
    return word if name == "font-size" and word in _SIZES else None


def _written(found: numbers.Quantity, context: Context) -> str | None:
    if len(found) == 1:
        unit, amount = next(iter(found.items()))
        if unit in ("", "px"):
            return numbers.text(amount)
        if unit in ("em", "ex", "%"):
            return f"{numbers.text(amount)}{unit}"
    pixels = numbers.in_pixels(found, _basis(context))
    return numbers.text(pixels) if pixels is not None else None


def _basis(context: Context) -> numbers.Basis:
    width, height, _, em, rem = context.around
    whole = {"x": width, "cx": width, "width": width, "rx": width}.get(
        context.name,
        height
        if context.name in ("y", "cy", "height", "ry")
        else ((width**2 + height**2) / 2) ** 0.5,
    )
    return {
        "%": whole / 100,  "em": em, "ex": em / 2, "ch": em / 2, "ic": em, "lh": 1.2 * em,
        "rem": rem, "rlh": 1.2 * rem, "vw": width / 100, "vh": height / 100,
        "vi": width / 100, "vb": height / 100, "vmin": min(width, height) / 100,
        "vmax": max(width, height) / 100,
    }  # fmt: skip


def _dashes(tokens: Sequence[Node], context: Context) -> str | None:
    if len(tokens) == 1 and tokens[0].type == "ident" and tokens[0].lower_value == "none":
        return "none"
    lengths = [_length([token], context) for token in tokens if token != ","]
    if any(length is None or length.startswith("-") for length in lengths):
        return None
    return " ".join(length for length in lengths if length is not None)


def _path(tokens: Sequence[Node], context: Context) -> str | None:
    if len(tokens) != 1:
        return None
    if tokens[0].type == "ident" and tokens[0].lower_value == "none":
        return ""
    if tokens[0].type != "function" or tokens[0].lower_name != "path":
        return None
    strings = [part.value for part in tokens[0].arguments if part.type == "string"]
    return strings[0] if len(strings) == 1 else None


def _transform(tokens: Sequence[Node], context: Context) -> str | None:
    text = tinycss2.serialize(tokens)
    return text if transforms.functions(text, _SOME_BOX, False) is not None else None


def _text(tokens: Sequence[Node], context: Context) -> str | None:
    return str(tinycss2.serialize(tokens))


def keywords(*words: str, replaced: Mapping[str, str] = MappingProxyType({})) -> Kind:
    """Return the kind of a property that is one of `words`, in any case.

    `replaced`: words that the renderer does not know, and the nearest ones that it knows.
    """
    spelled = {word.lower(): word for word in words} | dict(replaced)

    def parse(tokens: Sequence[Node], context: Context) -> str | None:
        word = tokens[0].lower_value if len(tokens) == 1 and tokens[0].type == "ident" else ""
        return spelled.get(word)

    return Kind(frozenset(words).__contains__, parse)


def _paint_order(tokens: Sequence[Node], context: Context) -> str | None:
    words = [token.lower_value if token.type == "ident" else "" for token in tokens]
    allowed = {"fill", "stroke", "markers"}
    if words == ["normal"] or (set(words) <= allowed and len(set(words)) == len(words)):
        return " ".join(words)
    return None


def _never(value: str) -> bool:
    return False


def _is_plain_colour(value: str) -> bool:
    return value in colours.NAMED or bool(_IS_HEX.fullmatch(value)) or value == "currentColor"


def _is_plain_paint(value: str) -> bool:
    return value == "none" or _is_plain_colour(value) or bool(_IS_REFERENCE.fullmatch(value))


def _is_plain_share(value: str) -> bool:
    return value in ("1", "0") or (bool(_IS_NUMBER.fullmatch(value)) and 0 <= float(value) <= 1)


def _is_plain_length(value: str) -> bool:
    return bool(_IS_LENGTH.fullmatch(value)) and value[0] != "-"


def _is_plain_stroke_length(value: str) -> bool:
    return bool(_IS_NUMBER.fullmatch(value) or _IS_LENGTH.fullmatch(value)) and value[0] != "-"


def _is_plain_reference(value: str) -> bool:
    return value == "none" or bool(_IS_REFERENCE.fullmatch(value))


def _is_plain_dashes(value: str) -> bool:
    return value == "none" or (bool(_IS_DASHES.fullmatch(value)) and "-" not in value)


COLOUR: Final = Kind(_is_plain_colour, _colour)
PAINT: Final = Kind(_is_plain_paint, _paint)
SHARE: Final = Kind(_is_plain_share, _share)
LENGTH: Final = Kind(_is_plain_length, _length)
STROKE_LENGTH: Final = Kind(_is_plain_stroke_length, _length)
REFERENCE: Final = Kind(_is_plain_reference, _reference)
PASSED: Final = Kind(lambda value: value.isascii() and value.replace("-", "").isalnum(), _text)
FILTER: Final = Kind(_never, _filter)
BACKGROUND: Final = Kind(_never, _background)
DASHES: Final = Kind(_is_plain_dashes, _dashes)
NUMBER: Final = Kind(_IS_NUMBER.fullmatch, _number)
PAINT_ORDER: Final = Kind(("normal", "stroke").__contains__, _paint_order)
TRANSFORM: Final = Kind(_never, _transform)
TEXT: Final = Kind(_never, _text)
PATH: Final = Kind(_never, _path)
