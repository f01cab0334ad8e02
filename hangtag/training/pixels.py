"""The pixels and labels of a packed dataset's designs. Imports no torch."""

import os
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from hangtag.dataset.dataset_folder import Dataset
from hangtag.dataset.pixel_store import PixelStore
from hangtag.errors import DatasetError
from hangtag.training.defaults import ResolvedConfig

Stores = dict[tuple[str, int], PixelStore]
"""Decoded designs by split and input size, which several runs on one dataset share."""


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
    folder: Dataset, config: ResolvedConfig, stores: Stores, kept: Path | None = None
) -> tuple[PixelStore, PixelStore]:
    """Return the pixels of the train and the validation split, in memory as far as allowed.

    The others are decoded into files in the folder `kept`, if one is given. Splits in `stores` are
    not decoded again; others are added to it. Raises DatasetError where no image of a split can be
    read.
    """
    # Processes that train together on one machine share its memory.
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    left = min(int(config.cache_gib * 2**30), psutil.virtual_memory().available // 2) // processes
    for split in ("train", "validation"):
        key = split, config.input_size
        if key not in stores:
            stores[key] = PixelStore(
                folder.records(split), folder.info.size, config.input_size, left, folder=kept
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
