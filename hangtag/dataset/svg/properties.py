"""The CSS properties that affect drawing: values that browsers accept -> values for the renderer.

`computed` returns None for a declaration that a browser ignores, so that the one before it applies.
Values that every renderer reads in the same way pass a quick test first: nearly all drawings of a
library have no others.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

import tinycss2

from hangtag.dataset.svg.values import (
    BACKGROUND,
    COLOUR,
    DASHES,
    FILTER,
    LENGTH,
    NUMBER,
    PAINT,
    PAINT_ORDER,
    PASSED,
    PATH,
    REFERENCE,
    SHARE,
    STROKE_LENGTH,
    TEXT,
    TRANSFORM,
    Context,
    Kind,
    Surroundings,
    keywords,
)

# Properties of CSS that SVG reads differently, or not at all, as attributes.
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
    "use": ("x", "y"),
    "foreignObject": ("x", "y", "width", "height"),
    "circle": ("cx", "cy", "r"),
    "ellipse": ("cx", "cy", "rx", "ry"),
    "path": ("d",),
}
LENGTHS: Final = ("x", "y", "width", "height", "cx", "cy", "r", "rx", "ry")
_OF_CSS: Final = re.compile(r"\(|(?:rem|ch|ic|lh|vw|vh|vi|vb|vmin|vmax|q)\s*$", re.I)


def is_length_of_css(name: str, value: str) -> bool:
    """Return whether a geometry attribute has a length of CSS that the renderer does not know."""
    return name in LENGTHS and bool(_OF_CSS.search(value))


def computed(name: str, value: str, around: Surroundings) -> str | None:
    """Return the value of a property for the renderer, None if a browser ignores it.

    Keywords that every property takes are returned as they are, in lower case.
    """
    kind = PROPERTIES[name].kind
    if kind is None or kind.plain(value):
        return value
    lower = value.lower()
    if lower in WIDE_KEYWORDS:
        return lower
    return _computed(name, value, around)


@lru_cache(maxsize=4096)
def _computed(name: str, value: str, around: Surroundings) -> str | None:
    kind = PROPERTIES[name].kind
    tokens = [
        token
        for token in tinycss2.parse_component_value_list(value, skip_comments=True)
        if token.type != "whitespace"
    ]
    if kind is None or not tokens or any(token.type == "error" for token in tokens):
        return None
    return kind.parse(tokens, Context(name, around))


class Property(NamedTuple):
    """A property: kind of its values (None: any), whether it is inherited, initial value."""

    kind: Kind | None
    inherited: bool = False
    initial: str = ""


_OVERFLOW: Final = keywords("visible", "hidden", "scroll", "auto", "clip")
_BLENDS: Final = (
    "normal", "multiply", "screen", "overlay", "darken", "lighten", "color-dodge", "color-burn",
    "hard-light", "soft-light", "difference", "exclusion", "hue", "saturation", "color",
    "luminosity",
)  # fmt: skip
_BLEND: Final = keywords(*_BLENDS, replaced={"plus-lighter": "screen"})
_DISPLAYS: Final = (
    "none", "inline", "block", "inline-block", "flex", "inline-flex", "grid", "inline-grid",
    "table", "inline-table", "contents", "list-item", "flow-root", "run-in", "table-cell",
    "table-row", "table-row-group", "table-header-group", "table-footer-group", "table-column",
    "table-column-group", "table-caption", "compact", "marker", "-webkit-box",
)  # fmt: skip

PROPERTIES: Final[dict[str, Property]] = {
    "color": Property(COLOUR, True, "black"),
    "fill": Property(PAINT, True, "black"),
    "stroke": Property(PAINT, True, "none"),
    "background-color": Property(BACKGROUND, False, "transparent"),
    "stop-color": Property(COLOUR, False, "black"),
    "flood-color": Property(COLOUR, False, "black"),
    "lighting-color": Property(COLOUR, False, "white"),
    "opacity": Property(SHARE, False, "1"),
    "fill-opacity": Property(SHARE, True, "1"),
    "stroke-opacity": Property(SHARE, True, "1"),
    "stop-opacity": Property(SHARE, False, "1"),
    "flood-opacity": Property(SHARE, False, "1"),
    "stroke-width": Property(STROKE_LENGTH, True, "1"),
    "stroke-dashoffset": Property(STROKE_LENGTH, True, "0"),
    "stroke-dasharray": Property(DASHES, True, "none"),
    "stroke-miterlimit": Property(NUMBER, True, "4"),
    "stroke-linecap": Property(keywords("butt", "round", "square"), True, "butt"),
    "stroke-linejoin": Property(
        keywords("miter", "round", "bevel", "miter-clip", "arcs"), True, "miter"
    ),
    "fill-rule": Property(keywords("nonzero", "evenodd"), True, "nonzero"),
    "clip-rule": Property(keywords("nonzero", "evenodd"), True, "nonzero"),
    "paint-order": Property(PAINT_ORDER, True, "normal"),
    "display": Property(keywords(*_DISPLAYS), False, "inline"),
    "visibility": Property(keywords("visible", "hidden", "collapse"), True, "visible"),
    "overflow": Property(_OVERFLOW, False, "visible"),
    "clip-path": Property(REFERENCE, False, "none"),
    "mask": Property(REFERENCE, False, "none"),
    "filter": Property(FILTER, False, "none"),
    "marker-start": Property(REFERENCE, True, "none"),
    "marker-mid": Property(REFERENCE, True, "none"),
    "marker-end": Property(REFERENCE, True, "none"),
    "mask-type": Property(keywords("luminance", "alpha"), False, "luminance"),
    "mix-blend-mode": Property(_BLEND, False, "normal"),
    "isolation": Property(keywords("auto", "isolate"), False, "auto"),
    "color-interpolation": Property(keywords("auto", "sRGB", "linearRGB"), True, ""),
    "color-interpolation-filters": Property(keywords("auto", "sRGB", "linearRGB"), True, ""),
    "shape-rendering": Property(
        keywords("auto", "optimizeSpeed", "crispEdges", "geometricPrecision"), True, "auto"
    ),
    "text-rendering": Property(
        keywords("auto", "optimizeSpeed", "optimizeLegibility", "geometricPrecision"),
        True,
        "auto",
    ),
    "image-rendering": Property(PASSED, True, "auto"),
    "vector-effect": Property(PASSED, False, "none"),
    "text-anchor": Property(keywords("start", "middle", "end"), True, "start"),
    "font-size": Property(LENGTH, True, "medium"),
    "letter-spacing": Property(LENGTH, True, "normal"),
    "word-spacing": Property(LENGTH, True, "normal"),
    "transform": Property(TRANSFORM, False, "none"),
    "transform-origin": Property(TEXT, False, ""),
    "transform-box": Property(TEXT, False, ""),
    "rotate": Property(TEXT, False, "none"),
    "scale": Property(TEXT, False, "none"),
    "translate": Property(TEXT, False, "none"),
    "d": Property(PATH, False, ""),
    **{name: Property(LENGTH, False, "") for name in LENGTHS},
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
