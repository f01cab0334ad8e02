"""Trained network -> model.onnx, checked against torch."""

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.onnx import ONNXProgram

from hangtag.dataset.images import Pixels
from hangtag.index.backbone import INPUT, OUTPUT
from hangtag.storage.files import atomic_path
from hangtag.training.checkpoints import save_tensors
from hangtag.training.network import TagNetwork
from hangtag.training.onnx_model import check_difference

TOLERANCE = 1e-4  # of probabilities


def export_onnx(network: nn.Module, input_size: int, path: Path, *, output: str = OUTPUT) -> None:
    """Write a network as ONNX: uint8 (n, s, s, 4), premultiplied, to float32 `output` (n, T)."""
    with atomic_path(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the exporter's internals
        program = traced(network, input_size, output)
        program.optimize()
        program.save(str(temporary), external_data=False)


def traced(network: nn.Module, input_size: int, output: str) -> ONNXProgram:
    """Return a network as ONNX in which every weight has the name and the value of torch's."""
    example = torch.zeros(2, input_size, input_size, 4, dtype=torch.uint8)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with _not_in_place(network.eval().cpu()):
        program = torch.onnx.export(
            network,
            (example,),
            input_names=[INPUT],
            output_names=[output],
            dynamic_shapes=({0: torch.export.Dim("n", min=1, max=65536)},),
            dynamo=True,
            optimize=False,
            verbose=False,
        )
    assert program is not None  # as there is no file to write
    return program


@contextmanager
def _not_in_place(network: nn.Module) -> Iterator[None]:
    """Let activations not overwrite their inputs: half of the time to trace hangtag-base."""
    overwriting = [one for one in network.modules() if getattr(one, "inplace", False) is True]
    for one in overwriting:
        one.inplace = False  # type: ignore[assignment]
    try:
        yield
    finally:
        for one in overwriting:
            one.inplace = True  # type: ignore[assignment]


def without_head(network: TagNetwork) -> TagNetwork:
    """Return a network that ends in its features; it shares the weights."""
    bare = copy.copy(network)
    bare._modules = {**network._modules, "head": nn.Identity()}
    return bare


def check_onnx(network: TagNetwork, path: Path, inputs: Pixels) -> float:
    """Return the largest difference of a probability between torch and ONNX Runtime.

    `inputs`: uint8 (n, s, s, 4), real designs. Raises TrainingError when it exceeds 1e-4.
    """
    with torch.inference_mode():
        expected: NDArray[np.float32] = network.eval().cpu()(torch.from_numpy(inputs)).numpy()
    return check_difference(path, inputs, expected, TOLERANCE)


def write_network(
    network: TagNetwork, input_size: int, inputs: Pixels, weights: Path, onnx_file: Path
) -> None:
    """Write a network as weights and as ONNX, checked on `inputs` as `check_onnx` does."""
    save_tensors(weights, network.state_dict(), {})
    export_onnx(network, input_size, onnx_file)
    check_onnx(network, onnx_file, inputs)
