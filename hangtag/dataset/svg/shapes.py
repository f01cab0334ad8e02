"""CSS shapes as clip paths: `clip-path: circle(50%)` and similar -> path data.

https://www.w3.org/TR/css-shapes-1/#basic-shape-functions
"""

import re
from collections.abc import Sequence
from typing import Final

import tinycss2
from tinycss2.ast import Node

from hangtag.dataset.svg import geometry, numbers
from hangtag.dataset.svg.boxes import box_of
from hangtag.dataset.svg.transforms import Box, position
from hangtag.dataset.svg.tree import SVG, Element, by_id

NAMES: Final = ("circle", "ellipse", "inset", "polygon", "path", "rect", "xywh")
BOXES: Final = (
    "fill-box", "stroke-box", "view-box", "border-box", "padding-box", "content-box", "margin-box",
)  # fmt: skip
_NUMBER: Final = numbers.text


def is_shape(tokens: Sequence[Node]) -> bool:
    """Return whether a value is a shape, a box, or both."""
    shapes = [token for token in tokens if token.type == "function" and token.lower_name in NAMES]
    boxes = [token for token in tokens if token.type == "ident" and token.lower_value in BOXES]
    few = len(shapes) <= 1 and len(boxes) <= 1
    return few and 0 < len(shapes) + len(boxes) == len(tokens)


def apply(root: Element) -> None:
    """Replace every shape in a `clip-path` attribute by an equivalent <clipPath>."""
    clips = Element(SVG + "defs")
    ids: dict[str, Element] = {}
    for element in root.iter():
        value = element.get("clip-path", "none")
        if value == "none" or value.startswith("url("):
            continue
        ids = ids or by_id(root)
        box = _box(root, element, _box_name(value), ids)
        found = _path_of(value, box) if box is not None else None
        if found is None:
            del element.attrib["clip-path"]
            continue
        key = f"hangtag-clip-{len(clips)}"
        names = zip(("d", "clip-rule", "transform"), found, strict=True)
        clips.append(Element(SVG + "clipPath", {"id": key}))
        clips[-1].append(Element(SVG + "path", {name: text for name, text in names if text}))
        element.set("clip-path", f"url(#{key})")
    if len(clips):
        root.append(clips)


def _box(root: Element, element: Element, name: str, ids: dict[str, Element]) -> Box | None:
    """Return the box that a shape is measured in, in user units."""
    if name == "view-box":
        return (0.0, 0.0, *geometry.viewport(root, geometry.screen(root)))
    box = box_of(element, ids)
    if box is None or name in ("fill-box", "content-box", "padding-box"):
        return box
    if element.get("stroke", "none") == "none":
        return box
    half = (geometry.pixels(element.get("stroke-width", "1")) or 0.0) / 2
    return box[0] - half, box[1] - half, box[2] + 2 * half, box[3] + 2 * half


def _box_name(value: str) -> str:
    found = re.search(r"[a-z]+-box", value.lower())
    return found[0] if found else "border-box"


def _path_of(value: str, box: Box) -> tuple[str, str, str] | None:
    """Return path data, `clip-rule` and `transform` of a shape in a box; None if invalid."""
    tokens = tinycss2.parse_component_value_list(value, skip_comments=True)
    shape = next((token for token in tokens if token.type == "function"), None)
    if shape is None:
        return _rectangle(box), "nonzero", ""
    name = shape.lower_name
    groups = numbers.split(shape.arguments, ",")
    if name in ("polygon", "path"):
        return _outline(name, groups, box)
    words = groups[0] if len(groups) == 1 else []
    draw = _round if name in ("circle", "ellipse") else _frame
    data = draw(name, words, box)
    return (data, "nonzero", "") if data else None


def _outline(name: str, groups: list[list[Node]], box: Box) -> tuple[str, str, str] | None:
    rule = "nonzero"
    if groups[0] and groups[0][0].type == "ident":
        rule, groups = groups[0][0].lower_value, groups[1:]
    if not groups or not groups[0]:
        return None
    if name == "path":
        data = groups[0][0].value if groups[0][0].type == "string" else ""
        return data, rule, f"translate({_NUMBER(box[0])} {_NUMBER(box[1])})"
    points = [
        f"{_NUMBER(position(x, box[0], box[2]))} {_NUMBER(position(y, box[1], box[3]))}"
        for x, y in (group for group in groups if len(group) == 2)
    ]
    return f"M{'L'.join(points)}Z", rule, ""


def _round(name: str, words: list[Node], box: Box) -> str:
    index = next((i for i, w in enumerate(words) if w.type == "ident" and w.value == "at"), None)
    middle = words[index + 1 :] if index is not None else []
    sizes = words[:index]
    x = position(middle[0], box[0], box[2]) if middle else box[0] + box[2] / 2
    y = position(middle[1], box[1], box[3]) if len(middle) > 1 else box[1] + box[3] / 2
    across, down = (x - box[0], box[0] + box[2] - x), (y - box[1], box[1] + box[3] - y)
    if name == "circle":
        whole = ((box[2] ** 2 + box[3] ** 2) / 2) ** 0.5
        rx = ry = _radius(sizes[:1], (*across, *down), whole)
    else:
        rx = _radius(sizes[:1], across, box[2])
        ry = _radius(sizes[1:2], down, box[3])
    arc = f"a{_NUMBER(rx)} {_NUMBER(ry)} 0 1 0"
    return f"M{_NUMBER(x - rx)} {_NUMBER(y)}{arc} {_NUMBER(2 * rx)} 0{arc} {_NUMBER(-2 * rx)} 0Z"


def _radius(words: Sequence[Node], sides: Sequence[float], whole: float) -> float:
    word = words[0] if words else None
    if word is None or word.type == "ident":
        farthest = word is not None and word.lower_value == "farthest-side"
        return (max if farthest else min)(abs(side) for side in sides)
    return max(0.0, position(word, 0.0, whole))


def _frame(name: str, words: list[Node], box: Box) -> str:
    index = next((i for i, w in enumerate(words) if w.type == "ident" and w.value == "round"), None)
    sides = words[:index]
    corner = words[index + 1] if index is not None and len(words) > index + 1 else None
    x, y, width, height = box
    if name == "xywh" and len(sides) == 4:
        left, top = position(sides[0], x, width), position(sides[1], y, height)
        inner = (left, top, position(sides[2], 0, width), position(sides[3], 0, height))
    elif name in ("inset", "rect") and 1 <= len(sides) <= 4:
        top, right, bottom, left = [sides[i] for i in _EDGES[len(sides)]]
        ends = (position(left, 0, width), position(top, 0, height))
        if name == "inset":
            far = (width - position(right, 0, width), height - position(bottom, 0, height))
        else:
            far = (position(right, 0, width), position(bottom, 0, height))
        inner = (x + ends[0], y + ends[1], far[0] - ends[0], far[1] - ends[1])
    else:
        return ""
    return _rectangle(inner, position(corner, 0, width) if corner is not None else 0.0)


_EDGES: Final = {1: (0, 0, 0, 0), 2: (0, 1, 0, 1), 3: (0, 1, 2, 1), 4: (0, 1, 2, 3)}


def _rectangle(box: Box, radius: float = 0.0) -> str:
    x, y, width, height = box[0], box[1], max(0.0, box[2]), max(0.0, box[3])
    r = min(radius, width / 2, height / 2)
    corners = (
        f"M{_NUMBER(x + r)} {_NUMBER(y)}h{_NUMBER(width - 2 * r)}", f"{_NUMBER(r)} {_NUMBER(r)}",
        f"v{_NUMBER(height - 2 * r)}", f"{_NUMBER(-r)} {_NUMBER(r)}",
        f"h{_NUMBER(2 * r - width)}", f"{_NUMBER(-r)} {_NUMBER(-r)}",
        f"v{_NUMBER(2 * r - height)}", f"{_NUMBER(r)} {_NUMBER(-r)}",
    )  # fmt: skip
    arc = f"a{_NUMBER(r)} {_NUMBER(r)} 0 0 1 "
    return "".join(arc + part if i % 2 else part for i, part in enumerate(corners)) + "Z"
