"""The features of every design by a fixed backbone, computed once and kept beside the dataset."""

import os
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hangtag.console import note, track
from hangtag.dataset.dataset_folder import Dataset
from hangtag.errors import DatasetError, ImageError, Stopped
from hangtag.index.backbone import Backbone
from hangtag.index.feature_store import FeatureStore, Rows, digest_of, opened_store
from hangtag.storage.mapping import release
from hangtag.tagging.model_folder import CHECKPOINTS
from hangtag.training.feature_blocks import Inputs, features_of_blocks
from hangtag.training.pixels import Stores, labels_of

SPLITS: Final = ("train", "validation")
FEATURES_FOLDER: Final = "features"
BATCH: Final = 32
BLOCK: Final = 4_096  # designs that are looked up at once


@dataclass(frozen=True, eq=False)
class Features:
    """The features and labels that a tag head is trained and validated on."""

    train: Rows | NDArray[np.float32]
    """(n, F); a slice or positions of it give float32."""

    train_labels: NDArray[np.int8]
    """(n, T): 1 yes, 0 reviewed no, -1 unknown."""

    train_kept: NDArray[np.int64]
    """(n,), the records that could be decoded."""

    validation: Rows | NDArray[np.float32]
    """(m, F), likewise."""

    validation_labels: NDArray[np.int8]
    """(m, T), as metrics take them."""

    validation_kept: NDArray[np.int64]
    """(m,), the records that could be decoded."""


def features_folder(folder: Dataset, model: Path, *, keep: bool = True) -> Path:
    """Return where the features of a dataset are kept: in it, where it can be written to.

    Otherwise, or if they serve this run alone (`keep` is false), with the model's checkpoints,
    which are removed at the end.
    """
    if keep and os.access(folder.path, os.W_OK):
        return folder.path / FEATURES_FOLDER
    return model / CHECKPOINTS / FEATURES_FOLDER


def features_of(
    backbone: Backbone,
    folder: Dataset,
    input_size: int,
    kept: Path,
    *,
    stores: Stores | None = None,
    stopped: threading.Event | None = None,
) -> Features:
    """Return the features of all train and validation designs; compute missing ones.

    They are kept in the folder `kept`, by the content of the design, the backbone and the input
    size, in half precision: the same call again resumes, and after packing again only new designs
    are computed. Decoded designs are taken from `stores` where they are there.

    Raises DatasetError, RecordError, and Stopped once `stopped` is set.
    """
    labels = dict(zip(SPLITS, labels_of(folder), strict=True))
    rows, positions = stored_features(
        backbone, folder, SPLITS, input_size, kept, stores=stores, stopped=stopped
    )
    train, validation = positions["train"], positions["validation"]
    return Features(
        Rows(rows, train.rows),
        _of(labels["train"], train),
        train.records,
        Rows(rows, validation.rows),
        _of(labels["validation"], validation),
        validation.records,
    )


def _of(labels: NDArray[np.int8], readable: "Readable") -> NDArray[np.int8]:
    """Return the labels of readable designs, not copied where all are."""
    return labels if len(readable.records) == len(labels) else labels[readable.records]


@dataclass(frozen=True, eq=False)
class Readable:
    """The n readable designs of a split."""

    records: NDArray[np.int64]
    """(n,), their records."""

    rows: NDArray[np.int64]
    """(n,), their rows among the stored features."""


def stored_features(
    backbone: Backbone,
    folder: Dataset,
    splits: Sequence[str],
    input_size: int,
    kept: Path,
    *,
    stores: Stores | None = None,
    stopped: threading.Event | None = None,
) -> tuple[NDArray[np.float16], dict[str, Readable]]:
    """Return stored features, float16 (N, F), and where those of each split's designs are.

    As `features_of`. Raises DatasetError where no design of a split can be read.
    """
    about = made_with(backbone, folder.info.size, input_size)
    with opened_store(kept, sum(backbone.widths), about) as store:
        digests: dict[str, list[bytes]] = {}
        for split in splits:
            with folder.records(split) as records:
                digests[split] = [digest_of(record.data) for record in records]
            unknown: dict[bytes, int] = {}
            for n, one in enumerate(digests[split]):
                if one not in store:
                    unknown.setdefault(one, n)
            missing = list(unknown.values())
            inputs = Inputs(folder, split, input_size, stores)
            _compute(backbone, store, digests[split], missing, inputs, stopped)
        store.drop_unused({digest for found in digests.values() for digest in found})
        rows = store.stored()
        return rows, {
            split: _readable(folder, split, rows, store.positions(found))
            for split, found in digests.items()
        }


def made_with(backbone: Backbone, packed_size: int, input_size: int) -> dict[str, Any]:
    """Return what the features of a dataset depend on, beside the designs."""
    return {
        "backbone": backbone.digest,
        "packed_size": packed_size,
        "input_size": input_size,
        "trim": True,
    }


def _compute(
    backbone: Backbone,
    store: FeatureStore,
    digests: Sequence[bytes],
    missing: Sequence[int],
    inputs: Inputs,
    stopped: threading.Event | None,
) -> None:
    """Add what is missing; every block is on disk before the next."""
    blocks = [missing[start : start + BATCH] for start in range(0, len(missing), BATCH)]
    unreadable = np.full(store.width, np.nan, np.float32)
    try:
        with closing(features_of_blocks(backbone, blocks, inputs)) as computed:
            title = f"{inputs.split} features"
            for chosen, found in track(computed, title, len(blocks)) if blocks else ():
                rows = [unreadable if isinstance(row, ImageError) else row for row in found]
                store.append([digests[record] for record in chosen], np.stack(rows))
                if stopped is not None and stopped.is_set():
                    raise Stopped(
                        f"stopped after the features of {len(store):,} designs, all is saved; run "
                        "the same command again to resume"
                    )
    finally:
        inputs.close()


def _readable(
    folder: Dataset, split: str, rows: NDArray[np.float16], positions: NDArray[np.int64]
) -> Readable:
    good = np.empty(len(positions), np.bool_)
    for start in range(0, len(positions), BLOCK):
        block = slice(start, start + BLOCK)
        good[block] = np.isfinite(rows[positions[block], 0])
        release(rows)
    bad = np.flatnonzero(~good).tolist()
    if not good.any():
        raise DatasetError(f"{folder.path}: no image of the {split} split can be read")
    if bad:
        named = ", ".join(map(str, bad[:5])) + (", ..." if len(bad) > 5 else "")
        note(f"{split}: left out {len(bad)} unreadable images: {named}")
    return Readable(np.flatnonzero(good), positions[good])
