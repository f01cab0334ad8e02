"""Trained network -> model.onnx, checked against torch."""

import logging
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from hangtag.dataset.images import Pixels
from hangtag.errors import TrainingError
from hangtag.storage.files import atomic_path
from hangtag.training.network import KernelLayer, TagNetwork

# Names in the exported model, and so in every model folder.
INPUT, OUTPUT = "squares", "logits"
# Of probabilities. A kernel head multiplies the rounding of its features by weights of up to 5; it
# has been seen to differ by 1e-4, and a wrong graph by far more.
TOLERANCE, KERNEL_TOLERANCE = 1e-4, 1e-3


def export_onnx(network: nn.Module, input_size: int, path: Path) -> None:
    """Write a network as ONNX: uint8 (n, s, s, 4), premultiplied, to float32 (n, T) logits."""
    network = network.eval().cpu()
    example = torch.zeros(2, input_size, input_size, 4, dtype=torch.uint8)
    with atomic_path(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the exporter's internals
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            network,
            (example,),
            str(temporary),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("n", min=1, max=65536)},),
            external_data=False,
            dynamo=True,
            verbose=False,
        )


def check_onnx(network: TagNetwork, path: Path, inputs: Pixels) -> float:
    """Return the largest difference of a probability between torch and ONNX Runtime.

    `inputs`: uint8 (n, s, s, 4), real designs. Raises TrainingError when it exceeds 1e-4, or
    1e-3 with a kernel head.
    """
    tolerance = KERNEL_TOLERANCE if isinstance(network.head, KernelLayer) else TOLERANCE
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        expected = torch.sigmoid(network.eval().cpu()(torch.from_numpy(inputs))).numpy()
    logits: NDArray[np.float32] = session.run([OUTPUT], {INPUT: inputs})[0]
    difference = float(np.abs(1 / (1 + np.exp(-logits.astype(np.float64))) - expected).max())
    if not difference < tolerance:
        raise TrainingError(
            f"{path} differs from the trained network by {difference:.2g} in a probability "
            f"(at most {tolerance:g} is allowed); please report this with the network's name"
        )
    return difference
