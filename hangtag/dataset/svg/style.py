"""Style sheets and style attributes of an SVG -> attributes that the renderer understands.

Every element gets the values that the cascade of a current browser gives it: declarations that a
browser ignores are dropped, custom properties and colours are computed, geometry and transforms in
CSS become attributes. Elements that every renderer reads in the same way stay as they are.
"""

import copy
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

import cssselect2

from hangtag.dataset.svg import geometry, names, references, shapes, strokes, transforms, variables
from hangtag.dataset.svg.cascade import Cascade, write
from hangtag.dataset.svg.media import MediaScreen
from hangtag.dataset.svg.properties import (
    LENGTHS,
    NO_ATTRIBUTES,
    PROPERTIES,
    WIDE_KEYWORDS,
    computed,
    is_length_of_css,
)
from hangtag.dataset.svg.stylesheet import Declaration, Stylesheet
from hangtag.dataset.svg.tree import MAX_ELEMENTS, SVG, Element, by_id, href
from hangtag.dataset.svg.values import Surroundings
from hangtag.errors import ImageError

_SPECIAL: Final = re.compile(r"[\\!{}@]|/\*")
# Transforms of the root have their origin in the middle of its box, as in HTML, others in (0, 0).
_ROOT_ORIGIN: Final = Declaration((False, False, (), (0, 0, 0), -2), "transform-origin", "50% 50%")
_PLAIN_NAME: Final = re.compile(r"-?[a-z][a-z-]*")
_PLAIN: Final = Surroundings()
_ATTRIBUTES: Final = frozenset(PROPERTIES) - NO_ATTRIBUTES - frozenset(LENGTHS)
_VIEWPORTS: Final = (SVG + "svg", SVG + "symbol")
_STYLES: Final = (SVG + "style", "{http://www.w3.org/1999/xhtml}style")
_DEEPEST_USE: Final = 20


class _State(NamedTuple):
    """What an element passes on to its descendants."""

    custom: dict[str, str]
    around: Surroundings
    parent: Mapping[str, str]  # the attributes of the element above, for `inherit`


class _Original(NamedTuple):
    """An element before its style was applied: a <use> may draw it with other custom properties."""

    attributes: dict[str, str]
    matched: list[Declaration]


def apply(root: Element) -> None:
    """Replace the style sheets and style attributes of a document by plain attributes.

    Raises ImageError if the style sheets exceed the limits.
    """
    sheet = Stylesheet.of(root, MediaScreen(*geometry.screen(root)))
    fixed = strokes.are_fixed(root)
    turned = root.get("transform") is not None
    if sheet is not None or turned or fixed or any(_needs_work(element) for element in root.iter()):
        _Styler(root, sheet, fixed).run()
        shapes.apply(root)
        transforms.move_to_group(root)
        _add_background(root)
    if any(True for tag in _STYLES for _ in root.iter(tag)):
        for parent in [element for element in root.iter() if len(element)]:
            for child in [each for each in parent if each.tag in _STYLES]:
                parent.remove(child)
    names.rename(root)
    references.fix(root)


class _Styler:
    """One pass over a document, from the root down."""

    def __init__(self, root: Element, sheet: Stylesheet | None, whole: bool) -> None:
        """`whole`: also rewrite elements that every renderer reads in the same way."""
        self._root, self._sheet, self._whole = root, sheet, whole
        self._ids = by_id(root)
        self._originals: dict[Element, _Original] = {}
        self._custom: dict[Element, dict[str, str]] = {}  # of <use> and of what may be used
        self._copies = 0

    def run(self) -> None:
        initial = dict(self._sheet.initial) if self._sheet else {}
        state = _State(initial, Surroundings(*geometry.screen(self._root)), {})
        if self._sheet is None:
            self._walk_plain(self._root, state)
        else:
            self._walk(cssselect2.ElementWrapper.from_xml_root(self._root), state)
        if self._originals:
            for element in [each for each in self._root.iter() if each.tag == SVG + "use"]:
                self._copy_for_use(element, 0)

    def _walk(self, top: cssselect2.ElementWrapper, state: _State) -> None:
        sheet = self._sheet
        stack = [(top, state)]
        while stack and sheet is not None:
            wrapper, above = stack.pop()
            below = self._style(wrapper.etree_element, sheet.matching(wrapper), above)
            stack.extend((child, below) for child in wrapper.iter_children())

    def _walk_plain(self, top: Element, state: _State) -> None:
        stack = [(top, state)]
        while stack:
            element, above = stack.pop()
            original = self._originals.get(element)
            below = self._style(element, original.matched if original else [], above)
            stack.extend((child, below) for child in element)

    def _style(self, element: Element, matched: list[Declaration], above: _State) -> _State:
        """Reduce one element to plain attributes; return the state for its children."""
        below = above
        if element is self._root:
            matched = [_ROOT_ORIGIN, *matched]
        if matched or self._whole or _needs_work(element):
            cascade = Cascade(element, matched)
            custom = variables.resolved(cascade.custom, above.custom)
            if cascade.custom or cascade.refers:
                self._originals.setdefault(element, _Original(dict(element.attrib), matched))
            values = cascade.values(custom, above.around)
            around = _inside(values, above.around)
            write(element, values, above.around, above.parent, self._ids)
            below = _State(custom, around, element.attrib)
        else:
            around = _inside(element.attrib, above.around)
            below = above._replace(around=around, parent=element.attrib)
        if element is self._root:
            below = below._replace(around=below.around._replace(rem=below.around.em))
        if element.tag in _VIEWPORTS:
            size = geometry.viewport(element, below.around[:2])
            below = below._replace(around=below.around._replace(width=size[0], height=size[1]))
        if below.custom or self._originals:
            self._custom[element] = below.custom
        return below

    def _copy_for_use(self, use: Element, depth: int) -> None:
        """Give a <use> its own copy of the target where it passes on other custom properties.

        https://www.w3.org/TR/SVG2/struct.html#UseStyleInheritance
        """
        target = self._ids.get(href(use)[1:])
        if target is None or depth > _DEEPEST_USE or target is use:
            return
        below = self._custom.get(use, {})
        if not self._depends_on_custom(target):
            return
        if below == self._above(target) and depth == 0:
            return
        clone = copy.deepcopy(target)
        for old, new in zip(target.iter(), clone.iter(), strict=True):
            self._copies += 1
            if old in self._originals:
                self._originals[new] = self._originals[old]
                new.attrib.clear()
                new.attrib.update(self._originals[old].attributes)
        if self._copies > MAX_ELEMENTS:
            raise ImageError("too-complex", f"SVG with over {MAX_ELEMENTS:,} elements")
        around = Surroundings(*geometry.viewport(self._root, geometry.screen(self._root)))
        self._walk_plain(clone, _State(below, around, use.attrib))
        clone.set("id", f"hangtag-use-{self._copies}")
        self._ids[clone.get("id", "")] = clone
        for name in [name for name in use.attrib if name.endswith("href")]:
            del use.attrib[name]
        use.set("href", "#" + clone.get("id", ""))
        definitions = self._root.find(SVG + "defs[@id='hangtag-used']")
        if definitions is None:
            definitions = Element(SVG + "defs", {"id": "hangtag-used"})
            self._root.append(definitions)
        definitions.append(clone)
        for inner in [each for each in clone.iter() if each.tag == SVG + "use"]:
            self._copy_for_use(inner, depth + 1)

    def _depends_on_custom(self, target: Element) -> bool:
        """Return whether a target, or what it uses in turn, refers to custom properties."""
        seen: set[Element] = set()
        stack = [target]
        while stack:
            top = stack.pop()
            if top in seen:
                continue
            seen.add(top)
            for element in top.iter():
                if element in self._originals:
                    return True
                used = self._ids.get(href(element)[1:]) if element.tag == SVG + "use" else None
                if used is not None:
                    stack.append(used)
        return False

    def _above(self, element: Element) -> dict[str, str]:
        parents = {child: parent for parent in self._root.iter() for child in parent}
        return self._custom.get(parents.get(element, self._root), {})


def _inside(values: Mapping[str, str], around: Surroundings) -> Surroundings:
    colour = values.get("color", "currentColor")
    if colour != "currentColor" and colour not in WIDE_KEYWORDS:
        around = around._replace(color=colour)
    size = geometry.pixels(values.get("font-size", ""))
    return around._replace(em=size) if size is not None else around


def _needs_work(element: Element) -> bool:
    """Return whether the renderer may read an element differently than a browser."""
    for name, value in element.attrib.items():
        if name == "style":
            if not _is_plain_style(value):
                return True
        elif name in _ATTRIBUTES:
            if not _is_plain(name, value):
                return True
        elif is_length_of_css(name, value):
            return True
    return False


@lru_cache(maxsize=8192)
def _is_plain_style(style: str) -> bool:
    if _SPECIAL.search(style):
        return False
    for part in style.split(";"):
        name, colon, value = part.partition(":")
        name, value = name.strip(), value.strip()
        if not colon:
            if name:
                return False
            continue
        if not _PLAIN_NAME.fullmatch(name) or "filter" in name or name == "color":
            return False
        if name in PROPERTIES and (name in LENGTHS or not _is_plain(name, value)):
            return False
        if name.startswith(("-webkit-", "mask-image", "background")):
            return False
    return True


def _is_plain(name: str, value: str) -> bool:
    if computed(name, value, _PLAIN) != value:
        return False
    if name == "clip-path" and not value.startswith(("url(", "none")):
        return False
    return value not in WIDE_KEYWORDS and name not in transforms.PROPERTIES


def _add_background(root: Element) -> None:
    """Draw the background that CSS gives to the root, over the whole visible area."""
    for element in root.iter():
        colour = element.attrib.pop("background-color", None)
        if element is root and colour not in (None, "transparent"):
            x, y, width, height = geometry.view_box(root) or (0, 0, *geometry.screen(root))
            sides = {"x": x - 99 * width, "y": y - 99 * height}
            sides |= {"width": 199 * width, "height": 199 * height}
            attributes = {name: f"{side:.9g}" for name, side in sides.items()}
            root.insert(0, Element(SVG + "rect", {**attributes, "fill": colour, "stroke": "none"}))
