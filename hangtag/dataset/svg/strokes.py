"""Strokes that keep their width: `vector-effect: non-scaling-stroke`, which the renderer ignores.

Their width and dashes, which are in CSS pixels of the drawing at its natural size, are divided by
the scale of the element, averaged over both axes.
https://www.w3.org/TR/SVG2/coords.html#VectorEffects
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from hangtag.dataset.svg import geometry, numbers, transforms
from hangtag.dataset.svg.tree import MAX_ELEMENTS, SVG, Element, by_id, href

FIXED: Final = "non-scaling-stroke"
_INITIAL: Final = {"stroke-width": "1", "stroke-dasharray": "none", "stroke-dashoffset": "0"}
_VIEWPORTS: Final = (SVG + "svg", SVG + "symbol")
_DRAWN: Final = tuple(
    SVG + name
    for name in ("path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text")
)
_NO_BOX: Final[transforms.Box] = (0.0, 0.0, 0.0, 0.0)


class _Visit(NamedTuple):
    """An element where it is drawn: its ancestors' matrix and strokes."""

    element: Element
    matrix: transforms.Matrix
    strokes: Mapping[str, str]
    sides: Mapping[str, str]  # of the <use> that draws it


def are_fixed(root: Element) -> bool:
    """Return whether a document mentions strokes that keep their width."""
    return any(
        FIXED in element.get("vector-effect", "") + element.get("style", "")
        or (element.tag == SVG + "style" and FIXED in (element.text or ""))
        for element in root.iter()
    )


def apply(root: Element) -> None:
    """Divide the strokes of all elements with the attribute `vector-effect="non-scaling-stroke"`.

    An element that is drawn several times gets the scale of its first place.
    """
    if all(element.get("vector-effect") != FIXED for element in root.iter()):
        return
    done: set[Element] = set()
    for element, matrix, strokes, _ in _visits(root):
        if element.tag not in _DRAWN or element.get("vector-effect") != FIXED or element in done:
            continue
        done.add(element)
        scale = abs(matrix[0] * matrix[3] - matrix[1] * matrix[2]) ** 0.5
        if scale > 0:
            for name, value in strokes.items():
                element.set(name, _divided(value, scale))


def _visits(root: Element) -> Iterator[_Visit]:
    """Yield every element where it is drawn, in document order, its own matrix included."""
    ids = by_id(root)
    stack = [iter([_Visit(root, (1, 0, 0, 1, 0, 0), _INITIAL, root.attrib)])]
    left = MAX_ELEMENTS  # a <use> may refer to what it is in
    while stack and left:
        found = next(stack[-1], None)
        if found is None:
            stack.pop()
            continue
        element, outer, strokes, sides = found
        matrix = transforms.multiplied(outer, _own(element, sides, element is root))
        strokes = {name: element.get(name, value) for name, value in strokes.items()}
        visit = _Visit(element, matrix, strokes, sides)
        yield visit
        stack.append(_below(visit, ids))
        left -= 1


def _below(visit: _Visit, ids: Mapping[str, Element]) -> Iterator[_Visit]:
    """Yield what is drawn inside of an element: its children, or the target of a <use>."""
    element = visit.element
    for child in element:
        if child.tag not in (SVG + "defs", SVG + "symbol"):
            yield visit._replace(element=child, sides=child.attrib)
    target = ids.get(href(element)[1:]) if element.tag == SVG + "use" else None
    if target is not None:
        yield visit._replace(element=target, sides=element.attrib)


def _own(element: Element, sides: Mapping[str, str], is_root: bool) -> transforms.Matrix:
    """Return an element's transform times the scale of its viewBox; translations do not matter."""
    value = element.get("transform")
    own = transforms.functions(value, _NO_BOX, True) if value else None
    matrix = own or (1, 0, 0, 1, 0, 0)
    box = geometry.view_box(element) if element.tag in _VIEWPORTS else None
    if box is None:
        return matrix
    if is_root:
        width, height = geometry.image_size(element)
    else:
        width, height = (
            geometry.pixels(sides.get(side, "")) or 0.0 for side in ("width", "height")
        )
    x, y = width / box[2] or 1.0, height / box[3] or 1.0
    if not element.get("preserveAspectRatio", "").strip().startswith("none"):
        x = y = max(x, y) if "slice" in element.get("preserveAspectRatio", "") else min(x, y)
    return transforms.multiplied(matrix, (x, 0, 0, y, 0, 0))


def _divided(value: str, scale: float) -> str:
    """Return a length or a list of lengths divided by a scale; others stay as they are."""
    lengths = [geometry.pixels(word) for word in value.replace(",", " ").split()]
    known = [length for length in lengths if length is not None]
    if len(known) < len(lengths):
        return value
    return " ".join(numbers.text(length / scale) for length in known)
