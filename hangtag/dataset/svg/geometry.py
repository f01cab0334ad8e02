"""Geometry of an SVG: its viewBox, its sides in CSS pixels, the base of percentages."""

import math
import re
from collections.abc import Mapping
from typing import Final

import tinycss2

from hangtag.dataset.svg import numbers
from hangtag.dataset.svg.tree import Element

_LENGTH: Final = re.compile(
    r"\s*\+?([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)(px|pt|pc|mm|cm|in|q|)\s*", re.I
)
_UNITS: Final = {
    "": 1.0, "px": 1.0, "pt": 4 / 3, "pc": 16.0, "mm": 96 / 25.4, "cm": 96 / 2.54, "in": 96.0,
    "q": 24 / 25.4,
}  # fmt: skip
_FONT_SIZE: Final = re.compile(r"(?:^|;)\s*font-size\s*:([^;]+)")
_EM: Final = 16.0  # pixels: the font size of a document that has none
_DEFAULT: Final = (300.0, 150.0)  # where no size is given: https://www.w3.org/TR/css-images-3/


def pixels(length: str) -> float | None:
    """Return a length in CSS pixels, None for a relative one (%, em)."""
    found = _LENGTH.fullmatch(length)
    return float(found[1]) * _UNITS[found[2].lower()] if found else None


def view_box(element: Element) -> tuple[float, float, float, float] | None:
    """Return x, y, width and height of a viewBox, None without one or if its area is 0."""
    try:
        parts = [float(part) for part in re.split(r"[\s,]+", element.get("viewBox", "").strip())]
    except ValueError:
        return None
    if len(parts) != 4 or not (parts[2] > 0 and parts[3] > 0):
        return None
    return parts[0], parts[1], parts[2], parts[3]


def sides(root: Element) -> dict[str, str]:
    """Return the attributes `width` and `height` as they are, without missing ones."""
    return {name: root.attrib[name] for name in ("width", "height") if name in root.attrib}


def natural_size(root: Element) -> tuple[float, float] | None:
    """Return the size at which <img> shows a document, in CSS pixels; None if it is not given.

    A side that is missing, `auto` or a percentage follows the ratio of the viewBox.
    https://www.w3.org/TR/SVG2/coords.html#SizingSVGInCSS
    """
    width, height = (_natural_side(root, name) for name in ("width", "height"))
    box = view_box(root)
    if box is not None:
        if width is None and height is None:
            return box[2:]
        width = height * box[2] / box[3] if width is None and height is not None else width
        height = width * box[3] / box[2] if height is None and width is not None else height
    return (width, height) if width is not None and height is not None else None


def _natural_side(root: Element, name: str) -> float | None:
    """Return a side in CSS pixels, None for one that the document does not determine."""
    tokens = tinycss2.parse_component_value_list(root.get(name, "").strip())
    found = numbers.quantity(tokens[0]) if len(tokens) == 1 else None
    if found is None:
        return None
    size = _FONT_SIZE.search(f"{root.get('style', '')};font-size:{root.get('font-size', '')}")
    em = (pixels(size[1]) if size else None) or _EM
    side = numbers.in_pixels(found, {"em": em, "rem": em, "ex": em / 2, "ch": em / 2})
    return side if side is not None and side >= 0 else None


def screen(root: Element) -> tuple[float, float]:
    """Return the size at which a browser shows a document by itself, in CSS pixels."""
    size = natural_size(root)
    if size is None:
        size = (_natural_side(root, "width") or 0.0, _natural_side(root, "height") or 0.0)
    return size[0] or _DEFAULT[0], size[1] or _DEFAULT[1]


def image_size(root: Element) -> tuple[float, float]:
    """Return the size at which <img> shows a document, also one that has only a viewBox."""
    box = view_box(root)
    if box is None or any(_natural_side(root, name) is not None for name in ("width", "height")):
        return screen(root)
    scale = min(_DEFAULT[0] / box[2], _DEFAULT[1] / box[3])
    return box[2] * scale, box[3] * scale


def viewport(element: Element, outer: tuple[float, float]) -> tuple[float, float]:
    """Return the size that percentages in an <svg> or <symbol> refer to, in user units."""
    box = view_box(element)
    if box is not None:
        return box[2:]
    width, height = (pixels(element.get(name, "")) for name in ("width", "height"))
    return width or outer[0], height or outer[1]


def fix_root(root: Element, declared: Mapping[str, str]) -> None:
    """Remove what a browser ignores on the root of an image, such as `display`.

    `declared`: its sides before style sheets applied. Those of CSS count only in a document
    without a viewBox, which has no ratio of its own.
    """
    if view_box(root) is not None:
        for name in ("width", "height"):
            root.attrib.pop(name, None)
        root.attrib.update(declared)
    for name in ("width", "height"):
        if root.get(name, "").strip().startswith("-"):
            del root.attrib[name]
    for name in ("display", "systemLanguage", "requiredExtensions", "requiredFeatures"):
        root.attrib.pop(name, None)


def fit(root: Element, longest: int) -> bool:
    """Write into the root the size in whole pixels at which its longer side is `longest`.

    The renderer would round a size of its own before it scales: an icon of 1.5 x 1 would become
    2 x 1, a quarter of it empty. Return whether the document has a size; without one it stays as it
    is.
    """
    size = natural_size(root)
    if size is None or not (size[0] > 0 and size[1] > 0):
        return False
    box = view_box(root)
    if box is None:
        box = (0.0, 0.0, *size)
        root.set("viewBox", f"0 0 {size[0]!r} {size[1]!r}")
    if math.isclose(size[0] * box[3], size[1] * box[2], rel_tol=1e-3):
        # Whole pixels have not quite its ratio: a margin of half a pixel would be left.
        root.set("preserveAspectRatio", "none")
    for name, side in zip(("width", "height"), size, strict=True):
        root.set(name, str(max(1, round(side * longest / max(size)))))
    return True
