"""The designs of a packed dataset in training: labels, pixels, and a network's outputs for them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hangtag.dataset.dataset_folder import Dataset
from hangtag.dataset.pixel_store import PixelStore
from hangtag.training.defaults import ResolvedConfig
from hangtag.training.pixels import Stores, labels_of, stores_of
from hangtag.training.speed import autocast

EVALUATION_BATCH: Final = 128


@dataclass(frozen=True, eq=False)
class Data:
    """The designs of a run that can be decoded, with their labels."""

    store: PixelStore
    labels: NDArray[np.int8]
    """(n, T), of the training designs."""

    validation_store: PixelStore
    validation_labels: NDArray[np.int8]
    """(m, T)."""

    @classmethod
    def of(
        cls, folder: Dataset, config: ResolvedConfig, stores: Stores, kept: Path | None = None
    ) -> "Data":
        """Decode the designs, into files in `kept` where memory is short. Raises DatasetError."""
        labels, validation_labels = labels_of(folder)
        store, validation_store = stores_of(folder, config, stores, kept)
        return cls(
            store,
            labels[store.kept],
            validation_store,
            validation_labels[validation_store.kept],
        )


def outputs(
    network: Callable[[Tensor], Tensor],
    store: PixelStore,
    device: torch.device,
    precision: str,
    first: int = 0,
) -> Iterator[NDArray[np.float32]]:
    """Yield the outputs of a network in eval mode for a store's designs, from `first` on.

    Each block is float32 (b, ...) with b of EVALUATION_BATCH, the last one smaller.
    """
    with torch.inference_mode(), autocast(device, precision):
        for start in range(first, len(store), EVALUATION_BATCH):
            positions = range(start, min(start + EVALUATION_BATCH, len(store)))
            inputs = torch.from_numpy(store.inputs(positions)).to(device)
            yield network(inputs).float().cpu().numpy()
