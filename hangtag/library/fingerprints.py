"""Fingerprints: what a design looks like apart from its colours, and whether two are one drawing.

A fingerprint holds shape and inner edges in cells of a square. `near_duplicates` searches with it.
"""

import functools
from typing import Final

import numpy as np
import numpy.typing as npt

from hangtag.library.filters import (
    areas,
    enlarging,
    gaussian,
    halved,
    means,
    neighbours,
    points,
    resampled,
)

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

# Filters of the square, as matrices.
_BLUR: Final = neighbours(_SIDE, gaussian(1.0), "edge")
_SMOOTH: Final = neighbours(_SIDE, (3 / 32, 10 / 32, 3 / 32), "reflect") @ _BLUR  # Scharr's
_SLOPE: Final = neighbours(_SIDE, (-1, 0, 1), "reflect") @ _BLUR
_TO_CELLS: Final = means(_SIDE, _GRID)
_FROM_CELLS: Final = enlarging(_GRID, _SIDE)
_CELL_BLUR: Final = neighbours(_GRID, gaussian(1.0), "edge")
_TO_SOFT_CELLS: Final = _TO_CELLS @ neighbours(_SIDE, gaussian(1.5), "constant")
_TO_LAYOUT: Final = means(_SIDE, _LAYOUT)

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
    alpha = square[3]
    colour = _opaque(square)
    shape = _pooled(alpha)
    maps = np.concatenate([shape[None], _edges(colour, alpha)])
    maps[0] /= max(float(shape.max()), 0.05)  # hairlines count as much as fat strokes
    # Square roots give faint edges their share of the 15 steps.
    maps[1:] = np.copysign(np.sqrt(np.abs(maps[1:])), maps[1:])
    maps[2:] = (maps[2:] + 1) / 2
    steps = np.rint(np.clip(maps, 0, 1) * _TOP).astype(np.uint8).ravel()
    head = np.array([min(max(128 + round(aspect / _ASPECT_STEP), 1), 255)], np.uint8)
    return np.concatenate([head, _layout(colour, alpha), steps[::2] << 4 | steps[1::2]])


def _framed(rgba: Bytes) -> tuple[Float, float] | None:
    """Return the drawing in a square, float32 (4, _SIDE, _SIDE) premultiplied 0..1, and its aspect.

    The aspect is log(height / width). None for a blank design.
    """
    visible = rgba[..., 3] > 7
    rows, columns = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
    if not len(rows):
        return None
    box = rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    drawing = box.transpose(2, 0, 1).astype(np.float32, order="C")  # fastest on whole planes
    drawing[:3] *= drawing[3] / 255
    np.rint(drawing[:3], out=drawing[:3])
    _, height, width = drawing.shape
    size = min(height, 2 * _SIDE), min(width, 2 * _SIDE)
    drawing = resampled(drawing, areas(height, size[0]), areas(width, size[1]))
    if box.shape == rgba.shape and (drawing == drawing[:, :1, :1]).all():
        return None
    left, right = _bounds(drawing[3].sum(axis=1))  # `drawing` is (4, width, height) now
    top, bottom = _bounds(drawing[3].sum(axis=0))
    across, down = points(left, right, size[1], 2 * _SIDE), points(top, bottom, size[0], 2 * _SIDE)
    square = halved(resampled(drawing, across, down))
    aspect = np.log((bottom - top) * height / size[0]) - np.log((right - left) * width / size[1])
    return square / np.float32(255), float(aspect)


def _bounds(mass: Float) -> tuple[float, float]:
    """Return where a drawing begins and ends along one axis, in pixels, fractions included.

    The box of the outermost pixels jumps by a pixel when a design is resized; the quantiles of
    its mass stay (measured: 20 times less difference between a 64 px icon and its original).
    """
    below = np.concatenate([[0], np.cumsum(mass, dtype=np.int64)])
    first, last = np.interp([0.02, 0.98], below / below[-1], np.arange(len(below)))
    margin = 0.05 * (last - first) + 0.02
    return float(first - margin), float(last + margin)


def _pooled(planes: Float) -> Float:
    """Return `planes` (..., _SIDE, _SIDE) softened and averaged into _GRID x _GRID cells."""
    return np.asarray(_TO_SOFT_CELLS @ planes @ _TO_SOFT_CELLS.T)


def _opaque(square: Float) -> Float:
    """Return RGB with the drawing's colours extended over its transparent parts.

    So the outline, which the shape map holds, is not an inner edge as well: faces on the same
    yellow disc differ in all other edges.
    """
    cells = _TO_CELLS @ square @ _TO_CELLS.T
    cells = _CELL_BLUR @ cells @ _CELL_BLUR.T + 0.01 * cells.mean(axis=(1, 2), keepdims=True)
    extended = _FROM_CELLS @ (cells[:3] / cells[3]) @ _FROM_CELLS.T
    return np.asarray(square[:3] + (1 - square[3]) * extended)


def _edges(colour: Float, alpha: Float) -> Float:
    """Return edge strength 0..1, and strength times cos and sin of twice the angle: (3, 16, 16)."""
    dx, dy = _SMOOTH @ colour @ _SLOPE.T, _SLOPE @ colour @ _SMOOTH.T
    xx, yy, xy = (product.sum(axis=0) for product in (dx * dx, dy * dy, dx * dy))
    energy = xx + yy
    gradient = np.sqrt(energy)
    weight = alpha * alpha  # thin coverage leaves too few bits of colour to trust
    usual = float((gradient * weight).sum()) / max(float(weight.sum()), 1.0)
    # Relative to the design's usual gradient, and blind to what rounding to 8 bits leaves (0.02).
    strength = weight * gradient / (gradient + usual + 0.02)
    turn = strength / (energy + 1e-12)
    return _pooled(np.stack([strength, turn * (xx - yy), turn * (xy + xy)]))


def _layout(colour: Float, alpha: Float) -> Bytes:
    """Return which cells lie on which side of the mean colour, along the axis of most variance.

    No bit is set for a drawing of one flat colour.
    """
    planes = np.concatenate([colour, alpha[None]])
    cells = (_TO_LAYOUT @ planes @ _TO_LAYOUT.T).reshape(4, -1).T
    cells, weight = cells[:, :3], cells[:, 3:]
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


def mirrored(prints: Bytes) -> Bytes:
    """Return the fingerprints of the same designs, flipped from left to right."""
    found = prints.copy()
    bits = np.unpackbits(prints[:, 1:_MAPS_AT], axis=1).reshape(-1, _LAYOUT, _LAYOUT)
    found[:, 1:_MAPS_AT] = np.packbits(bits[..., ::-1].reshape(-1, _LAYOUT**2), axis=1)
    packed = prints[:, _MAPS_AT:]
    steps = np.stack([packed >> 4, packed & 15], axis=-1).reshape(-1, 4, _GRID, _GRID)[..., ::-1]
    steps = steps.copy()
    steps[:, 3] = _TOP - steps[:, 3]  # an edge leans to the other side
    flat = steps.reshape(-1, 4 * _CELLS)
    found[:, _MAPS_AT:] = flat[:, ::2] << 4 | flat[:, 1::2]
    found[prints[:, 0] == 0] = 0  # blank designs
    return found


def fills_its_frame(prints: Bytes) -> Bools:
    """Return which designs are opaque from border to border, as a photo or a copy on white."""
    shape = read_maps(prints)[:, 0]
    return np.asarray((np.abs(shape - _full_square()) < 2 / _TOP).all(axis=(1, 2)))


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
    shape = _pooled(framed[0][3])
    return np.asarray(shape / shape.max())
