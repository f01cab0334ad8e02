"""Fingerprints: what a design looks like apart from its colours, and whether two are one drawing.

A fingerprint holds shape and inner edges in cells of a square. `near_duplicates` searches with it.
"""

import functools
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

# A fingerprint: aspect (1 byte), light/dark layout (1 bit a cell), four maps (4 bits a cell).
_SIDE = 64  # px of the square that every drawing is scaled to
_GRID = 16  # cells per side of the maps: shape, edge strength, edge direction (2)
_CELLS = _GRID * _GRID
_LAYOUT = 32  # cells per side of the layout
_FLAT = 1 / 255  # standard deviation of a colour, 0..1, that rounding may cause
_TOP = 14  # maps hold 0..14, so that the zero of a signed map is exact
_MAPS_AT = 1 + _LAYOUT * _LAYOUT // 8
FINGERPRINT_BYTES = _MAPS_AT + 4 * _CELLS // 2

# Limits of what counts as the same, chosen with benchmarks/near_duplicates.py.
_ASPECT_STEP = 0.04  # natural logarithm of height / width per unit of the aspect byte
_ASPECT_LIMIT = 2
_SHAPE_LIMIT = 0.09
_EDGE_LIMIT = 0.11
_PROOF_LIMIT = 0.10
_LAYOUT_LIMIT = 0.05


def fingerprint(rgba: Bytes) -> Bytes:
    """Return the fingerprint of a design: uint8 (FINGERPRINT_BYTES,).

    `rgba` is uint8 (height, width, 4), straight alpha, any size. The drawing is framed by its
    visible mass and stretched to a square, so padding, scale and the colours under full
    transparency do not matter; edges are taken over all colours at once, without sign (Di Zenzo
    1986), and relative to the design's own contrast, so a recolour changes little. All zero for a
    blank design: nothing visible, or one flat colour from border to border.
    """
    framed = _framed(rgba)
    if framed is None:
        return np.zeros(FINGERPRINT_BYTES, np.uint8)
    square, aspect = framed
    alpha = square[..., 3]
    colour = _opaque(square)
    shape = _pooled(alpha)
    shape /= max(float(shape.max()), 0.05)  # hairlines count as much as fat strokes
    maps = np.concatenate([shape[None], _edges(colour, alpha).transpose(2, 0, 1)])
    # Square roots give faint edges their share of the 15 steps.
    maps[1:] = np.sign(maps[1:]) * np.sqrt(np.abs(maps[1:]))
    maps[2:] = (maps[2:] + 1) / 2
    steps = np.rint(np.clip(maps, 0, 1) * _TOP).astype(np.uint8).ravel()
    head = np.clip([128 + round(aspect / _ASPECT_STEP)], 1, 255).astype(np.uint8)
    return np.concatenate([head, _layout(colour, alpha), steps[::2] << 4 | steps[1::2]])


def _framed(rgba: Bytes) -> tuple[Float, float] | None:
    """Return the drawing in a square, float32 (_SIDE, _SIDE, 4) premultiplied 0..1, and its aspect.

    The aspect is log(height / width). None for a blank design.
    """
    visible = cv2.threshold(rgba[..., 3], 7, 255, cv2.THRESH_BINARY)[1]
    x, y, width, height = cv2.boundingRect(visible)
    if width == 0:
        return None
    red, green, blue, alpha = cv2.split(rgba[y : y + height, x : x + width])
    drawing = cv2.merge(
        [*(cv2.multiply(c, alpha, scale=1 / 255) for c in (red, green, blue)), alpha]
    )
    size = min(width, 2 * _SIDE), min(height, 2 * _SIDE)
    if size != (width, height):
        drawing = cv2.resize(drawing, size, interpolation=cv2.INTER_AREA)
    if (height, width) == rgba.shape[:2] and (drawing == drawing[0, 0]).all():
        return None
    mass = cv2.extractChannel(drawing, 3)
    left, right = _bounds(cv2.reduce(mass, 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel())
    top, bottom = _bounds(cv2.reduce(mass, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel())
    step_x, step_y = (right - left) / (2 * _SIDE), (bottom - top) / (2 * _SIDE)
    to_drawing = np.array(
        [[step_x, 0, left + (step_x - 1) / 2], [0, step_y, top + (step_y - 1) / 2]]
    )
    square = cv2.warpAffine(
        drawing, to_drawing, (2 * _SIDE,) * 2, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    square = cv2.resize(square, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    aspect = np.log(step_y * height / size[1]) - np.log(step_x * width / size[0])
    return square.astype(np.float32) / np.float32(255), float(aspect)


def _bounds(mass: npt.NDArray[Any]) -> tuple[float, float]:
    """Return where a drawing begins and ends along one axis, in pixels, fractions included.

    The box of the outermost pixels jumps by a pixel when a design is resized; the quantiles of
    its mass stay (measured: 20 times less difference between a 64 px icon and its original).
    """
    below = np.concatenate([[0], np.cumsum(mass, dtype=np.int64)])
    first, last = np.interp([0.02, 0.98], below / below[-1], np.arange(len(below)))
    margin = 0.05 * (last - first) + 0.02
    return float(first - margin), float(last + margin)


def _blurred(image: Float, sigma: float, border: int = cv2.BORDER_REPLICATE) -> Float:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=border), np.float32)


def _pooled(image: Float) -> Float:
    """Return `image` (_SIDE, _SIDE[, channels]) softened and averaged into _GRID x _GRID cells."""
    soft = _blurred(image, 1.5, cv2.BORDER_CONSTANT)
    return np.asarray(cv2.resize(soft, (_GRID, _GRID), interpolation=cv2.INTER_AREA), np.float32)


def _opaque(square: Float) -> Float:
    """Return RGB with the drawing's colours extended over its transparent parts.

    So the outline, which the shape map holds, is not an inner edge as well: faces on the same
    yellow disc differ in all other edges.
    """
    cells = np.asarray(cv2.resize(square, (_GRID, _GRID), interpolation=cv2.INTER_AREA), np.float32)
    cells = _blurred(cells, 1.0) + 0.01 * cells.mean(axis=(0, 1))
    extended = cv2.resize(cells[..., :3] / cells[..., 3:], (_SIDE, _SIDE))
    return np.asarray(square[..., :3] + (1 - square[..., 3:]) * extended, np.float32)


def _edges(colour: Float, alpha: Float) -> Float:
    """Return edge strength 0..1, and strength times cos and sin of twice the angle: (16, 16, 3)."""
    soft = _blurred(colour, 1.0)
    dx = cv2.Scharr(soft, cv2.CV_32F, 1, 0, scale=1 / 32)
    dy = cv2.Scharr(soft, cv2.CV_32F, 0, 1, scale=1 / 32)
    over_colours = np.ones((1, 3), np.float32)
    xx, yy, xy = (cv2.transform(p, over_colours) for p in (dx * dx, dy * dy, dx * dy))
    energy = xx + yy
    gradient = np.sqrt(energy)
    weight = alpha * alpha  # thin coverage leaves too few bits of colour to trust
    usual = float((gradient * weight).sum()) / max(float(weight.sum()), 1.0)
    # Relative to the design's usual gradient, and blind to what rounding to 8 bits leaves (0.02).
    strength = weight * gradient / (gradient + usual + 0.02)
    turn = strength / (energy + 1e-12)
    return _pooled(np.dstack([strength, turn * (xx - yy), turn * (xy + xy)]))


def _layout(colour: Float, alpha: Float) -> Bytes:
    """Return which cells lie on which side of the mean colour, along the axis of most variance.

    No bit is set for a drawing of one flat colour.
    """
    size = (_LAYOUT, _LAYOUT)
    cells = cv2.resize(colour, size, interpolation=cv2.INTER_AREA).reshape(-1, 3)
    weight = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA).reshape(-1, 1)
    offsets = cells - (cells * weight).sum(axis=0) / weight.sum()
    spread, axes = np.linalg.eigh((offsets * weight).T @ offsets / weight.sum())
    if spread[-1] < _FLAT**2:
        return np.zeros(_LAYOUT * _LAYOUT // 8, np.uint8)
    return np.packbits(offsets @ axes[:, -1] > 0)


def read_maps(prints: Bytes) -> Float:
    """Return the shape, edge strength and edge direction (2) maps: float32 (n, 4, 16, 16)."""
    steps = np.arange(16, dtype=np.float32) / _TOP
    signed = (2 * steps - 1) * abs(2 * steps - 1)
    high, low = np.divmod(np.arange(256), 16)
    packed = prints[:, _MAPS_AT:].reshape(-1, 4, _CELLS // 2)
    pairs = np.empty(packed.shape, np.complex64)  # two cells at a time, as one byte holds two
    for number, meaning in enumerate((steps, steps**2, signed, signed)):
        np.take(meaning[high] + 1j * meaning[low], packed[:, number], out=pairs[:, number])
    return pairs.view(np.float32).reshape(-1, 4, _GRID, _GRID)


def same_drawing(ones: Bytes, others: Bytes, slack: float = 1) -> Bools:
    """Return which rows of two arrays of fingerprints show one drawing: bool (n,).

    They must agree everywhere, and on enough evidence; a `slack` over 1 widens every limit. A
    changed detail is a large difference in a few cells, a resize or recolour a small one in many:
    so the worst neighbourhood of 3 x 3 cells decides, not the sum. No blank fingerprints.
    """
    a, b = read_maps(ones), read_maps(others)
    apart = (a - b) ** 2
    shape = _around(apart[:, 0]) / 9
    energy = _around((a[:, 1:] ** 2 + b[:, 1:] ** 2).sum(axis=1))
    edges = _around(apart[:, 1:].sum(axis=1)) / (energy + 3)  # 3: weak edges count for little
    aspect = np.abs(ones[:, 0].astype(int) - others[:, 0])
    same = (
        (aspect <= slack * _ASPECT_LIMIT)
        & (shape.max(axis=(1, 2)) < (slack * _SHAPE_LIMIT) ** 2)
        & (edges.max(axis=(1, 2)) < slack * _EDGE_LIMIT)
    )
    at = np.flatnonzero(same)
    total = apart[at].sum(axis=(1, 2, 3))
    proven = total < slack * _PROOF_LIMIT * (_evidence(a[at]) + _evidence(b[at]))
    same[at] = proven | (_layouts_apart(ones[at], others[at]) < slack * _LAYOUT_LIMIT)
    return np.asarray(same)


def _around(cells: Float) -> Float:
    """Return the sum over each cell and its eight neighbours."""
    padded = np.pad(cells, ((0, 0), (1, 1), (1, 1)))
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    return np.asarray(rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:])


def _evidence(maps: Float) -> Float:
    """Return how far `maps` are from a full square with the same edges everywhere: float32 (n,).

    Stripes, gradients and fine textures on full squares agree in all maps and prove nothing.
    """
    shape = maps[:, :1]
    usual = (maps[:, 1:] * shape).sum(axis=(2, 3), keepdims=True)
    usual /= (shape**2).sum(axis=(2, 3), keepdims=True)
    uneven = maps[:, 1:] - usual * shape
    outline = shape - _full_square()
    return np.asarray((outline**2).sum(axis=(1, 2, 3)) + (uneven**2).sum(axis=(1, 2, 3)))


def _layouts_apart(ones: Bytes, others: Bytes) -> Float:
    """Return the share of layout cells that differ, 0..0.5; dark and light may be swapped."""
    differing = np.bitwise_count(ones[:, 1:_MAPS_AT] ^ others[:, 1:_MAPS_AT])
    share = differing.sum(axis=1, dtype=np.float32) / _LAYOUT**2
    return np.asarray(np.minimum(share, 1 - share))


@functools.cache
def _full_square() -> Float:
    margin = _SIDE // 2
    square = np.zeros((2 * _SIDE, 2 * _SIDE, 4), np.uint8)
    square[margin:-margin, margin:-margin] = 255
    framed = _framed(square)
    assert framed is not None
    shape = _pooled(framed[0][..., 3])
    return np.asarray(shape / shape.max())
