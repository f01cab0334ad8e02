"""The CSS properties that draw: which values a browser takes, and how the renderer wants them.

`computed` returns None for a declaration that a browser ignores, so that the one before it stays in
force. Values that every renderer reads alike pass through a quick test first: nearly all of a
library's drawings have nothing else.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import tinycss2
from tinycss2.ast import Node

from hangtag.dataset import svg_colours, svg_numbers, svg_transforms

# What CSS may set, but SVG reads differently, or not at all, in an attribute of that name.
NO_ATTRIBUTES: Final = frozenset(
    ("d", "rotate", "scale", "translate", "transform", "font", "mix-blend-mode", "isolation",
     "font-kerning", "background-color", "clip", "white-space", "text-orientation",
     "text-decoration-line")
)  # fmt: skip
WIDE_KEYWORDS: Final = ("inherit", "initial", "unset", "revert", "revert-layer")
GEOMETRY: Final = {
    "svg": ("x", "y", "width", "height"),
    "rect": ("x", "y", "width", "height", "rx", "ry"),
    "image": ("x", "y", "width", "height"),
    "use": ("x", "y", "width", "height"),
    "foreignObject": ("x", "y", "width", "height"),
    "circle": ("cx", "cy", "r"),
    "ellipse": ("cx", "cy", "rx", "ry"),
    "path": ("d",),
}
LENGTHS: Final = ("x", "y", "width", "height", "cx", "cy", "r", "rx", "ry")
_SOME_BOX: Final = (0.0, 0.0, 100.0, 100.0)
_SIZES: Final = (
    "xx-small", "x-small", "small", "medium", "large", "x-large", "xx-large", "smaller", "larger",
)  # fmt: skip
_POSITIVE: Final = ("width", "height", "r", "rx", "ry", "stroke-width", "font-size")
_NUMBER: Final = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_IS_NUMBER: Final = re.compile(_NUMBER)
_IS_LENGTH: Final = re.compile(rf"{_NUMBER}(?:px|pt|pc|mm|cm|in|em|ex|%)|0")
_OF_CSS: Final = re.compile(r"\(|(?:rem|ch|ic|lh|vw|vh|vi|vb|vmin|vmax|q)\s*$", re.I)
_IS_HEX: Final = re.compile(r"#[0-9a-fA-F]{3}(?:[0-9a-fA-F]{3})?")
_IS_REFERENCE: Final = re.compile(r"url\(#[^\s\"'()\\]+\)")
_IS_DASHES: Final = re.compile(rf"{_NUMBER}(?:px)?(?:(?:\s*,\s*|\s+){_NUMBER}(?:px)?)*")


def is_length_of_css(name: str, value: str) -> bool:
    """Tell whether a geometry attribute has a length of CSS that the renderer does not know."""
    return name in LENGTHS and bool(_OF_CSS.search(value))


_REM: Final = 16.0  # the root's font size, for most drawings


class Surroundings(NamedTuple):
    """What relative values refer to."""

    width: float = 100.0  # of the viewport, in user units
    height: float = 100.0
    color: str = "black"
    em: float = 16.0


def computed(name: str, value: str, attribute: bool, around: Surroundings) -> str | None:
    """Return the value of a property as the renderer takes it, None if a browser ignores it.

    `attribute`: the value stands in a presentation attribute, where lengths need no unit.
    Keywords that every property takes are returned as they are, in lower case.
    """
    kind = PROPERTIES[name].kind
    if kind is None or kind.plain(value):
        return value
    lower = value.lower()
    if lower in WIDE_KEYWORDS:
        return lower
    return _computed(name, value, attribute, around)


@lru_cache(maxsize=4096)
def _computed(name: str, value: str, attribute: bool, around: Surroundings) -> str | None:
    kind = PROPERTIES[name].kind
    tokens = [
        token
        for token in tinycss2.parse_component_value_list(value, skip_comments=True)
        if token.type != "whitespace"
    ]
    if kind is None or not tokens or any(token.type == "error" for token in tokens):
        return None
    return kind.parse(tokens, Context(name, attribute, around))


class Context(NamedTuple):
    """What the parser of a value may have to know."""

    name: str
    attribute: bool
    around: Surroundings


class Kind(NamedTuple):
    """A kind of value: a quick test for plain ones, and the parser for all."""

    plain: Callable[[str], object]
    parse: Callable[[Sequence[Node], Context], str | None]


class Property(NamedTuple):
    """A property: its kind (None: any value), whether it is inherited, its initial value."""

    kind: Kind | None
    inherited: bool = False
    initial: str = ""


def _colour(tokens: Sequence[Node], context: Context) -> str | None:
    return svg_colours.parse(tokens[0], context.around.color) if len(tokens) == 1 else None


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
    """Return `url(#id)` of an address, "" where it leaves the document, None if it is none."""
    address = None
    if token.type == "url":
        address = token.value
    elif token.type == "function" and token.lower_name == "url":
        strings = [part.value for part in token.arguments if part.type == "string"]
        address = strings[0] if strings else None
    if address is None:
        return None
    address = address.strip()
    return f"url({address})" if re.fullmatch(r"#[^\s()'\"]+", address) else ""


def _reference(tokens: Sequence[Node], context: Context) -> str | None:
    found = _reference_of(tokens[0])
    if found is not None and (len(tokens) == 1 or context.name in ("mask", "clip-path")):
        return found or "none"
    if len(tokens) == 1 and tokens[0].type == "ident" and tokens[0].lower_value == "none":
        return "none"
    # Shapes and images for masks: valid, but the renderer has none of them.
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
    """Write a filter function with its colours as the renderer reads them."""
    words = []
    for part in token.arguments:
        colour = svg_colours.parse(part, around.color) if part.type != "number" else None
        words.append(colour or tinycss2.serialize([part]))
    return f"{token.lower_name}({''.join(words)})"


def _background(tokens: Sequence[Node], context: Context) -> str | None:
    """Return the colour of a `background`, whose images the renderer has no way to draw."""
    for token in tokens:
        colour = svg_colours.parse(token, context.around.color)
        if colour is not None:
            return colour
    return "transparent"


def _share(tokens: Sequence[Node], context: Context) -> str | None:
    found = svg_numbers.number_or_share(tokens[0]) if len(tokens) == 1 else None
    return svg_numbers.text(min(1.0, max(0.0, found))) if found is not None else None


def _number(tokens: Sequence[Node], context: Context) -> str | None:
    found = svg_numbers.number(tokens[0]) if len(tokens) == 1 else None
    return svg_numbers.text(found) if found is not None else None


def _length(tokens: Sequence[Node], context: Context) -> str | None:
    if len(tokens) != 1:
        return None
    if tokens[0].type == "ident":
        return _length_keyword(tokens[0].lower_value, context.name)
    found = svg_numbers.quantity(tokens[0])
    if found is None or "deg" in found:
        return None
    # Without a unit as well: Chromium takes SVG's own properties so, in style sheets too.
    # A negative length is no value; of a calculation it is 0.
    below = any(amount < 0 for amount in found.values()) and tokens[0].type != "function"
    if below and context.name in _POSITIVE:
        return None
    return _written(found, context)


def _length_keyword(word: str, name: str) -> str | None:
    if name in ("width", "height", "rx", "ry"):
        return "auto" if word == "auto" else None
    if name in ("letter-spacing", "word-spacing"):
        return word if word == "normal" else None
    return word if name == "font-size" and word in _SIZES else None


def _written(found: svg_numbers.Quantity, context: Context) -> str | None:
    if len(found) == 1:
        unit, amount = next(iter(found.items()))
        if unit in ("", "px"):
            return svg_numbers.text(amount)
        if unit in ("em", "ex", "%"):
            return f"{svg_numbers.text(amount)}{unit}"
    pixels = svg_numbers.in_pixels(found, _basis(context))
    return svg_numbers.text(pixels) if pixels is not None else None


def _basis(context: Context) -> svg_numbers.Basis:
    width, height, _, em = context.around
    whole = {"x": width, "cx": width, "width": width, "rx": width}.get(
        context.name,
        height
        if context.name in ("y", "cy", "height", "ry")
        else ((width**2 + height**2) / 2) ** 0.5,
    )
    return {
        "%": whole / 100,  "em": em, "ex": em / 2, "ch": em / 2, "ic": em, "lh": 1.2 * em,
        "rem": _REM, "rlh": 1.2 * _REM, "vw": width / 100, "vh": height / 100,
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
    return text if svg_transforms.functions(text, _SOME_BOX, False) is not None else None


def _text(tokens: Sequence[Node], context: Context) -> str | None:
    return str(tinycss2.serialize(tokens))


def _keywords(*words: str) -> Kind:
    """Return the kind of a property that takes one of `words`, compared without case."""
    spelled = {word.lower(): word for word in words}

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
    return value in svg_colours.NAMED or bool(_IS_HEX.fullmatch(value)) or value == "currentColor"


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


_COLOUR: Final = Kind(_is_plain_colour, _colour)
_PAINT: Final = Kind(_is_plain_paint, _paint)
_SHARE: Final = Kind(_is_plain_share, _share)
_LENGTH: Final = Kind(_is_plain_length, _length)
_STROKE_LENGTH: Final = Kind(_is_plain_stroke_length, _length)
_REFERENCE: Final = Kind(_is_plain_reference, _reference)
_PASSED: Final = Kind(lambda value: value.isascii() and value.replace("-", "").isalnum(), _text)
_OVERFLOW: Final = _keywords("visible", "hidden", "scroll", "auto", "clip")
_BLENDS: Final = (
    "normal", "multiply", "screen", "overlay", "darken", "lighten", "color-dodge", "color-burn",
    "hard-light", "soft-light", "difference", "exclusion", "hue", "saturation", "color",
    "luminosity", "plus-lighter",
)  # fmt: skip
_DISPLAYS: Final = (
    "none", "inline", "block", "inline-block", "flex", "inline-flex", "grid", "inline-grid",
    "table", "inline-table", "contents", "list-item", "flow-root", "run-in", "table-cell",
    "table-row", "table-row-group", "table-header-group", "table-footer-group", "table-column",
    "table-column-group", "table-caption", "compact", "marker", "-webkit-box",
)  # fmt: skip

PROPERTIES: Final[dict[str, Property]] = {
    "color": Property(_COLOUR, True, "black"),
    "fill": Property(_PAINT, True, "black"),
    "stroke": Property(_PAINT, True, "none"),
    "background-color": Property(Kind(_never, _background), False, "transparent"),
    "stop-color": Property(_COLOUR, False, "black"),
    "flood-color": Property(_COLOUR, False, "black"),
    "lighting-color": Property(_COLOUR, False, "white"),
    "opacity": Property(_SHARE, False, "1"),
    "fill-opacity": Property(_SHARE, True, "1"),
    "stroke-opacity": Property(_SHARE, True, "1"),
    "stop-opacity": Property(_SHARE, False, "1"),
    "flood-opacity": Property(_SHARE, False, "1"),
    "stroke-width": Property(_STROKE_LENGTH, True, "1"),
    "stroke-dashoffset": Property(_STROKE_LENGTH, True, "0"),
    "stroke-dasharray": Property(Kind(_is_plain_dashes, _dashes), True, "none"),
    "stroke-miterlimit": Property(Kind(_IS_NUMBER.fullmatch, _number), True, "4"),
    "stroke-linecap": Property(_keywords("butt", "round", "square"), True, "butt"),
    "stroke-linejoin": Property(
        _keywords("miter", "round", "bevel", "miter-clip", "arcs"), True, "miter"
    ),
    "fill-rule": Property(_keywords("nonzero", "evenodd"), True, "nonzero"),
    "clip-rule": Property(_keywords("nonzero", "evenodd"), True, "nonzero"),
    "paint-order": Property(Kind(("normal", "stroke").__contains__, _paint_order), True, "normal"),
    "display": Property(_keywords(*_DISPLAYS), False, "inline"),
    "visibility": Property(_keywords("visible", "hidden", "collapse"), True, "visible"),
    "overflow": Property(_OVERFLOW, False, "visible"),
    "clip-path": Property(_REFERENCE, False, "none"),
    "mask": Property(_REFERENCE, False, "none"),
    "filter": Property(Kind(_never, _filter), False, "none"),
    "marker-start": Property(_REFERENCE, True, "none"),
    "marker-mid": Property(_REFERENCE, True, "none"),
    "marker-end": Property(_REFERENCE, True, "none"),
    "mask-type": Property(_keywords("luminance", "alpha"), False, "luminance"),
    "mix-blend-mode": Property(_keywords(*_BLENDS), False, "normal"),
    "isolation": Property(_keywords("auto", "isolate"), False, "auto"),
    "color-interpolation": Property(_keywords("auto", "sRGB", "linearRGB"), True, ""),
    "color-interpolation-filters": Property(_keywords("auto", "sRGB", "linearRGB"), True, ""),
    "shape-rendering": Property(
        _keywords("auto", "optimizeSpeed", "crispEdges", "geometricPrecision"), True, "auto"
    ),
    "text-rendering": Property(
        _keywords("auto", "optimizeSpeed", "optimizeLegibility", "geometricPrecision"),
        True,
        "auto",
    ),
    "image-rendering": Property(_PASSED, True, "auto"),
    "vector-effect": Property(_PASSED, False, "none"),
    "text-anchor": Property(_keywords("start", "middle", "end"), True, "start"),
    "font-size": Property(_LENGTH, True, "medium"),
    "letter-spacing": Property(_LENGTH, True, "normal"),
    "word-spacing": Property(_LENGTH, True, "normal"),
    "transform": Property(Kind(_never, _transform), False, "none"),
    "transform-origin": Property(Kind(_never, _text), False, ""),
    "transform-box": Property(Kind(_never, _text), False, ""),
    "rotate": Property(Kind(_never, _text), False, "none"),
    "scale": Property(Kind(_never, _text), False, "none"),
    "translate": Property(Kind(_never, _text), False, "none"),
    "d": Property(Kind(_never, _path), False, ""),
    **{name: Property(_LENGTH, False, "") for name in LENGTHS},
    **{
        name: Property(None, inherited, "")
        for name, inherited in (
            ("font", True), ("font-family", True), ("font-style", True), ("font-weight", True),
            ("font-variant", True), ("font-stretch", True), ("font-kerning", True),
            ("font-size-adjust", True), ("font-feature-settings", True), ("direction", True),
            ("unicode-bidi", False), ("writing-mode", True), ("dominant-baseline", True),
            ("alignment-baseline", False), ("baseline-shift", False), ("text-decoration", False),
            ("white-space", True), ("text-orientation", True), ("text-decoration-line", False),
            ("clip", False), ("enable-background", False), ("color-rendering", True),
        )
    },
}  # fmt: skip
