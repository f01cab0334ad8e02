"""Pixels as programs have them -> the model's input, as nodes of an ONNX graph.

The same steps as `hangtag.dataset.images`: premultiplied alpha, the average of the covered pixels
where a design shrinks, linear interpolation where it grows, at most the packed size first, then
whole and centred in the square input. Both filters are separable, so each is two matrix products,
whose matrices the graph makes for the size of its input.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from onnx import TensorProto

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
    """The names of a height and a width: float64 scalars."""

    height: str
    width: str


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
        packed = self._scaled(size, longest, add("Min", longest, limit))
        shrunk = self._resized(premultiplied, size, packed)
        # A packed design has straight alpha; one that is small enough is packed as it is.
        straight = self._premultiplied(self._straight(shrunk))
        packs = add("Greater", longest, limit)
        stored = add("Where", packs, straight, shrunk)
        side = self.double(sizes.input_size)
        target = self._scaled(packed, add("Max", packed.height, packed.width), side)
        square = self._resized(stored, packed, target, side)
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

    def _scaled(self, size: _Size, longest: str, target: str) -> _Size:
        """Scale a size so that its longer side is `target`, as `resize.scaled` does."""
        add = self.nodes.node
        scale = add("Div", target, longest)
        height, width = (
            add("Max", add("Round", add("Mul", side, scale)), self.double(1))
            for side in (size.height, size.width)
        )
        return _Size(height, width)

    def _resized(self, planes: str, size: _Size, target: _Size, square: str | None = None) -> str:
        """Resize (n, 4, h, w) to a target size, in the middle of a square if one is given.

        Rows first, then columns, both rounded to 8 bits.
        """
        add = self.nodes.node
        grows = add(
            "Or",
            add("Greater", target.height, size.height),
            add("Greater", target.width, size.width),
        )
        across = self._filter(size.width, target.width, grows, square)
        down = self._filter(size.height, target.height, grows, square)
        rows = self.rounded(add("MatMul", planes, add("Transpose", across, perm=[1, 0])))
        return self.rounded(add("MatMul", down, rows))

    def _filter(self, size: str, target: str, grows: str, square: str | None) -> str:
        """Return the matrix of a resampling filter, float32 (target or square, size).

        In a square, `target` rows are in the middle, and those around them are 0.
        """
        add, constant = self.nodes.node, self.nodes.constant
        zero, one, half = self.double(0), self.double(1), self.double(0.5)
        before = zero
        if square:
            before = add("Floor", add("Mul", add("Sub", square, target), half))
        rows = add("Sub", add("Range", zero, square or target, one), before)
        column = constant("axes", np.array([1], np.int64))
        inside = add(
            "And",
            add("GreaterOrEqual", rows, zero),
            add("Less", rows, target),
        )
        scale = add("Div", size, target)
        centres = add("Sub", add("Mul", add("Add", rows, half), scale), half)
        places = add("Sub", add("Range", zero, size, one), add("Unsqueeze", centres, column))
        distance = add("Div", places, add("Max", scale, one))
        average = add(
            "And",
            add("Greater", distance, self.double(-0.5)),
            add("LessOrEqual", distance, half),
        )
        linear = add("Max", add("Sub", one, add("Abs", distance)), zero)
        weights = add("Where", grows, linear, add("Cast", average, to=DOUBLE))
        kept = add("Mul", weights, add("Cast", add("Unsqueeze", inside, column), to=DOUBLE))
        sums = add("ReduceSum", kept, column, keepdims=1)
        return add("Cast", add("Div", kept, add("Max", sums, self.double(1e-9))), to=FLOAT)
