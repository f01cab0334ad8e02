"""A backbone and a kernel head as one ONNX model, and the check of what any exported model says."""

from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper

from hangtag.dataset.images import Pixels
from hangtag.errors import TrainingError
from hangtag.index.backbone import FEATURES, INPUT, OUTPUT
from hangtag.index.onnx_nodes import Nodes
from hangtag.index.parts import SHORT
from hangtag.storage.files import atomic_path
from hangtag.training.kernel import KernelHead, to_logits

FLOAT: Final = onnx.TensorProto.FLOAT


def write_onnx(backbone: onnx.ModelProto, head: KernelHead, path: Path) -> None:
    """Write a model from uint8 (n, s, s, 4), premultiplied, to float32 logits (n, T).

    `backbone` maps INPUT to FEATURES. The landmarks, nearly all of the head's size, are kept in
    half precision.
    """
    graph = Nodes("head")
    widths, gamma = head.settings.widths, head.settings.gamma
    scale, landmarks = graph.constant("scale", head.scale), head.landmarks.astype(np.float16)
    centred = graph.node(
        "Mul", graph.node("Sub", FEATURES, graph.constant("mean", head.mean)), scale
    )
    parts = [graph.name(f"part{number}") for number in range(len(widths))]
    lengths = graph.constant("widths", np.array(widths, np.int64))
    graph.split(centred, lengths, parts, axis=1)
    ends = np.cumsum(widths).tolist()
    least = graph.constant("least", np.float32(SHORT))
    slope = graph.constant("slope", np.float32(2 * gamma))
    axis = graph.constant("axis", np.array([1], np.int64))
    total = ""
    for part, width, end, share in zip(parts, widths, ends, head.settings.shares, strict=True):
        length = graph.node("Max", graph.node("ReduceL2", part, axis), least)
        kept = graph.constant("landmarks", np.ascontiguousarray(landmarks[:, end - width : end].T))
        products = graph.node(
            "MatMul", graph.node("Div", part, length), graph.node("Cast", kept, to=FLOAT)
        )
        # share * exp(slope * (product - 1)), without a pass over the values for the share.
        top = graph.constant("top", np.float32(1 - np.log(share) / (2 * gamma)))
        values = graph.node("Exp", graph.node("Mul", graph.node("Sub", products, top), slope))
        total = graph.node("Add", total, values) if total else values
    # The step to logits is in the weights.
    zero = to_logits(np.zeros_like(head.bias))
    weights = to_logits(head.weights) - zero[0]
    outputs = graph.node("MatMul", total, graph.constant("weights", weights.astype(np.float32)))
    bias = graph.constant("bias", to_logits(head.bias).astype(np.float32))
    graph.node("Add", outputs, bias, output=OUTPUT)
    backbone.graph.node.extend(graph.nodes)
    backbone.graph.initializer.extend(graph.constants)
    del backbone.graph.output[:]
    shape: list[str | int | None] = ["n", len(head.bias)]
    backbone.graph.output.append(helper.make_tensor_value_info(OUTPUT, FLOAT, shape))
    with atomic_path(path) as temporary:
        onnx.save(backbone, temporary)


def check_difference(
    path: Path, inputs: Pixels, expected: NDArray[np.float32], tolerance: float
) -> float:
    """Return the largest difference of a probability between a model and what it should say.

    `inputs`: uint8 (n, s, s, 4), real designs; `expected`: their logits, (n, T). Raises
    TrainingError when it is not below `tolerance`.
    """
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    logits: NDArray[np.float32] = session.run([OUTPUT], {INPUT: inputs})[0]
    found, wanted = (1 / (1 + np.exp(-x.astype(np.float64))) for x in (logits, expected))
    difference = float(np.abs(found - wanted).max())
    if not difference < tolerance:
        raise TrainingError(
            f"{path} differs from the trained network by {difference:.2g} in a probability "
            f"(at most {tolerance:g} is allowed); please report this with the network's name"
        )
    return difference
