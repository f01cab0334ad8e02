"""Nodes and constants that are added to an ONNX graph, under names that it does not have yet."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import helper, numpy_helper


class Nodes:
    """A part of a graph: each call adds a node or a constant and returns its name."""

    def __init__(self, prefix: str) -> None:
        """Every name begins with `prefix` and a full stop, which no other name in the graph may."""
        self.prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def name(self, base: str) -> str:
        """Return a name that no other value of the model has."""
        return f"{self.prefix}.{base}.{len(self.nodes)}.{len(self.constants)}"

    def constant(self, base: str, value: ArrayLike) -> str:
        """Add a constant."""
        name = self.name(base)
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add a node with one output, of a new name or the name `output`."""
        name = output or self.name(kind)
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def split(self, value: str, lengths: str, outputs: Sequence[str], axis: int) -> None:
        """Add a node that splits a value into parts of these lengths and names."""
        self.nodes.append(helper.make_node("Split", [value, lengths], list(outputs), axis=axis))
