"""Geometry of an SVG: its viewBox, its sides in CSS pixels, the base of percentages."""

import re
from typing import Final

from hangtag.dataset.svg.tree import Element

_FINE: Final = 1024  # pixels: at this size, rounding a side does not show
_LENGTH: Final = re.compile(
    r"\s*\+?([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)(px|pt|pc|mm|cm|in|)\s*", re.I
)
_UNITS: Final = {
    "": 1.0, "px": 1.0, "pt": 4 / 3, "pc": 16.0, "mm": 96 / 25.4, "cm": 96 / 2.54, "in": 96.0,
}  # fmt: skip
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


def sides(root: Element) -> tuple[float | None, float | None]:
    """Return width and height of a document in CSS pixels; its viewBox's where they are 100%."""
    box = view_box(root)
    own = box[2:] if box else (None, None)
    width, height = (
        side if root.get(name, "100%").strip() in ("100%", "auto") else pixels(root.get(name, ""))
        for name, side in zip(("width", "height"), own, strict=True)
    )
    return width, height


def screen(root: Element) -> tuple[float, float]:
    """Return the size at which a browser shows a document by itself, in CSS pixels."""
    width, height = sides(root)
    return width or _DEFAULT[0], height or _DEFAULT[1]


def viewport(element: Element, outer: tuple[float, float]) -> tuple[float, float]:
    """Return the size that percentages in an <svg> or <symbol> refer to, in user units."""
    box = view_box(element)
    if box is not None:
        return box[2:]
    width, height = (pixels(element.get(name, "")) for name in ("width", "height"))
    return width or outer[0], height or outer[1]


def fix_root(root: Element) -> None:
    """Remove what a browser ignores on the root: negative sides, `display`, `systemLanguage`."""
    for name in ("width", "height"):
        if root.get(name, "").strip().startswith("-"):
            del root.attrib[name]
    for name in ("display", "systemLanguage", "requiredExtensions", "requiredFeatures"):
        root.attrib.pop(name, None)


def enlarge_fractions(root: Element) -> None:
    """Enlarge a drawing whose sides are not whole pixels: the renderer rounds before it scales.

    An icon of 1.5 x 1 would become 2 x 1, a quarter of it empty. A drawing without absolute lengths
    stays as it is.
    """
    width, height = sides(root)
    if width is None or height is None or not (width > 0 and height > 0):
        return
    if width.is_integer() and height.is_integer():
        return
    if view_box(root) is None:
        root.set("viewBox", f"0 0 {width!r} {height!r}")
    scale = _FINE / max(width, height)
    root.set("width", repr(width * scale))
    root.set("height", repr(height * scale))
