"""The graph of a network as MXNet writes it -> ONNX, operator by operator."""

import ast
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from hangtag.console import note
from hangtag.errors import ModelError
from hangtag.index.backbone import INPUT, OUTPUT

SYMBOL_FILE: Final = "image-classification-symbol.json"
_OPSET: Final = 18
# ImageNet's statistics, for a network that was trained on colours normalised by them.
_MEAN: Final = (0.485, 0.456, 0.406)
_DEVIATION: Final = (0.229, 0.224, 0.225)

Node = dict[str, Any]


def to_onnx(
    symbol: dict[str, Any], params: dict[str, NDArray[np.float32]], size: int
) -> tuple[onnx.ModelProto, int]:
    """Return a network as ONNX, uint8 (n, s, s, 4), premultiplied, to float32 (n, T) logits; and T.

    `symbol` is the graph as MXNet writes it. Raises ModelError for an unknown operator, a missing
    parameter, and a network that predicts one class per design.
    """
    try:
        return _Graph(symbol["nodes"], params, size).convert(symbol["heads"])
    except (KeyError, IndexError, TypeError, ValueError) as cause:
        raise ModelError(f"{SYMBOL_FILE} is damaged: {cause!r}") from cause


class _Graph:
    """An MXNet graph in conversion to ONNX."""

    def __init__(
        self, nodes: list[Node], params: dict[str, NDArray[np.float32]], size: int
    ) -> None:
        self.source, self.params, self.size = nodes, params, size
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, NDArray[Any]] = {}

    def convert(self, heads: list[list[int]]) -> tuple[onnx.ModelProto, int]:
        head = self._logits(heads[0][0])
        self._preprocess()
        for number in self._needed(head):
            node = self.source[number]
            if node["op"] != "null":
                self._node(node)
        self.nodes.append(helper.make_node("Identity", [self.source[head]["name"]], [OUTPUT]))
        shape = [None, self.size, self.size, 4]
        graph = helper.make_graph(
            self.nodes,
            "mxnet",
            [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, shape)],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, None)],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)])
        model.ir_version = 9  # what ONNX Runtime 1.20 reads
        try:
            inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
            onnx.checker.check_model(inferred)
        except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as cause:
            raise misfit(cause) from cause
        (output,) = inferred.graph.output
        return inferred, output.type.tensor_type.shape.dim[-1].dim_value

    def _logits(self, number: int) -> int:
        """Return the node that is the input of the last sigmoid."""
        node = self.source[number]
        while node["op"] in _PASSES:
            number = node["inputs"][0][0]
            node = self.source[number]
        sigmoid = node["op"] in ("LogisticRegressionOutput", "sigmoid") or (
            node["op"] == "Activation" and _attributes(node).get("act_type") == "sigmoid"
        )
        if not sigmoid:
            raise ModelError(
                f"the network ends in {node['op']}, so it predicts one class per design; only "
                "models trained with multi_label = 1 score tags"
            )
        before: int = node["inputs"][0][0]
        return before

    def _needed(self, head: int) -> list[int]:
        """Return the nodes that a head depends on, inputs first (MXNet's order)."""
        needed, waiting = set(), [head]
        while waiting:
            number = waiting.pop()
            if number not in needed:
                needed.add(number)
                waiting += [entry[0] for entry in self.source[number]["inputs"]]
        return sorted(needed)

    def _preprocess(self) -> None:
        """Premultiplied RGBA bytes -> `data`: planes of red, green, blue, as in its training.

        Premultiplied colours are the design on black. The model does not record whether colours
        were 0 to 255 or normalised, but a network whose first layer is a batch normalisation, as in
        the built-in ResNets, keeps the mean and variance of its inputs.
        """
        scale, offset = np.ones(3, np.float32), np.zeros(3, np.float32)
        if self._saw_normalised():
            note("the network was trained on colours normalised by ImageNet's mean and deviation")
            scale = (1 / (255 * np.array(_DEVIATION))).astype(np.float32)
            offset = (-np.array(_MEAN) / np.array(_DEVIATION)).astype(np.float32)
        self._constant("hangtag_colours", np.array([0, 1, 2]))
        self._constant("hangtag_scale", scale.reshape(3, 1, 1))
        self._constant("hangtag_offset", offset.reshape(3, 1, 1))
        make = helper.make_node
        self.nodes += [
            make("Gather", [INPUT, "hangtag_colours"], ["hangtag_rgb"], axis=3),
            make("Cast", ["hangtag_rgb"], ["hangtag_float"], to=TensorProto.FLOAT),
            make("Transpose", ["hangtag_float"], ["hangtag_planes"], perm=[0, 3, 1, 2]),
            make("Mul", ["hangtag_planes", "hangtag_scale"], ["hangtag_scaled"]),
            make("Add", ["hangtag_scaled", "hangtag_offset"], ["data"]),
        ]

    def _saw_normalised(self) -> bool:
        for node in self.source:
            first = node["inputs"] and self.source[node["inputs"][0][0]]["name"] == "data"
            if first and node["op"] == "BatchNorm":
                variance = self.params[self.source[node["inputs"][4][0]]["name"]]
                return float(variance.max()) < 25  # of 0..255 it is hundreds or thousands
        return False

    def _node(self, node: Node) -> None:
        if node["op"] not in _CONVERTERS:
            raise ModelError(
                f"{node['name']} is a {node['op']}, which hangtag cannot convert; it converts "
                f"{', '.join(sorted(_CONVERTERS))}"
            )
        inputs = [self._input(entry) for entry in node["inputs"]]
        _CONVERTERS[node["op"]](self, node["name"], inputs, _attributes(node))

    def _input(self, entry: list[int]) -> str:
        node = self.source[entry[0]]
        name: str = node["name"]
        if entry[1] != 0:
            raise ModelError(f"{name}: only the first output of an operator can be converted")
        if node["op"] == "null" and name != "data" and name not in self.constants:
            if name not in self.params:
                raise ModelError(f"the parameters lack {name}")
            self._constant(name, self.params[name])
        return name

    def _constant(self, name: str, values: NDArray[Any]) -> None:
        self.constants[name] = np.ascontiguousarray(values)

    def add(self, operator: str, name: str, inputs: list[str], **attributes: Any) -> None:
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))

    # Operators, by the documentation of MXNet 1.9.1 and ONNX

    def convolution(self, name: str, inputs: list[str], given: dict[str, Any]) -> None:
        kernel = given["kernel"]
        self.add(
            "Conv", name, inputs,
            kernel_shape=kernel,
            strides=given.get("stride") or (1,) * len(kernel),
            dilations=given.get("dilate") or (1,) * len(kernel),
            pads=(given.get("pad") or (0,) * len(kernel)) * 2,
            group=given.get("num_group", 1),
        )  # fmt: skip

    def batch_norm(self, name: str, inputs: list[str], given: dict[str, Any]) -> None:
        if given.get("axis", 1) != 1:
            raise ModelError(f"{name}: a BatchNorm over axis {given['axis']} cannot be converted")
        if given.get("fix_gamma", True):
            ones = f"{name}_ones"
            self._constant(ones, np.ones_like(self.constants.pop(inputs[1])))
            inputs = [inputs[0], ones, *inputs[2:]]
        self.add("BatchNormalization", name, inputs, epsilon=float(given.get("eps", 1e-3)))

    def activation(self, name: str, inputs: list[str], given: dict[str, Any]) -> None:
        kind = given["act_type"]
        if kind not in _ACTIVATIONS:
            raise ModelError(f"{name}: an activation {kind} cannot be converted")
        self.add(_ACTIVATIONS[kind], name, inputs)

    def pooling(self, name: str, inputs: list[str], given: dict[str, Any]) -> None:
        kind = {"max": "MaxPool", "avg": "AveragePool"}.get(given.get("pool_type", "max"))
        if kind is None:
            raise ModelError(f"{name}: {given['pool_type']} pooling cannot be converted")
        if given.get("global_pool", False):
            self.add(f"Global{kind}", name, inputs)
            return
        kernel = given["kernel"]
        extra = {}
        if kind == "AveragePool":
            extra = {"count_include_pad": int(given.get("count_include_pad", True))}
        self.add(
            kind, name, inputs,
            kernel_shape=kernel,
            strides=given.get("stride") or (1,) * len(kernel),
            pads=(given.get("pad") or (0,) * len(kernel)) * 2,
            ceil_mode=int(given.get("pooling_convention", "valid") == "full"),
            **extra,
        )  # fmt: skip

    def fully_connected(self, name: str, inputs: list[str], given: dict[str, Any]) -> None:
        if not given.get("flatten", True):
            raise ModelError(f"{name}: a FullyConnected without flatten cannot be converted")
        self.add("Flatten", f"{name}_flat", inputs[:1])
        self.add("Gemm", name, [f"{name}_flat", *inputs[1:]], transB=1)

    def concat(self, name: str, inputs: list[str], given: dict[str, Any]) -> None:
        self.add("Concat", name, inputs, axis=given.get("dim", 1))


def _attributes(node: Node) -> dict[str, Any]:
    """Return a node's attributes, which MXNet writes as text."""
    texts = node.get("attrs") or node.get("attr") or node.get("param") or {}
    values: dict[str, Any] = {}
    for name, text in texts.items():
        try:
            values[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            values[name] = text
    return values


Converter = Callable[[_Graph, str, list[str], dict[str, Any]], None]


def _as(operator: str) -> Converter:
    return lambda graph, name, inputs, given: graph.add(operator, name, inputs)


_ACTIVATIONS: Final = {
    "relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softrelu": "Softplus",
    "softsign": "Softsign",
}  # fmt: skip
_PASSES: Final = ("identity", "_copy", "BlockGrad", "MakeLoss", "make_loss", "Dropout")
_CONVERTERS: Final[dict[str, Converter]] = {
    "Convolution": _Graph.convolution,
    "BatchNorm": _Graph.batch_norm,
    "Activation": _Graph.activation,
    "Pooling": _Graph.pooling,
    "FullyConnected": _Graph.fully_connected,
    "Concat": _Graph.concat,
    "Flatten": _as("Flatten"),
    "flatten": _as("Flatten"),
    "relu": _as("Relu"),
    "sigmoid": _as("Sigmoid"),
    "elemwise_add": _as("Add"),
    "broadcast_add": _as("Add"),
    "_plus": _as("Add"),
    "_Plus": _as("Add"),
    "elemwise_mul": _as("Mul"),
    "broadcast_mul": _as("Mul"),
    "elemwise_sub": _as("Sub"),
    "broadcast_sub": _as("Sub"),
    **{
        name: (lambda graph, name, inputs, given: graph.add("Identity", name, inputs[:1]))
        for name in _PASSES
    },
}


def misfit(cause: Exception) -> ModelError:
    """Return the error for a graph that its parameters do not fit."""
    why = " ".join(str(cause).split())
    return ModelError(f"the network's graph and parameters do not fit: {why}")
