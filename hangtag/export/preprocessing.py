"""Pixels as programs have them -> the model's input, as nodes of an ONNX graph.

The same steps as `hangtag.dataset.images`: premultiplied alpha, the average of the covered pixels
where a design shrinks, linear interpolation where it grows, at most the packed size first, then
without wide margins, whole and centred in the square input. Both filters are separable, so each is
two matrix products, whose matrices the graph makes for the size and the drawing of its input.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from onnx import TensorProto

from hangtag.dataset.images import FAINT, LEAST_SHARE, SHARE
from hangtag.index.onnx_nodes import Nodes
from hangtag.tagging.model_folder import Preprocessing

FLOAT: Final = TensorProto.FLOAT
DOUBLE: Final = TensorProto.DOUBLE
INT64: Final = TensorProto.INT64
UINT8: Final = TensorProto.UINT8


def fitted(nodes: Nodes, images: str, sizes: Preprocessing) -> str:
    """Add what fits `images`, uint8 (n, h, w, 3 or 4) with straight alpha, into the input.

    Returns the name of uint8 (n, s, s, 4), premultiplied. Images with three channels are opaque.
    """
    return _Fitting(nodes).fitted(images, sizes)


def from_planes(nodes: Nodes, planes: str) -> str:
    """Add what makes the model's input of float32 (1, 3, s, s), colours of 0 to 255.

    Black rows and columns along the edges are transparent: so a program has padded the image.
    Returns the name of uint8 (1, s, s, 4), premultiplied.
    """
    steps = _Fitting(nodes)
    colours = nodes.node("Clip", steps.rounded(planes), steps.number(0), steps.number(255))
    opaque = steps.number(255)
    for axis in (2, 3):
        across = nodes.constant("axes", np.array([1, 5 - axis], np.int64))
        seen = nodes.node("Sign", nodes.node("ReduceMax", colours, across, keepdims=1))
        place = nodes.constant("axis", np.int64(axis))
        counts = [nodes.node("CumSum", seen, place, reverse=reverse) for reverse in (0, 1)]
        inside = nodes.node("Sign", nodes.node("Min", *counts))
        opaque = nodes.node("Mul", opaque, inside)
    whole = nodes.node("Concat", colours, opaque, axis=1)
    return nodes.node("Cast", nodes.node("Transpose", whole, perm=[0, 2, 3, 1]), to=UINT8)


@dataclass(frozen=True)
class _Size:
    """The names of a height and a width: float64, scalars or (n, 1, 1)."""

    height: str
    width: str


@dataclass(frozen=True)
class _Part:
    """The part of images that is shown, and the transparent margin around it: float64."""

    of: _Size
    """Of the images."""
    start: _Size
    """Row and column where the part begins."""
    size: _Size
    margin: str


@dataclass(frozen=True)
class _Line:
    """A part along one axis, and its length when it is resized: float64."""

    all: str
    start: str
    size: str
    margin: str
    target: str


class _Fitting:
    """The steps, as nodes."""

    def __init__(self, nodes: Nodes) -> None:
        self.nodes = nodes

    def number(self, value: float) -> str:
        return self.nodes.constant("number", np.float32(value))

    def double(self, value: float) -> str:
        return self.nodes.constant("double", np.float64(value))

    def rounded(self, values: str) -> str:
        """Round half up, as the resizer does; ONNX's Round takes half to even."""
        return self.nodes.node("Floor", self.nodes.node("Add", values, self.number(0.5)))

    def fitted(self, images: str, sizes: Preprocessing) -> str:
        add = self.nodes.node
        planes, size = self._rgba_planes(images)
        premultiplied = self._premultiplied(planes)
        longest = add("Max", size.height, size.width)
        limit = self.double(sizes.packed_size)
        packed = self._scaled(size, add("Min", longest, limit))
        whole = _Part(size, _Size(self.double(0), self.double(0)), size, self.double(0))
        shrunk = self._resized(premultiplied, whole, packed)
        # A packed design has straight alpha; one that is small enough is packed as it is.
        straight = self._premultiplied(self._straight(shrunk))
        stored = add("Where", add("Greater", longest, limit), straight, shrunk)
        part = _Part(packed, whole.start, packed, whole.margin)
        if sizes.trim:
            part = self._trimmed(stored, packed)
        side = self.double(sizes.input_size)
        square = self._resized(stored, part, self._scaled(self._canvas(part), side), side)
        return add("Cast", add("Transpose", square, perm=[0, 2, 3, 1]), to=UINT8)

    def _rgba_planes(self, images: str) -> tuple[str, _Size]:
        """Return float32 (n, 4, h, w), with an opaque alpha where there is none, and its size."""
        add, constant = self.nodes.node, self.nodes.constant
        pixels = add("Transpose", add("Cast", images, to=FLOAT), perm=[0, 3, 1, 2])
        first, one = (constant("at", np.array([n], np.int64)) for n in (0, 1))
        plane = add("Slice", pixels, first, one, one)
        opaque = add("Add", add("Mul", plane, self.number(0)), self.number(255))
        both = add("Concat", pixels, opaque, axis=1)
        planes = add("Slice", both, first, constant("at", np.array([4], np.int64)), one)
        shape = add("Cast", add("Shape", images), to=DOUBLE)
        height, width = (add("Gather", shape, constant("at", np.int64(n))) for n in (1, 2))
        return planes, _Size(height, width)

    def _colour_and_alpha(self, planes: str) -> tuple[str, str]:
        lengths = self.nodes.constant("lengths", np.array([3, 1], np.int64))
        colours, alpha = self.nodes.name("colours"), self.nodes.name("alpha")
        self.nodes.split(planes, lengths, [colours, alpha], axis=1)
        return colours, alpha

    def _premultiplied(self, planes: str) -> str:
        add = self.nodes.node
        colours, alpha = self._colour_and_alpha(planes)
        product = add("Div", add("Mul", colours, alpha), self.number(255))
        return add("Concat", self.rounded(product), alpha, axis=1)

    def _straight(self, planes: str) -> str:
        """Divide by alpha, as Pillow does: rounded down."""
        add = self.nodes.node
        colours, alpha = self._colour_and_alpha(planes)
        whole = add("Mul", colours, self.number(255))
        quotient = add("Div", whole, add("Max", alpha, self.number(1)))
        # The quotient of two small integers is exact to 1e-5: a whole number is not rounded away.
        found = add("Floor", add("Add", quotient, self.number(1e-4)))
        return add("Concat", add("Min", found, self.number(255)), alpha, axis=1)

    def _scaled(self, size: _Size, target: str) -> _Size:
        """Scale a size so that its longer side is `target`, as `resize.scaled` does."""
        add = self.nodes.node
        scale = add("Div", target, add("Max", size.height, size.width))
        height, width = (
            add("Max", add("Round", add("Mul", side, scale)), self.double(1))
            for side in (size.height, size.width)
        )
        return _Size(height, width)

    def _canvas(self, part: _Part) -> _Size:
        """Return the size of a part with its margin."""
        add = self.nodes.node
        both = add("Mul", part.margin, self.double(2))
        return _Size(add("Add", part.size.height, both), add("Add", part.size.width, both))

    def _trimmed(self, planes: str, size: _Size) -> _Part:
        """Return the part of each design that `images.trimmed` keeps: float64 (n, 1, 1)."""
        add = self.nodes.node
        alpha = self._colour_and_alpha(planes)[1]
        drawn = add("Cast", add("Greater", alpha, self.number(FAINT)), to=DOUBLE)
        (top, bottom), (left, right) = (
            self._ends(drawn, axis, length) for axis, length in ((3, size.height), (2, size.width))
        )
        one = self.double(1)
        height, width = (
            add("Add", add("Sub", end, start), one) for start, end in ((top, bottom), (left, right))
        )
        side = add("Max", height, width)
        least = add("Mul", add("Max", size.height, size.width), self.double(LEAST_SHARE))
        # Without a drawing its side is below 1.
        trims = add("And", add("Less", side, least), add("GreaterOrEqual", side, one))
        margin = add("Round", add("Mul", side, self.double((1 / SHARE - 1) / 2)))
        zero = self.double(0)
        return _Part(
            size,
            _Size(add("Where", trims, top, zero), add("Where", trims, left, zero)),
            _Size(add("Where", trims, height, size.height), add("Where", trims, width, size.width)),
            add("Where", trims, margin, zero),
        )

    def _ends(self, drawn: str, across: int, length: str) -> tuple[str, str]:
        """Return the first and the last row, or column, in which something is drawn: (n, 1, 1)."""
        add, constant = self.nodes.node, self.nodes.constant
        axes = constant("axes", np.array([1, across], np.int64))
        lines = add("ReduceMax", drawn, axes, keepdims=0)
        places = add("Range", self.double(0), length, self.double(1))
        is_drawn = add("Greater", lines, self.double(0))
        last = constant("axis", np.array([1], np.int64))
        ends = (
            add("ReduceMin", add("Where", is_drawn, places, length), last, keepdims=1),
            add("ReduceMax", add("Where", is_drawn, places, self.double(-1)), last, keepdims=1),
        )
        first, second = (add("Unsqueeze", end, last) for end in ends)
        return first, second

    def _resized(self, planes: str, part: _Part, target: _Size, square: str | None = None) -> str:
        """Resize a part of (n, 4, h, w) to a size, in the middle of a square if one is given.

        Rows first, then columns, both rounded to 8 bits.
        """
        add = self.nodes.node
        canvas = self._canvas(part)
        taller = add("Greater", target.height, canvas.height)
        grows = add("Or", taller, add("Greater", target.width, canvas.width))
        across = self._filter(
            _Line(part.of.width, part.start.width, part.size.width, part.margin, target.width),
            grows, square,
        )  # fmt: skip
        down = self._filter(
            _Line(part.of.height, part.start.height, part.size.height, part.margin, target.height),
            grows, square,
        )  # fmt: skip
        rows = self.rounded(add("MatMul", planes, add("Transpose", across, perm=[0, 1, 3, 2])))
        return self.rounded(add("MatMul", down, rows))

    def _filter(self, line: _Line, grows: str, square: str | None) -> str:
        """Return the matrices of a resampling filter, float32 (n or 1, 1, target or square, all).

        In a square, `target` rows are in the middle, and those around them are 0.
        """
        add, constant = self.nodes.node, self.nodes.constant
        zero, half = self.double(0), self.double(0.5)
        before = zero
        if square:
            before = add("Floor", add("Mul", add("Sub", square, line.target), half))
        outputs = self._range(square or self._largest(line.target), 1)
        rows = add("Sub", outputs, before)
        inside = add("And", add("GreaterOrEqual", rows, zero), add("Less", rows, line.target))
        canvas = add("Add", line.size, add("Mul", line.margin, self.double(2)))
        scale = add("Div", canvas, line.target)
        centres = add("Sub", add("Mul", add("Add", rows, half), scale), half)
        # Weights of all places of the canvas sum to 1, also of those in its margin, which are 0.
        every = self._range(self._largest(canvas), 0)
        weights = self._weights(every, centres, scale, grows)
        within = add("Cast", add("Less", every, canvas), to=DOUBLE)
        axes = constant("axes", np.array([-1], np.int64))
        sums = add("ReduceSum", add("Mul", weights, within), axes, keepdims=1)
        pixels = self._range(line.all, 0)
        places = add("Sub", pixels, line.start)
        kept = add("And", add("GreaterOrEqual", places, zero), add("Less", places, line.size))
        own = self._weights(add("Add", places, line.margin), centres, scale, grows)
        chosen = add("Mul", own, add("Cast", add("And", kept, inside), to=DOUBLE))
        found = add("Cast", add("Div", chosen, add("Max", sums, self.double(1e-9))), to=FLOAT)
        return add("Unsqueeze", found, constant("axis", np.array([1], np.int64)))

    def _weights(self, places: str, centres: str, scale: str, grows: str) -> str:
        """Return the unscaled weights of places for each output."""
        add = self.nodes.node
        one, half = self.double(1), self.double(0.5)
        distance = add("Div", add("Sub", places, centres), add("Max", scale, one))
        more = add("Greater", distance, self.double(-0.5))
        average = add("And", more, add("LessOrEqual", distance, half))
        linear = add("Max", add("Sub", one, add("Abs", distance)), self.double(0))
        return add("Where", grows, linear, add("Cast", average, to=DOUBLE))

    def _largest(self, values: str) -> str:
        """Return the largest of a scalar or of (n, 1, 1), as a scalar."""
        return self.nodes.node("ReduceMax", values, keepdims=0)

    def _range(self, length: str, axis: int) -> str:
        """Return 0, 1, ... as float64 (1, 1, length), or (1, length, 1) with axis 1."""
        add = self.nodes.node
        numbers = add("Range", self.double(0), length, self.double(1))
        axes = self.nodes.constant("axes", np.array([0, 2 if axis else 1], np.int64))
        return add("Unsqueeze", numbers, axes)
