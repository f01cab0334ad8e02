"""Outlines in a box of 100 x 100, y downwards: the parts that a drawing is made of."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

# (N, 2); a point that occurs twice in a row is a corner, the others are on a smooth curve.
Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Part:
    """Closed loops to fill (even-odd) or, where `width` is above 0, lines to stroke.

    `role` is one of a colour scheme ("main", "second", "third"), a colour, or "ink" (dark
    detail) and "shine" (highlight).
    """

    loops: tuple[Points, ...]
    role: str
    width: float = 0.0


Drawing = list[Part]  # the parts behind come first


def curve(text: str) -> Points:
    """Read "x,y x,y! ..." as anchors; "!" makes a corner."""
    anchors: list[list[float]] = []
    for word in text.split():
        point = [float(value) for value in word.rstrip("!").split(",")]
        anchors += [point] * (2 if word.endswith("!") else 1)
    return np.array(anchors)


def fill(role: str, *loops: str) -> Part:
    """Return a closed shape through the anchors."""
    return Part(tuple(curve(loop) for loop in loops), role)


def line(role: str, width: float, *lines: str) -> Part:
    """Return a stroke through the anchors."""
    return Part(tuple(curve(text) for text in lines), role, width)


def polygon(points: Points) -> Points:
    """Return the points, every one a corner."""
    return np.repeat(points, 2, axis=0)


def ring(n: int, x: float, y: float, rx: float, ry: float | None = None, turn: float = 0) -> Points:
    """Return `n` points on an ellipse, the first at the top, turned by `turn` degrees."""
    angle = 2 * np.pi * np.arange(n) / n - np.pi / 2 + np.radians(turn)
    return np.stack([x + rx * np.cos(angle), y + (ry or rx) * np.sin(angle)], axis=1)


def disc(role: str, x: float, y: float, rx: float, ry: float | None = None) -> Part:
    """Return a filled ellipse."""
    return Part((ring(8, x, y, rx, ry),), role)


def box(role: str, x: float, y: float, width: float, height: float) -> Part:
    """Return a filled rectangle."""
    right, bottom = x + width, y + height
    return Part((polygon(np.array([[x, y], [right, y], [right, bottom], [x, bottom]])),), role)


def placed(
    drawing: Drawing,
    scale: float | tuple[float, float] = 1.0,
    turn: float = 0.0,
    shift: tuple[float, float] = (0.0, 0.0),
    rename: dict[str, str] | None = None,
) -> Drawing:
    """Scale and turn (degrees) about the centre of the box, then shift; rename roles."""
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    matrix = np.array([[cos, sin], [-sin, cos]]) * np.array([np.ravel(scale)]).T
    moved = np.array(shift) + 50
    names = rename or {}
    return [
        Part(
            tuple((loop - 50) @ matrix + moved for loop in part.loops),
            names.get(part.role, part.role),
            part.width * float(np.mean(scale)),
        )
        for part in drawing
    ]


def mirrored(*parts: Part) -> Drawing:
    """Return the parts and their mirror images, left and right."""
    flipped = [
        Part(tuple(loop * [-1, 1] + [100, 0] for loop in part.loops), part.role, part.width)
        for part in parts
    ]
    return [*parts, *flipped]


def face(rng: Generator, x: float, y: float, size: float) -> Drawing:
    """Return two eyes and a smile."""
    wide, high = size * 0.6, y + size * 0.7
    low = high + size * rng.uniform(0.3, 0.6)
    return [
        disc("ink", x - size, y, size * 0.28, size * 0.36),
        disc("ink", x + size, y, size * 0.28, size * 0.36),
        line("ink", size * 0.24, f"{x - wide},{high} {x},{low} {x + wide},{high}"),
    ]


def extent(drawing: Drawing) -> tuple[Points, Points]:
    """Return the lowest and highest x and y of the parts, of curves by their anchors."""
    lows = [loop.min(axis=0) - part.width / 2 for part in drawing for loop in part.loops]
    highs = [loop.max(axis=0) + part.width / 2 for part in drawing for loop in part.loops]
    return np.min(lows, axis=0), np.max(highs, axis=0)


def fitted(drawing: Drawing) -> Drawing:
    """Return the drawing in the middle of the box, its longer side filling it."""
    low, high = extent(drawing)
    middle = 50 - (low + high) / 2
    centred = placed(drawing, shift=(float(middle[0]), float(middle[1])))
    return placed(centred, 100 / float(np.max(high - low)))
