"""Bounding boxes of shapes, for transforms about the middle of an element.

https://www.w3.org/TR/SVG2/coords.html#BoundingBoxes, without strokes. Curves are measured at
_STEPS points each, which is exact enough for an origin.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from hangtag.dataset.svg import geometry, transforms
from hangtag.dataset.svg.tree import SVG, Element, href

Point = tuple[float, float]

_STEPS: Final = 16
_MAX_POINTS: Final = 200_000
_DEEPEST: Final = 150
_TOKEN: Final = re.compile(r"([A-Za-z])|([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)")
_ARGUMENTS: Final = {"m": 2, "l": 2, "h": 1, "v": 1, "c": 6, "s": 4, "q": 4, "t": 2, "a": 7, "z": 0}
_GROUPS: Final = ("g", "a", "svg", "switch", "use")


def box_of(element: Element, ids: Mapping[str, Element]) -> transforms.Box | None:
    """Return x, y, width and height of the area that an element fills, None if it is empty."""
    points: list[Point] = []
    for point in _points(element, ids, 0):
        points.append(point)
        if len(points) > _MAX_POINTS:
            break
    if not points:
        return None
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    top, bottom = min(y for _, y in points), max(y for _, y in points)
    return left, top, right - left, bottom - top


def _points(element: Element, ids: Mapping[str, Element], depth: int) -> Iterator[Point]:
    name = element.tag.removeprefix(SVG) if isinstance(element.tag, str) else ""
    if name in _GROUPS and depth < _DEEPEST:
        yield from _group(element, ids, depth)
    elif name in ("rect", "image", "foreignObject"):
        x, y, width, height = (_side(element, side) for side in ("x", "y", "width", "height"))
        if width > 0 and height > 0:
            yield from ((x, y), (x + width, y + height))
    elif name in ("circle", "ellipse"):
        x, y, r = _side(element, "cx"), _side(element, "cy"), _side(element, "r")
        rx, ry = (_side(element, side) or r for side in ("rx", "ry"))
        yield from ((x - rx, y - ry), (x + rx, y + ry))
    elif name == "line":
        yield from ((_side(element, f"x{end}"), _side(element, f"y{end}")) for end in "12")
    elif name in ("polyline", "polygon"):
        numbers = [
            float(number) for _, number in _TOKEN.findall(element.get("points", "")) if number
        ]
        yield from zip(numbers[::2], numbers[1::2], strict=False)
    elif name == "path":
        yield from _path(element.get("d", ""))


def _group(element: Element, ids: Mapping[str, Element], depth: int) -> Iterator[Point]:
    children: Iterable[Element] = element
    x = y = 0.0
    if element.tag == SVG + "use":
        target = ids.get(href(element)[1:])
        children = [target] if target is not None else []
        x, y = _side(element, "x"), _side(element, "y")
    for child in children:
        box: transforms.Box = (0.0, 0.0, 0.0, 0.0)
        matrix = transforms.functions(child.get("transform", ""), box, True)
        a, b, c, d, e, f = matrix or (1, 0, 0, 1, 0, 0)
        for px, py in _points(child, ids, depth + 1):
            yield a * px + c * py + e + x, b * px + d * py + f + y


def _side(element: Element, name: str) -> float:
    value = element.get(name, "0")
    return (-1 if value.startswith("-") else 1) * (geometry.pixels(value.lstrip("-")) or 0.0)


def _path(data: str) -> Iterator[Point]:
    """Yield points on a path. https://www.w3.org/TR/SVG2/paths.html"""
    here: Point = (0.0, 0.0)
    start, control, last = here, here, ""
    for command, values in _commands(data):
        kind, relative = command.lower(), command.islower()
        points = _absolute(kind, values, here if relative else (0.0, 0.0), here)
        if kind in "st":  # the first control point is the last one, mirrored
            smooth = last in ("cs" if kind == "s" else "qt")
            mirrored = (2 * here[0] - control[0], 2 * here[1] - control[1]) if smooth else here
            points.insert(0, mirrored)
        if kind == "z":
            here = start
        elif kind in "csqt":
            yield from _curve([here, *points])
            control, here = points[-2], points[-1]
        elif points:
            if kind == "a":
                yield from _arc(here, values, points[-1])
            here = points[-1]
            yield here
        if kind == "m":
            start = here
        last = kind


def _commands(data: str) -> Iterator[tuple[str, list[float]]]:
    command, values = "", [0.0][:0]
    for letter, number in _TOKEN.findall(data):
        if letter:
            command, values = letter, []
            if letter in "zZ":
                yield letter, []
        else:
            values.append(float(number))
            if len(values) == _ARGUMENTS.get(command.lower(), 0):
                yield command, values
                values = []
                command = {"m": "l", "M": "L"}.get(command, command)


def _absolute(kind: str, values: list[float], base: Point, here: Point) -> list[Point]:
    if kind == "h":
        return [(values[0] + base[0], here[1])]
    if kind == "v":
        return [(here[0], values[0] + base[1])]
    if kind == "a":
        values = values[5:]
    return [(x + base[0], y + base[1]) for x, y in zip(values[::2], values[1::2], strict=False)]


def _curve(points: list[Point]) -> Iterator[Point]:
    degree = len(points) - 1
    for step in range(1, _STEPS + 1):
        t = step / _STEPS
        weights = [
            math.comb(degree, index) * t**index * (1 - t) ** (degree - index)
            for index in range(degree + 1)
        ]
        yield (
            sum(weight * x for weight, (x, _) in zip(weights, points, strict=True)),
            sum(weight * y for weight, (_, y) in zip(weights, points, strict=True)),
        )


def _arc(start: Point, values: list[float], end: Point) -> Iterator[Point]:
    """Yield points on an elliptical arc. https://www.w3.org/TR/SVG2/implnote.html#ArcImplementationNotes"""
    rx, ry, turn = abs(values[0]), abs(values[1]), math.radians(values[2])
    cosine, sine = math.cos(turn), math.sin(turn)
    dx, dy = (start[0] - end[0]) / 2, (start[1] - end[1]) / 2
    x, y = cosine * dx + sine * dy, cosine * dy - sine * dx
    if not (rx and ry and (x or y)):
        return
    grown = max(1.0, math.hypot(x / rx, y / ry))
    rx, ry = rx * grown, ry * grown
    share = max(0.0, 1 / (math.hypot(x / rx, y / ry) ** 2) - 1) ** 0.5
    sign = -1 if bool(values[3]) == bool(values[4]) else 1
    cx, cy = sign * share * rx * y / ry, -sign * share * ry * x / rx
    first = math.atan2((y - cy) / ry, (x - cx) / rx)
    sweep = math.atan2((-y - cy) / ry, (-x - cx) / rx) - first
    if values[4] and sweep < 0:
        sweep += 2 * math.pi
    elif not values[4] and sweep > 0:
        sweep -= 2 * math.pi
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    for step in range(1, 2 * _STEPS + 1):
        angle = first + sweep * step / (2 * _STEPS)
        px, py = rx * math.cos(angle) + cx, ry * math.sin(angle) + cy
        yield cosine * px - sine * py + middle[0], sine * px + cosine * py + middle[1]
