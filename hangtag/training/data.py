"""The designs of a packed dataset as training sees them: labels, pixels, and a network's answers
to all of a split."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor

from hangtag.dataset.batches import PixelStore
from hangtag.dataset.dataset_folder import Dataset
from hangtag.errors import DatasetError
from hangtag.training.config import ResolvedConfig
from hangtag.training.speed import autocast

EVALUATION_BATCH: Final = 128

# Decoded designs by split and side, kept from run to run of one dataset.
Stores = dict[tuple[str, int], PixelStore]


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
    def of(cls, folder: Dataset, config: ResolvedConfig, stores: Stores) -> "Data":
        """Decode the designs as far as memory allows. Raises DatasetError."""
        labels, validation_labels = labels_of(folder)
        store, validation_store = stores_of(folder, config, stores)
        return cls(
            store,
            labels[store.kept],
            validation_store,
            validation_labels[validation_store.kept],
        )


def labels_of(folder: Dataset) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Return the labels to learn from, (n, T), and to measure by, (m, T): 1 yes, 0 no, -1 unknown.

    Raises DatasetError where there is nothing to learn or nothing to measure.
    """
    train, validation = folder.reviewed_labels("train"), folder.judged_labels("validation")
    if not len(train) or not (validation == 1).any():
        raise DatasetError(
            f"{folder.path}: training needs designs in the train part and at least one tagged "
            "design in the validation part; pack again with more designs or another --split"
        )
    return train, validation


def stores_of(
    folder: Dataset, config: ResolvedConfig, stores: Stores
) -> tuple[PixelStore, PixelStore]:
    """Return the pixels of the train and the validation part, in memory as far as allowed.

    What `stores` holds is not decoded again; what it lacks is put there. Raises DatasetError where
    no image of a part can be read.
    """
    # Processes that train together on one machine share its memory.
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    left = min(int(config.cache_gib * 2**30), psutil.virtual_memory().available // 2) // processes
    for split in ("train", "validation"):
        place = split, config.input_size
        if place not in stores:
            stores[place] = PixelStore(
                folder.records(split), folder.info.size, config.input_size, left
            )
        if not len(stores[place]):
            raise DatasetError(f"{folder.path}: no image of the {split} part can be read")
        left -= stores[place].cached_bytes
    return stores["train", config.input_size], stores["validation", config.input_size]


def known_store(
    folder: Dataset, config: ResolvedConfig, split: str, kept: NDArray[np.int64]
) -> PixelStore:
    """Return the pixels of the `kept` records of a split, decoded as they are asked for."""
    return PixelStore(folder.records(split), folder.info.size, config.input_size, 0, kept)


def outputs(
    network: Callable[[Tensor], Tensor],
    store: PixelStore,
    device: torch.device,
    precision: str,
    first: int = 0,
) -> Iterator[NDArray[np.float32]]:
    """Yield what a network in eval mode makes of a store's designs from `first` on.

    Each block is float32 (b, ...) with b of EVALUATION_BATCH, the last one smaller.
    """
    with torch.inference_mode(), autocast(device, precision):
        for start in range(first, len(store), EVALUATION_BATCH):
            positions = range(start, min(start + EVALUATION_BATCH, len(store)))
            inputs = torch.from_numpy(store.inputs(positions)).to(device)
            yield network(inputs).float().cpu().numpy()
