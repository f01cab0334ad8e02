"""Any backbone as torch computes it."""

import hashlib
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from hangtag.dataset.images import Pixels
from hangtag.index.backbone import FEATURES, Backbone, OnnxBackbone, State
from hangtag.training.defaults import is_own
from hangtag.training.network import TagNetwork
from hangtag.training.onnx_export import export_onnx, without_head
from hangtag.training.setup import Setup
from hangtag.training.speed import to_device


class TorchBackbone:
    """The backbone of a network, in fp32 on a device."""

    def __init__(self, network: TagNetwork, input_size: int, device: torch.device) -> None:
        self._network, self._size = to_device(network, device).eval(), input_size
        self._device = device

    @property
    def widths(self) -> tuple[int, ...]:
        """Features of each part; they sum to F."""
        return self._network.widths

    @cached_property
    def state(self) -> State:
        """Its weights, by the names that they have in the network."""
        return {
            name: value.cpu().numpy()
            for name, value in self._network.state_dict().items()
            if not name.startswith("head.")
        }

    @cached_property
    def digest(self) -> str:
        """Identifies weights, stages and stride."""
        found = hashlib.sha256(f"{self._network.stages} {self._network.output_stride}".encode())
        for name, value in self.state.items():
            found.update(f"{name} {value.shape} ".encode())
            found.update(np.ascontiguousarray(value).tobytes())
        return found.hexdigest()

    def features(self, inputs: Pixels) -> NDArray[np.float32]:
        """Map uint8 (n, s, s, 4), premultiplied, to float32 (n, F)."""
        with torch.inference_mode():
            found = self._network.features(torch.from_numpy(inputs).to(self._device))
        features: NDArray[np.float32] = found.float().cpu().numpy()
        return features

    def graph(self) -> onnx.ModelProto:
        """Return the same as ONNX."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / "features.onnx"
            export_onnx(without_head(self._network), self._size, path, output=FEATURES)
            return onnx.load(path)


def backbone_of(setup: Setup) -> Backbone:
    """Return what computes the features of a run's network, the fastest that can."""
    if is_own(setup.config) and not setup.origin.start_from:
        return OnnxBackbone()
    return TorchBackbone(setup.network, setup.config.input_size, setup.accelerator.device)
