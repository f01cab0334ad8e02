"""Near doubles: the same drawing again, recoloured, resized or padded, found by what it looks like.

A fingerprint holds shape and inner edges, never colours; `near_doubles` finds the pairs that agree.
"""

import functools
from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# A fingerprint: aspect (1 byte), light/dark layout (1 bit a cell), four maps (4 bits a cell).
_SIDE = 64  # px of the square in which every drawing is looked at
_GRID = 16  # cells per side of the maps: shape, edge strength, edge direction (2)
_CELLS = _GRID * _GRID
_LAYOUT = 32  # cells per side of the layout
_TOP = 14  # maps hold 0..14, so that the zero of a signed map is exact
_MAPS_AT = 1 + _LAYOUT * _LAYOUT // 8
FINGERPRINT_BYTES = _MAPS_AT + 4 * _CELLS // 2

# Thresholds, chosen with benchmarks/near_doubles.py.
_ASPECT_STEP = 0.04  # natural logarithm of height / width per unit
_ASPECT_SLACK = 2
_SHAPE_LIMIT = 0.09
_EDGE_LIMIT = 0.10
_EVIDENCE_LIMIT = 0.10
_LAYOUT_LIMIT = 0.05

# The search (see `_candidates`).
_SKETCH_BITS = 128
_SKETCH_SLACK = 32
_ORDERS = 16
_WINDOW = 8
_CHUNK = 4096


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
    maps = np.stack([shape, *_edges(colour, alpha)])
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
    if drawing.shape[:2] == rgba.shape[:2] and not cv2.meanStdDev(drawing)[1].any():
        return None
    mass = cv2.extractChannel(drawing, 3)
    left, right = _bounds(cv2.reduce(mass, 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel())
    top, bottom = _bounds(cv2.reduce(mass, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel())
    step_x, step_y = (right - left) / _SIDE, (bottom - top) / _SIDE
    to_drawing = np.array(
        [[step_x, 0, left + (step_x - 1) / 2], [0, step_y, top + (step_y - 1) / 2]]
    )
    square = cv2.warpAffine(
        drawing, to_drawing, (_SIDE, _SIDE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    aspect = np.log(step_y * height / size[1]) - np.log(step_x * width / size[0])
    return square.astype(np.float32) / 255, float(aspect)


def _bounds(mass: npt.NDArray[np.int32]) -> tuple[float, float]:
    """Return where a drawing begins and ends along one axis, in fractions of a pixel.

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
    """Return RGB with the drawing's colours carried on over its transparent parts.

    So the outline, which the shape map holds, is not an inner edge as well: yellow faces that
    share a disc differ in all that is left.
    """
    cells = cv2.resize(square, (_GRID, _GRID), interpolation=cv2.INTER_AREA)
    cells = _blurred(cells, 1.0) + 0.01 * cells.mean(axis=(0, 1))
    carried = cv2.resize(cells[..., :3] / cells[..., 3:], (_SIDE, _SIDE))
    return np.asarray(square[..., :3] + (1 - square[..., 3:]) * carried, np.float32)


def _edges(colour: Float, alpha: Float) -> tuple[Float, Float, Float]:
    """Return edge strength 0..1 and edge direction as (cos, sin) of the doubled angle times it."""
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
    strength, cos, sin = cv2.split(
        _pooled(cv2.merge([strength, turn * (xx - yy), turn * (xy + xy)]))
    )
    return strength, cos, sin


def _layout(colour: Float, alpha: Float) -> Bytes:
    """Return which cells lie on which side of the mean colour, along the axis of most variance."""
    size = (_LAYOUT, _LAYOUT)
    cells = cv2.resize(colour, size, interpolation=cv2.INTER_AREA).reshape(-1, 3)
    weight = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA).reshape(-1, 1)
    offsets = cells - (cells * weight).sum(axis=0) / weight.sum()
    axis = np.linalg.eigh((offsets * weight).T @ offsets)[1][:, -1]
    return np.packbits(offsets @ axis > 0)


def near_doubles(fingerprints: Bytes) -> Ints:
    """Return a group number per design, int64 (n,): near doubles share one, others stand alone.

    `fingerprints` is uint8 (n, FINGERPRINT_BYTES) from `fingerprint`. Blank designs stand alone:
    that two designs show nothing does not make them one. Each pair that joins two groups was
    compared map by map (`_same`); the pairs to compare come from `_candidates`, so time grows
    with n log n whatever the library holds. Deterministic.
    """
    rows = np.ascontiguousarray(fingerprints, np.uint8).reshape(-1, FINGERPRINT_BYTES)
    _, first, kind = np.unique(
        rows.view(f"V{FINGERPRINT_BYTES}").ravel(), return_index=True, return_inverse=True
    )
    kinds = rows[first]
    seen = kinds[:, 0] > 0
    group = np.arange(len(kinds))
    group[seen] = np.flatnonzero(seen)[_linked(kinds[seen])]
    blank = ~seen[kind]
    joined = group[kind]
    joined[blank] = len(kinds) + np.arange(np.count_nonzero(blank))
    return _numbered(joined)


def merge_groups(*labelings: npt.NDArray[np.integer]) -> Ints:
    """Return the finest grouping, int64 (n,), that keeps together what any labeling (n,) does."""
    joined = np.arange(len(labelings[0]))
    for labeling in labelings:
        _, first, group = np.unique(labeling, return_index=True, return_inverse=True)
        joined = _join(joined, np.arange(len(joined)), first[group])
    return _numbered(joined)


def _numbered(labels: Ints) -> Ints:
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def _join(labels: Ints, one: Ints, other: Ints) -> Ints:
    """Return `labels` with the groups of `one[i]` and `other[i]` joined, for every i.

    A group's label is the smallest index in it, before and after.
    """
    while True:
        a, b = labels[one], labels[other]
        apart = a != b
        if not apart.any():
            return labels
        one, other, a, b = one[apart], other[apart], a[apart], b[apart]
        parent = np.arange(len(labels))
        np.minimum.at(parent, np.maximum(a, b), np.minimum(a, b))
        while (parent != parent[parent]).any():
            parent = parent[parent]
        labels = parent[labels]


def _linked(kinds: Bytes) -> Ints:
    """Return the smallest index in each one's group; `kinds` are distinct and not blank."""
    count = len(kinds)
    labels = np.arange(count)
    if count < 2:
        return labels
    rejected = np.empty(0, np.int64)
    sketches = _sketches(kinds)
    for one, other in _candidates(sketches):
        worth = labels[one] != labels[other]
        one, other = one[worth], other[worth]
        keys = np.minimum(one, other) * count + np.maximum(one, other)
        new = ~np.isin(keys, rejected)
        one, other, keys = one[new], other[new], keys[new]
        same = _same_pairs(kinds, one, other)
        rejected = np.concatenate([rejected, keys[~same]])
        labels = _join(labels, one[same], other[same])
    return labels


def _candidates(sketches: npt.NDArray[np.uint64]) -> Iterator[tuple[Ints, Ints]]:
    """Yield pairs (one, other) worth comparing, in batches of at most n.

    Sorted by their sketch bits in a random order, doubles, which differ in few bits, are soon
    neighbours (Charikar 2002; LSH forest, Bawa, Condie, Ganesan 2005). Unlike buckets, windows
    cannot explode: a thousand yellow faces cost what a thousand flowers cost.
    """
    rng = np.random.default_rng(0)
    bits = np.unpackbits(sketches.view(np.uint8), axis=1)
    for _ in range(_ORDERS):
        chosen = bits[:, rng.permutation(_SKETCH_BITS)[:64]]
        keys = np.packbits(np.ascontiguousarray(chosen), axis=1).view(">u8").ravel()
        order = np.argsort(keys, kind="stable")
        for distance in range(1, min(_WINDOW, len(order) - 1) + 1):
            one, other = order[:-distance], order[distance:]
            apart = np.bitwise_count(sketches[one] ^ sketches[other]).sum(axis=1, dtype=np.int64)
            close = apart <= _SKETCH_SLACK
            yield one[close], other[close]


def _sketches(kinds: Bytes) -> npt.NDArray[np.uint64]:
    """Return uint64 (n, _SKETCH_BITS / 64): on which side of random planes each design's maps lie.

    The planes are laid through the middle of this library, so each halves it.
    """
    rng = np.random.default_rng(0)
    planes = rng.standard_normal((4 * _CELLS, _SKETCH_BITS)).astype(np.float32)
    sample = kinds[np.sort(rng.permutation(len(kinds))[:_CHUNK])]
    middle = np.median(_maps(sample).reshape(-1, 4 * _CELLS) @ planes, axis=0)
    bits = [
        np.packbits(_maps(kinds[i : i + _CHUNK]).reshape(-1, 4 * _CELLS) @ planes > middle, axis=1)
        for i in range(0, len(kinds), _CHUNK)
    ]
    return np.concatenate(bits).view(np.uint64)


def _maps(kinds: Bytes) -> Float:
    """Return shape, edge strength, edge direction x and y: float32 (n, 4, _GRID, _GRID)."""
    packed = kinds[:, _MAPS_AT:]
    steps = np.stack([packed >> 4, packed & 15], axis=-1).reshape(-1, 4, _GRID, _GRID)
    linear = np.arange(16, dtype=np.float32) / _TOP
    signed = 2 * linear - 1
    maps = np.empty(steps.shape, np.float32)
    maps[:, 0] = linear[steps[:, 0]]
    maps[:, 1] = (linear * linear)[steps[:, 1]]
    maps[:, 2:] = (signed * np.abs(signed))[steps[:, 2:]]
    return maps


def _same_pairs(kinds: Bytes, one: Ints, other: Ints) -> Bools:
    """Return which pairs show one drawing."""
    same = np.abs(kinds[one, 0].astype(int) - kinds[other, 0]) <= _ASPECT_SLACK
    at = np.flatnonzero(same)
    for i in range(0, len(at), _CHUNK):
        part = at[i : i + _CHUNK]
        same[part] = _same(kinds[one[part]], kinds[other[part]])
    return same


def _same(ones: Bytes, others: Bytes) -> Bools:
    """Return which rows show one drawing: the maps agree everywhere, and there is enough to see.

    A changed detail is a large difference in a few cells, a resize or recolour a small one in
    many: so the worst neighbourhood of 3 x 3 cells decides, not the sum.
    """
    a, b = _maps(ones), _maps(others)
    apart = (a - b) ** 2
    shape = _around(apart[:, 0]).max(axis=(1, 2)) / 9
    edges_apart = _around(apart[:, 1:].sum(axis=1))
    edges = _around((a[:, 1:] ** 2 + b[:, 1:] ** 2).sum(axis=1))
    same: Bools = (shape < _SHAPE_LIMIT**2) & (
        (edges_apart / (edges + 3)).max(axis=(1, 2)) < _EDGE_LIMIT
    )
    # Papers with a fine or even pattern have the same full square and the same edges everywhere:
    # there the maps prove nothing, and the layout of light and dark must agree.
    evidence = _evidence(a) + _evidence(b)
    proof = apart.sum(axis=(1, 2, 3)) < _EVIDENCE_LIMIT * evidence
    inside = (edges > 0).any(axis=(1, 2))
    differing = np.bitwise_count(ones[:, 1:_MAPS_AT] ^ others[:, 1:_MAPS_AT]).sum(axis=1)
    share = differing / _LAYOUT**2
    return same & (proof | ~inside | (np.minimum(share, 1 - share) < _LAYOUT_LIMIT))


def _around(cells: Float) -> Float:
    """Return the sum over each cell and its eight neighbours."""
    padded = np.pad(cells, ((0, 0), (1, 1), (1, 1)))
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    return rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]


def _evidence(maps: Float) -> Float:
    """Return how far maps (n, 4, ...) are from a full square with the same edges everywhere."""
    shape = maps[:, :1]
    usual = (maps[:, 1:] * shape).sum(axis=(2, 3), keepdims=True)
    usual /= (shape**2).sum(axis=(2, 3), keepdims=True)
    uneven = maps[:, 1:] - usual * shape
    return ((shape - _full_square()) ** 2).sum(axis=(1, 2, 3)) + (uneven**2).sum(axis=(1, 2, 3))


@functools.cache
def _full_square() -> Float:
    framed = _framed(np.pad(np.full((_SIDE, _SIDE, 4), 255, np.uint8), ((9, 9), (9, 9), (0, 0))))
    assert framed is not None
    shape = _pooled(framed[0][..., 3])
    return shape / shape.max()
