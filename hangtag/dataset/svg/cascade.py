"""The cascade for one element of an SVG: declarations in, attributes out.

https://www.w3.org/TR/css-cascade-5/
"""

from collections.abc import Mapping
from typing import Final

from hangtag.dataset.svg import geometry, transforms, variables
from hangtag.dataset.svg.boxes import box_of
from hangtag.dataset.svg.properties import (
    GEOMETRY,
    LENGTHS,
    NO_ATTRIBUTES,
    PROPERTIES,
    WIDE_KEYWORDS,
    computed,
    is_length_of_css,
)
from hangtag.dataset.svg.stylesheet import Declaration, cascade_order, inline_declarations
from hangtag.dataset.svg.tree import SVG, Element
from hangtag.dataset.svg.values import Surroundings

_MARKERS: Final = ("marker-start", "marker-mid", "marker-end")
_FONTS: Final = tuple(name for name in PROPERTIES if name.startswith("font-"))
# The renderer reads these only in a style attribute, or respects their order only there.
_STYLED: Final = frozenset(("mix-blend-mode", "isolation", "font", *_FONTS))
_ATTRIBUTES: Final = frozenset(PROPERTIES) - NO_ATTRIBUTES - frozenset(LENGTHS)
_TRANSFORMS: Final = {
    "linearGradient": "gradientTransform",
    "radialGradient": "gradientTransform",
    "pattern": "patternTransform",
}
_WEAKEST: Final = (False, False, (), (0, 0, 0), -1)
_ALIASES: Final = {
    "mask-image": "mask",
    "-webkit-mask-image": "mask",
    "background": "background-color",
}


class Cascade:
    """The declarations of one element, the strongest last."""

    def __init__(self, element: Element, matched: list[Declaration]) -> None:
        declared = [*_attributes(element), *matched, *_inline(element)]
        declared.sort(key=lambda each: each.order)
        self._declared = [(name, value) for _, own, value in declared for name in _names(own)]
        self.custom = {name: value for name, value in self._declared if name.startswith("--")}
        self.refers = any(variables.has_reference(value) for _, value in self._declared)

    def values(self, custom: Mapping[str, str], around: Surroundings) -> dict[str, str]:
        """Return the value of every property, in the order in which they were set."""
        values: dict[str, str] = {}
        around = self._own(custom, around)
        for name, value in self._declared:
            if name == "all":
                values.clear()
                continue
            if name not in PROPERTIES:
                continue
            found = _value(name, value, custom, around)
            if found is not None:
                values.pop(name, None)
                values[name] = found
                for side in _FONTS if name == "font" else ():
                    values.pop(side, None)
        return values

    def _own(self, custom: Mapping[str, str], around: Surroundings) -> Surroundings:
        """Return `around` with the element's own `color` and `font-size`, which others refer to."""
        for name, value in self._declared:
            if name in ("color", "font-size"):
                found = _value(name, value, custom, around)
                size = geometry.pixels(found or "")
                if name == "font-size" and size is not None:
                    around = around._replace(em=size)
                elif name == "color" and found not in (None, "currentColor", *WIDE_KEYWORDS):
                    around = around._replace(color=str(found))
        return around


def _value(name: str, value: str, custom: Mapping[str, str], around: Surroundings) -> str | None:
    if not variables.has_reference(value):
        return computed(name, value, around)
    try:
        value = variables.substituted(value, custom)
    except variables.Invalid:
        return "unset"
    # A value that becomes invalid by its variables still overrides the declarations before it.
    return computed(name, value, around) or "unset"


def _attributes(element: Element) -> list[Declaration]:
    """Return the presentation attributes, which are weaker than all rules."""
    lengths = GEOMETRY.get(element.tag.removeprefix(SVG), ())
    return [
        Declaration(_WEAKEST, name, value.strip())
        for name, value in element.attrib.items()
        if name in _ATTRIBUTES or (name in lengths and is_length_of_css(name, value))
    ]


def _inline(element: Element) -> list[Declaration]:
    return [
        Declaration(cascade_order(important, (), (0, 0, 0), position, inline=True), name, value)
        for position, (name, value, important) in enumerate(
            inline_declarations(element.get("style", ""))
        )
    ]


def _names(name: str) -> tuple[str, ...]:
    if name == "marker":
        return _MARKERS
    name = _ALIASES.get(name, name)
    bare = name.removeprefix("-webkit-")
    return (bare,) if bare in PROPERTIES else (name,)


def write(
    element: Element,
    values: Mapping[str, str],
    around: Surroundings,
    parent: Mapping[str, str],
    ids: Mapping[str, Element],
) -> None:
    """Replace an element's style attribute and presentation attributes by `values`."""
    lengths = GEOMETRY.get(element.tag.removeprefix(SVG), ())
    for name in [name for name in element.attrib if name in _ATTRIBUTES or name == "style"]:
        del element.attrib[name]
    styled: list[str] = []
    transformed: dict[str, str] = {}
    for name, value in values.items():
        found = _settled(name, value, parent)
        if name in transforms.PROPERTIES:
            if found is not None:
                transformed[name] = found
        elif found is None:
            if name in lengths:
                element.attrib.pop(name, None)
        elif name in LENGTHS or name == "d":
            if name in lengths:
                _set_geometry(element, name, found)
        elif name in _STYLED:
            styled.append(f"{name}:{found}")
        else:
            element.set(name, found)
    if styled:
        element.set("style", ";".join(styled))
    if transformed:
        _set_transform(element, transformed, around, ids)


def _settled(name: str, value: str, parent: Mapping[str, str]) -> str | None:
    """Resolve the CSS-wide keywords; None: the element has no value of its own."""
    if value not in WIDE_KEYWORDS:
        return value
    known = PROPERTIES[name]
    if value == "inherit" and not known.inherited:
        return parent.get(name) or known.initial or None
    return known.initial or None if value == "initial" else None


def _set_geometry(element: Element, name: str, value: str) -> None:
    if value == "auto":
        element.attrib.pop(name, None)
    else:
        element.set(name, value)


def _set_transform(
    element: Element, values: Mapping[str, str], around: Surroundings, ids: Mapping[str, Element]
) -> None:
    box: transforms.Box = (0.0, 0.0, around.width, around.height)
    if transforms.is_own_box(values):
        box = box_of(element, ids) or box
    attribute = _TRANSFORMS.get(element.tag.removeprefix(SVG), "transform")
    matrix = transforms.combined(values, element.get(attribute, ""), box)
    if matrix is None:
        element.attrib.pop(attribute, None)
    else:
        element.set(attribute, matrix)
