"""Transforms of CSS, with their origin, as a matrix for SVG's attribute.

https://www.w3.org/TR/css-transforms-2/; rotations out of the plane are projected onto it.
"""

import math
from collections.abc import Mapping
from typing import Final

import tinycss2
from tinycss2.ast import Node

from hangtag.dataset.svg import geometry, numbers
from hangtag.dataset.svg.tree import SVG, Element

Matrix = tuple[float, float, float, float, float, float]  # a b c d e f of SVG's matrix()
Box = tuple[float, float, float, float]  # x, y, width, height in user units

PROPERTIES: Final = (
    "translate", "rotate", "scale", "transform", "transform-origin", "transform-box",
)  # fmt: skip
_IDENTITY: Final[Matrix] = (1, 0, 0, 1, 0, 0)
_POSITIONS: Final = {"left": 0.0, "top": 0.0, "center": 0.5, "right": 1.0, "bottom": 1.0}
_OWN_BOXES: Final = ("fill-box", "content-box", "border-box", "stroke-box", "padding-box")
_REM: Final = 16.0


def combined(values: Mapping[str, str], attribute: str, box: Box) -> str | None:
    """Return the `transform` attribute for the transform properties in `values`, None for none.

    `attribute` is the element's own, which applies where CSS sets no `transform`. Percentages and
    `transform-origin` refer to `box`; without `transform-origin`, the origin is (0, 0) of the user
    space.
    """
    own = functions(attribute, box, True) if "transform" not in values else None
    parts = [
        _individual("translate", values.get("translate", ""), box),
        _individual("rotate", values.get("rotate", ""), box),
        _individual("scale", values.get("scale", ""), box),
        own if "transform" not in values else functions(values["transform"], box, False),
    ]
    matrix = _IDENTITY
    for part in parts:
        matrix = multiplied(matrix, part or _IDENTITY)
    if "transform-origin" in values:
        x, y = _origin(values["transform-origin"], box)
        matrix = multiplied(multiplied((1, 0, 0, 1, x, y), matrix), (1, 0, 0, 1, -x, -y))
    if matrix == _IDENTITY:
        return None
    return _written(matrix)


def functions(value: str, box: Box, attribute: bool) -> Matrix | None:
    """Return the product of transform functions, None if one is invalid.

    In an `attribute`, numbers have no units, and blanks may separate arguments.
    """
    matrix = _IDENTITY
    for token in _significant(value):
        if token.type == "ident" and token.lower_value == "none":
            continue
        if token == ",":
            continue
        arguments = _arguments(token, box, attribute) if token.type == "function" else None
        part = _function(token.lower_name, arguments) if arguments else None
        if part is None:
            return None
        matrix = multiplied(matrix, part)
    return matrix


def multiplied(left: Matrix, right: Matrix) -> Matrix:
    """Return the matrix that applies `right` first, then `left`."""
    a, b, c, d, e, f = left
    g, h, i, j, k, m = right
    return (
        a * g + c * h, b * g + d * h, a * i + c * j, b * i + d * j,
        a * k + c * m + e, b * k + d * m + f,
    )  # fmt: skip


def _significant(value: str) -> list[Node]:
    tokens = tinycss2.parse_component_value_list(value, skip_comments=True)
    return [token for token in tokens if token.type != "whitespace"]


def _arguments(token: Node, box: Box, attribute: bool) -> list[float] | None:
    """Return the arguments of a function: angles in degrees, lengths in user units."""
    name = token.lower_name
    parts = [part for part in token.arguments if part.type not in ("whitespace", "comment")]
    if not attribute:
        parts = [part for group in numbers.split(token.arguments, ",") for part in group]
    values = []
    for index, part in enumerate(part for part in parts if part != ","):
        value = _argument(name, part, index, box, attribute)
        if value is None:
            return None
        values.append(value)
    return values


def _argument(name: str, part: Node, index: int, box: Box, attribute: bool) -> float | None:
    found = numbers.quantity(part)
    if found is None:
        return None
    if attribute or set(found) == {""}:
        plain = found.get("", found.get("px", found.get("deg")))
        # The only length without a unit in CSS is 0.
        unitless = attribute or not name.startswith("translate") or plain == 0
        return plain if unitless else None
    if "deg" in found:
        return found["deg"] if len(found) == 1 else None
    if name.startswith("scale"):
        return found["%"] / 100 if set(found) == {"%"} else None
    along = box[3] if name == "translatey" or index == 1 else box[2]
    return numbers.in_pixels(found, {"%": along / 100, "em": _REM, "rem": _REM})


def _function(name: str, values: list[float]) -> Matrix | None:
    first = values[0]
    second = values[1] if len(values) > 1 else None
    if name in ("matrix", "matrix3d"):
        if name == "matrix3d" and len(values) == 16:
            values = [values[index] for index in (0, 1, 4, 5, 12, 13)]
        return (*values,) if len(values) == 6 else None  # type: ignore[return-value]
    if name in ("translate", "translate3d"):
        return (1, 0, 0, 1, first, second or 0)
    if name in ("scale", "scale3d"):
        return (first, 0, 0, first if second is None else second, 0, 0)
    if name in ("rotate", "rotatez"):
        turned = _turned(first)
        if len(values) == 3:
            there, back = (1, 0, 0, 1, values[1], values[2]), (1, 0, 0, 1, -values[1], -values[2])
            return multiplied(multiplied(there, turned), back)
        return turned
    if name == "skew":
        return (1, _tangent(second or 0), _tangent(first), 1, 0, 0)
    return {
        "translatex": (1, 0, 0, 1, first, 0), "translatey": (1, 0, 0, 1, 0, first),
        "translatez": _IDENTITY, "scalex": (first, 0, 0, 1, 0, 0), "scaley": (1, 0, 0, first, 0, 0),
        "scalez": _IDENTITY, "skewx": (1, 0, _tangent(first), 1, 0, 0),
        "skewy": (1, _tangent(first), 0, 1, 0, 0), "perspective": _IDENTITY,
        "rotatex": (1, 0, 0, math.cos(math.radians(first)), 0, 0),
        "rotatey": (math.cos(math.radians(first)), 0, 0, 1, 0, 0),
    }.get(name)  # fmt: skip


def _turned(degrees: float) -> Matrix:
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    return (cosine, sine, -sine, cosine, 0, 0)


def _tangent(degrees: float) -> float:
    return math.tan(math.radians(degrees))


def _individual(name: str, value: str, box: Box) -> Matrix | None:
    """Return one of the properties `translate`, `rotate`, `scale` as a matrix."""
    tokens = _significant(value)
    if not tokens or (tokens[0].type == "ident" and tokens[0].lower_value == "none"):
        return None
    if name == "rotate":  # an axis may precede or follow the angle: only z stays in the plane
        tokens = [token for token in tokens if token.type in ("dimension", "function")]
    values = [_argument(name, token, index, box, False) for index, token in enumerate(tokens)]
    known = [each for each in values if each is not None]
    return _function(name, known) if known and len(known) == len(values) else None


def _origin(value: str, box: Box) -> tuple[float, float]:
    tokens = _significant(value)[:2]
    words = [token.lower_value if token.type == "ident" else "" for token in tokens]
    if (
        words
        and (words[0] in ("top", "bottom") or words[-1:] in (["left"], ["right"]))
        and len(words) == 2
    ):
        tokens.reverse()
    elif words and words[0] in ("top", "bottom"):
        tokens = [*_significant("center"), *tokens]
    tokens += _significant("center")
    return position(tokens[0], box[0], box[2]), position(tokens[1], box[1], box[3])


def position(token: Node, start: float, length: float) -> float:
    """Return the position of a keyword, length or percentage along one side of a box."""
    if token.type == "ident":
        return start + length * _POSITIONS.get(token.lower_value, 0.5)
    found = numbers.quantity(token) or {}
    return start + (numbers.in_pixels(found, {"%": length / 100, "em": _REM, "rem": _REM}) or 0.0)


def is_own_box(values: Mapping[str, str]) -> bool:
    """Return whether the box is the element's own, not the viewport."""
    return values.get("transform-box", "").lower() in _OWN_BOXES


def move_to_group(root: Element) -> None:
    """Move the root's transform, which is in px of its box, to a group in its viewBox."""
    matrix = functions(root.attrib.pop("transform", ""), (0.0, 0.0, 0.0, 0.0), True)
    if matrix is None or matrix == _IDENTITY:
        return
    width, height = geometry.screen(root)
    box = geometry.view_box(root)
    if box is not None:
        scale = min(width / box[2], height / box[3])
        x, y = (width - scale * box[2]) / 2, (height - scale * box[3]) / 2
        shown: Matrix = (scale, 0, 0, scale, x - scale * box[0], y - scale * box[1])
        back: Matrix = (1 / scale, 0, 0, 1 / scale, -shown[4] / scale, -shown[5] / scale)
        matrix = multiplied(multiplied(back, matrix), shown)
    group = Element(SVG + "g", {"transform": _written(matrix)})
    group.extend(root)
    for child in list(root):
        root.remove(child)
    root.append(group)


def _written(matrix: Matrix) -> str:
    return f"matrix({' '.join(numbers.text(value) for value in matrix)})"
