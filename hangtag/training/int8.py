"""A network with 8-bit weights and activations, by ONNX Runtime's static quantisation.

Convolutions and the activations behind them are quantised, per channel, on training designs. The
first five convolutions stay in float: they see single lines, and what they round away is lost to
all later ones. So does the tag head: a kernel head takes exponentials of small differences.
hangtag-base comes quantised: see `index.model_graph.in_8_bits`.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

from hangtag.console import note
from hangtag.dataset.dataset_folder import Dataset
from hangtag.dataset.images import Pixels
from hangtag.errors import DatasetError, ImageError, ModelError
from hangtag.tagging.model_folder import ModelFolder
from hangtag.tagging.tagger import BATCH, model_input

DESIGNS: Final = 300  # training designs that give the ranges of activations
FLOAT_CONVOLUTIONS: Final = 5
_ACTIVATIONS: Final = ("Clip", "Relu")
_HALVED: Final = 2**16  # weights from which on a matrix is stored in half precision


def quantised_on(dataset: Dataset, folder: ModelFolder) -> onnx.ModelProto:
    """Return a model's network in 8 bits, by ranges on designs of the training split.

    Raises DatasetError without readable designs, ModelError for a network without convolutions
    that can be quantised.
    """
    note(f"quantising on {DESIGNS} training designs ...")
    return quantised(folder.onnx, _training_inputs(folder, dataset))


def _training_inputs(folder: ModelFolder, dataset: Dataset) -> Pixels:
    with dataset.records("train") as records:
        order = np.random.default_rng(0).permutation(len(records))[:DESIGNS]
        inputs = []
        for number in order:
            try:
                inputs.append(model_input(records[int(number)].data, folder.preprocessing))
            except ImageError:
                continue
    if not inputs:
        raise DatasetError(f"the training split of {dataset.path} has no readable design")
    return np.stack(inputs)


def quantised(network: Path, inputs: Pixels) -> onnx.ModelProto:
    """Return a network with weights and activations of 8 bits, by ranges on `inputs`, (n, s, s, 4).

    Raises ModelError for a network without convolutions that can be quantised.
    """
    with TemporaryDirectory() as name, _silent():
        plain, written = Path(name) / "plain.onnx", Path(name) / "int8.onnx"
        # With weights in float, and each normalisation in the convolution before it.
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(plain)
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        chosen = _chosen(onnx.load(plain), network)
        quantize_static(
            plain, written, _Batches(session.get_inputs()[0].name, inputs),
            quant_format=QuantFormat.QDQ, nodes_to_quantize=chosen, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
        return _halved(onnx.load(written))


def _chosen(network: onnx.ModelProto, path: Path) -> list[str]:
    """Return the names of the nodes to quantise."""
    convolutions = [node for node in network.graph.node if node.op_type == "Conv"]
    later = convolutions[FLOAT_CONVOLUTIONS:]
    if not later:
        raise ModelError(f"{path} has {len(convolutions)} convolutions: too few to be worth 8 bits")
    made = {name for node in later for name in node.output}
    behind = [
        node
        for node in network.graph.node
        if node.op_type in _ACTIVATIONS and node.input[0] in made
    ]
    return [node.name for node in (*later, *behind)]


class _Batches(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, name: str, inputs: Pixels) -> None:
        self._batches: Iterator[dict[str, Any]] = iter(
            [{name: inputs[start : start + BATCH]} for start in range(0, len(inputs), BATCH)]
        )

    def get_next(self) -> dict[str, Any] | None:
        return next(self._batches, None)


def _halved(network: onnx.ModelProto) -> onnx.ModelProto:
    """Store large matrices in half precision again where no value changes by it."""
    graph, casts = network.graph, []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.ndim != 2 or values.size < _HALVED:
            continue
        half = values.astype(np.float16)
        if np.array_equal(half.astype(np.float32), values):
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
            casts.append(
                helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT)
            )
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*casts, *nodes])
    return network


@contextmanager
def _silent() -> Iterator[None]:
    """Keep the quantiser's advice, given through the root logger, from the user.

    The first such message would also give the root logger a handler, which repeats hangtag's own.
    """
    before, handlers = logging.root.level, [*logging.root.handlers]
    logging.root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.root.setLevel(before)
        logging.root.handlers[:] = handlers
