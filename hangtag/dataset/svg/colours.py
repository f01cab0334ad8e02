"""Colours of CSS Color 4 and 5 -> the sRGB notation that the renderer takes.

Colours outside sRGB are clipped channel by channel, as Chromium shows them on an sRGB screen.
https://www.w3.org/TR/css-color-4/ and https://www.w3.org/TR/css-color-5/
"""

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import tinycss2
from PIL import ImageColor
from tinycss2.ast import Node

from hangtag.dataset.svg import numbers

if TYPE_CHECKING:
    from coloraide import Color

# A name newer than CSS Color 3, and the system colours of a light scheme:
# https://www.w3.org/TR/css-color-4/#css-system-colors
_KEYWORDS: Final = {
    "rebeccapurple": "#663399",
    "accentcolor": "#0075ff", "accentcolortext": "#ffffff", "activetext": "#ff0000",
    "buttonborder": "#000000", "buttonface": "#efefef", "buttontext": "#000000",
    "canvas": "#ffffff", "canvastext": "#000000", "field": "#ffffff", "fieldtext": "#000000",
    "graytext": "#808080", "highlight": "#0041c6cc", "highlighttext": "#ffffff",
    "linktext": "#0000ee", "mark": "#ffff00", "marktext": "#000000", "selecteditem": "#1967d2",
    "selecteditemtext": "#ffffff", "visitedtext": "#551a8b",
    # https://www.w3.org/TR/css-color-4/#deprecated-system-colors
    "activeborder": "#000000", "activecaption": "#ffffff", "appworkspace": "#ffffff",
    "background": "#ffffff", "buttonhighlight": "#efefef", "buttonshadow": "#efefef",
    "captiontext": "#000000", "inactiveborder": "#000000", "inactivecaption": "#ffffff",
    "inactivecaptiontext": "#808080", "infobackground": "#ffffff", "infotext": "#000000",
    "menu": "#ffffff", "menutext": "#000000", "scrollbar": "#ffffff",
    "threeddarkshadow": "#000000", "threedface": "#efefef", "threedhighlight": "#000000",
    "threedlightshadow": "#000000", "threedshadow": "#000000", "window": "#ffffff",
    "windowframe": "#000000", "windowtext": "#000000",
}  # fmt: skip
# The names that the renderer knows: those of CSS Color 3.
NAMED: Final = frozenset(ImageColor.colormap) - {"rebeccapurple"} | {"transparent"}
_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{3,4}){1,2}")
_FUNCTIONS: Final = (
    "rgb", "rgba", "hsl", "hsla", "hwb", "lab", "lch", "oklab", "oklch", "color",
)  # fmt: skip
_ADJUST: Final = {
    "longer": "longer",
    "shorter": "shorter",
    "increasing": "increasing",
    "decreasing": "decreasing",
}
_SPACES: Final = {"xyz": "xyz-d65"}
# Names of the channels of relative colours, and the scale of CSS relative to coloraide's.
_CHANNELS: Final = {
    "rgb": ("srgb", "rgb", (255, 255, 255)), "hsl": ("hsl", "hsl", (1, 100, 100)),
    "hwb": ("hwb", "hwb", (1, 100, 100)), "lab": ("lab", "lab", (1, 1, 1)),
    "lch": ("lch", "lch", (1, 1, 1)), "oklab": ("oklab", "lab", (1, 1, 1)),
    "oklch": ("oklch", "lch", (1, 1, 1)),
}  # fmt: skip
_DEEPEST: Final = 10  # color-mix() in color-mix()


def parse(token: Node, current: str = "black") -> str | None:
    """Return a colour as `currentColor`, `#rrggbb` or `#rrggbbaa`; None if it is no colour.

    `current` is the value of `currentcolor` inside of a mix.
    """
    if token.type == "ident":
        return _keyword(token.lower_value)
    if token.type == "hash":
        return f"#{token.value}" if _HEX.fullmatch(token.value) else None
    if token.type != "function":
        return None
    try:
        colour = _colour(token, current, 0)
    except (ValueError, OverflowError):  # coloraide raises it for what is no colour
        return None
    return _hex(colour) if colour is not None else None


def _keyword(name: str) -> str | None:
    if name == "currentcolor":
        return "currentColor"
    return name if name in NAMED else _KEYWORDS.get(name)


def _hex(colour: "Color") -> str:
    shown = colour.convert("srgb").clip()
    channels = [*shown.coords(nans=False), shown.alpha(nans=False)]
    red, green, blue, alpha = (math.floor(min(1, max(0, value)) * 255 + 0.5) for value in channels)
    return f"#{red:02x}{green:02x}{blue:02x}" + ("" if alpha == 255 else f"{alpha:02x}")


def _colour(token: Node, current: str, depth: int) -> "Color | None":
    # Imported here: it takes 60 ms, and most drawings do not need it.
    from coloraide import Color

    if depth > _DEEPEST:
        return None
    if token.type != "function":
        simple = parse(token, current)
        if simple == "currentColor":
            simple = current
        if simple == "transparent":
            simple = "#00000000"
        return Color(simple) if simple is not None else None
    name = token.lower_name
    if name == "color-mix":
        return _mix(token.arguments, current, depth)
    if name == "light-dark":
        parts = numbers.split(token.arguments, ",")
        if len(parts) != 2 or any(len(part) != 1 for part in parts):
            return None
        return _colour(parts[0][0], current, depth + 1)
    if name not in _FUNCTIONS:
        return None
    arguments = [part for part in token.arguments if part.type not in ("whitespace", "comment")]
    if arguments and arguments[0].type == "ident" and arguments[0].lower_value == "from":
        return _relative(name, arguments[1:], current, depth)
    return _clamped(Color(f"{name}({_plain(arguments)})"))


def _clamped(colour: "Color") -> "Color":
    """Limit saturation to 100 %, as Chromium does."""
    if colour.space() == "hsl":
        colour["saturation"] = min(1.0, colour["saturation"])
    return colour


def _plain(arguments: Sequence[Node]) -> str:
    """Write the arguments of a colour function with every calc() evaluated.

    An alpha of `none` becomes 0: the renderer has no missing components.
    """
    words: list[str] = []
    for token in arguments:
        if token.type == "function":
            found = numbers.quantity(token)
            if found is None or len(found) != 1:
                raise ValueError("no number")
            unit, value = next(iter(found.items()))
            words.append(f"{value:.6f}{unit}")
        elif token.type == "ident" and words[-1:] == ["/"] and token.lower_value == "none":
            words.append("0")
        else:
            words.append(tinycss2.serialize([token]))
    return " ".join(words)


def _mix(arguments: Sequence[Node], current: str, depth: int) -> "Color | None":
    """Return `color-mix(in space [hue], colour [share], colour [share])`."""
    method, *parts = numbers.split(arguments, ",")
    words = [token.lower_value if token.type == "ident" else "" for token in method]
    if words[:1] != ["in"]:
        method, parts, words = [], numbers.split(arguments, ","), ["in", "oklab"]
    if len(parts) != 2 or len(words) not in (2, 4):
        return None
    left, right = (_share(part, current, depth) for part in parts)
    if left is None or right is None:
        return None
    (first, share), (second, other) = left, right
    if share is None:
        share = 1 - other if other is not None else 0.5
    if other is None:
        other = 1 - share
    if not share + other > 0:
        return None
    result = first.mix(
        second,
        other / (share + other),
        space=_SPACES.get(words[1], words[1]),
        hue=_ADJUST.get(words[2], "shorter") if len(words) == 4 else "shorter",
    )
    if share + other < 1:
        result["alpha"] = result.alpha(nans=False) * (share + other)
    return result


def _share(part: Sequence[Node], current: str, depth: int) -> "tuple[Color, float | None] | None":
    shares = [token for token in part if token.type == "percentage"]
    colours = [token for token in part if token.type != "percentage"]
    colour = _colour(colours[0], current, depth + 1) if len(colours) == 1 else None
    if colour is None or len(shares) > 1:
        return None
    return colour, (shares[0].value / 100 if shares else None)


def _relative(name: str, arguments: Sequence[Node], current: str, depth: int) -> "Color | None":
    """Return `oklch(from colour l c h / alpha)`: the channels of another colour, by name."""
    space, names, scales = _CHANNELS.get(name.removesuffix("a"), (None, "", ()))
    if name == "color" and len(arguments) > 1 and arguments[1].type == "ident":
        space = _SPACES.get(arguments[1].lower_value, arguments[1].lower_value)
        names, scales = ("xyz" if space.startswith("xyz") else "rgb"), (1, 1, 1)
        arguments = [arguments[0], *arguments[2:]]
    origin = _colour(arguments[0], current, depth + 1) if arguments else None
    if origin is None or space is None:
        return None
    origin = origin.convert(space)
    values = {
        channel: f"{value * scale:.6f}"
        for channel, value, scale in zip(names, origin.coords(nans=False), scales, strict=True)
    }
    values["alpha"] = f"{origin.alpha(nans=False):.6f}"
    rest = _named(arguments[1:], values)
    if not any(token.type == "literal" and token.value == "/" for token in rest):
        rest += tinycss2.parse_component_value_list(f"/{values['alpha']}")
    function = f"{name} {space}" if name == "color" else name
    written = function.replace(" ", "(", 1) + ("(" if name != "color" else " ")
    found = tinycss2.parse_one_component_value(f"{written}{tinycss2.serialize(rest)})")
    return _colour(found, current, depth + 1)


def _named(tokens: Sequence[Node], values: dict[str, str]) -> list[Node]:
    """Replace channel names by numbers, also inside of calc()."""
    text = "".join(
        f" {values[token.lower_value]} "
        if token.type == "ident" and token.lower_value in values
        else f" {token.name}({tinycss2.serialize(_named(token.arguments, values))}) "
        if token.type == "function"
        else f" {tinycss2.serialize([token])} "
        for token in tokens
    )
    return list(tinycss2.parse_component_value_list(text, skip_comments=True))
