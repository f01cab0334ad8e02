"""The designs of a packed dataset in training: labels, pixels, and a network's outputs for them."""

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
from hangtag.training.defaults import ResolvedConfig
from hangtag.training.speed import autocast

EVALUATION_BATCH: Final = 128

Stores = dict[tuple[str, int], PixelStore]
"""Decoded designs by split and input size, which several runs on one dataset share."""


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
            f"{folder.path}: training needs designs in the train split and at least one tagged "
            "design in the validation split; pack again with more designs or another --split"
        )
    return train, validation


def stores_of(
    folder: Dataset, config: ResolvedConfig, stores: Stores
) -> tuple[PixelStore, PixelStore]:
    """Return the pixels of the train and the validation split, in memory as far as allowed.

    Splits in `stores` are not decoded again; others are added to it. Raises DatasetError where no
    image of a split can be read.
    """
    # Processes that train together on one machine share its memory.
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    left = min(int(config.cache_gib * 2**30), psutil.virtual_memory().available // 2) // processes
    for split in ("train", "validation"):
        key = split, config.input_size
        if key not in stores:
            stores[key] = PixelStore(
                folder.records(split), folder.info.size, config.input_size, left
            )
        if not len(stores[key]):
            raise DatasetError(f"{folder.path}: no image of the {split} split can be read")
        left -= stores[key].cached_bytes
    return stores["train", config.input_size], stores["validation", config.input_size]


def known_store(
    folder: Dataset, config: ResolvedConfig, split: str, kept: NDArray[np.int64]
) -> PixelStore:
    """Return the pixels of the `kept` records of a split, decoded on access."""
    return PixelStore(folder.records(split), folder.info.size, config.input_size, 0, kept)


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
