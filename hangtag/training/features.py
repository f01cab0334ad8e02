"""The features of every design by a frozen backbone, computed once and kept in one file."""

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from hangtag.console import note, track
from hangtag.dataset.batches import PixelStore
from hangtag.dataset.dataset_folder import Dataset
from hangtag.errors import Stopped
from hangtag.storage.locks import one_at_a_time
from hangtag.training.checkpoints import save_tensors
from hangtag.training.data import (
    EVALUATION_BATCH,
    Stores,
    known_store,
    labels_of,
    outputs,
    stores_of,
)
from hangtag.training.defaults import ResolvedConfig
from hangtag.training.network import TagNetwork
from hangtag.training.speed import choose_precision, to_device

SPLITS: Final = ("train", "validation")
FEATURES_FILE: Final = "features.safetensors"


@dataclass(frozen=True, eq=False)
class Features:
    """The features and labels that a tag head is trained and validated on."""

    train: Tensor  # float32 (n, F)
    train_labels: Tensor  # int8 (n, T): 1 yes, 0 reviewed no, -1 unknown; on the same device
    train_kept: NDArray[np.int64]  # (n,) the records that could be decoded
    validation: Tensor  # float32 (m, F), likewise
    validation_labels: NDArray[np.int8]  # (m, T), as metrics take them
    validation_kept: NDArray[np.int64]  # (m,) the records that could be decoded

    def to(self, device: torch.device) -> "Features":
        """Return the same features on a device."""
        return replace(
            self,
            train=self.train.to(device),
            train_labels=self.train_labels.to(device),
            validation=self.validation.to(device),
        )


@dataclass(eq=False)
class _Held:
    """The content of the file: features of the first `done` designs, train before validation."""

    kept: dict[str, NDArray[np.int64]]  # by split: the records that could be decoded
    features: NDArray[np.float32]  # (N, F), N designs in both splits
    done: int

    @property
    def complete(self) -> bool:
        return self.done == len(self.features)


def features_of(
    network: TagNetwork,
    folder: Dataset,
    config: ResolvedConfig,
    cache: Path,
    *,
    stores: Stores | None = None,
    stopped: threading.Event | None = None,
) -> Features:
    """Return the features of all train and validation designs, on the CPU; compute missing ones.

    `network` is set to eval mode and runs on its own device, in `config.precision` (by default
    fp32) on the training designs and in fp32 on the validation designs, like the exported model.
    The features are kept in `cache`, written every `config.checkpoint_minutes` and at the end: the
    same call again resumes from there, and decodes nothing once the file is complete. A file made
    with another dataset, backbone, stages, stride, input size or precision is replaced. `stores`
    keeps decoded designs, see `stores_of`.

    Raises DatasetError, RecordError, and Stopped once `stopped` is set.
    """
    labels = dict(zip(SPLITS, labels_of(folder), strict=True))
    device = next(network.parameters()).device
    precision = choose_precision(config, len(folder.vocabulary), device)
    key = _key(to_device(network, device).eval(), folder, config.input_size, precision)
    # Workers of one study need the same features: one computes them, the others wait.
    with one_at_a_time(cache.with_name(f".{cache.name}.lock"), cache):
        held = _read(cache, key, folder)
        if held is None or not held.complete:
            opened = _opened(folder, config, held, {} if stores is None else stores)
            held = held or _empty(opened, sum(network.widths))
            blocks = _blocks(network, opened, precision, device, held.done)
            _complete(held, blocks, cache, key, config.checkpoint_minutes, stopped)
    train, validation = np.split(held.features, [len(held.kept["train"])])
    return Features(
        torch.from_numpy(train),
        torch.from_numpy(labels["train"][held.kept["train"]]),
        held.kept["train"],
        torch.from_numpy(validation),
        labels["validation"][held.kept["validation"]],
        held.kept["validation"],
    )


def _key(network: TagNetwork, folder: Dataset, input_size: int, precision: str) -> str:
    """Return the settings that these features depend on, as JSON."""
    digest = hashlib.sha256()
    for name, value in network.backbone.state_dict().items():
        digest.update(f"{name} {tuple(value.shape)} ".encode())
        digest.update(value.cpu().contiguous().numpy().tobytes())
    made_from = {
        "dataset": folder.fingerprint(),
        "backbone": digest.hexdigest(),
        "stages": network.stages,
        "output_stride": network.output_stride,
        "input_size": input_size,
        "precision": precision,
    }
    return json.dumps(made_from)


def _is_same(noted: str, key: str, folder: Dataset) -> bool:
    """Return whether a file's key is `key`, as this or an earlier hangtag wrote it."""
    if noted == key:
        return True
    try:
        earlier = json.loads(noted)
        known = folder.was_known_as(earlier["dataset"])
    except (ValueError, KeyError, TypeError):
        return False
    return known and {**earlier, "dataset": folder.fingerprint()} == json.loads(key)


def _read(cache: Path, key: str, folder: Dataset) -> _Held | None:
    """Read the file, or return None where it is missing, damaged or of other settings."""
    if not cache.exists():
        return None
    try:
        with safe_open(cache, "np") as file:
            header = file.metadata()
            if _is_same(header.get("key", ""), key, folder):
                kept = {split: file.get_tensor(split) for split in SPLITS}
                return _Held(kept, file.get_tensor("features"), int(header["done"]))
    except (SafetensorError, OSError):
        pass
    note(f"{cache} is damaged or was made with other settings: computing the features again")
    return None


def _write(held: _Held, cache: Path, key: str) -> None:
    tensors = {**held.kept, "features": held.features}
    header = {"key": key, "done": str(held.done)}
    save_tensors(cache, {name: torch.from_numpy(value) for name, value in tensors.items()}, header)


def _opened(
    folder: Dataset, config: ResolvedConfig, held: _Held | None, stores: Stores
) -> tuple[PixelStore, PixelStore]:
    """Return the pixels of both splits; after a stop, no design is decoded a second time."""
    if held is None:
        return stores_of(folder, config, stores)
    train, validation = (known_store(folder, config, split, held.kept[split]) for split in SPLITS)
    return train, validation


def _empty(stores: tuple[PixelStore, PixelStore], width: int) -> _Held:
    kept = {split: store.kept for split, store in zip(SPLITS, stores, strict=True)}
    return _Held(kept, np.zeros((sum(map(len, stores)), width), np.float32), 0)


def _blocks(
    network: TagNetwork,
    stores: tuple[PixelStore, PixelStore],
    precision: str,
    device: torch.device,
    done: int,
) -> Iterator[NDArray[np.float32]]:
    """Yield the features of all designs after the first `done`, block by block, with progress."""
    for split, store in zip(SPLITS, stores, strict=True):
        first = min(done, len(store))
        done -= first
        number = precision if split == "train" else "fp32"
        blocks = outputs(network.features, store, device, number, first)
        batch, total = EVALUATION_BATCH, -(-len(store) // EVALUATION_BATCH)
        if first < len(store):
            yield from track(blocks, f"{split} features", total=total, done=first // batch)


def _complete(
    held: _Held,
    blocks: Iterator[NDArray[np.float32]],
    cache: Path,
    key: str,
    minutes: float,
    stopped: threading.Event | None,
) -> None:
    """Compute what is missing; write the file every `minutes`, on a stop and at the end."""
    saved = time.monotonic()
    for block in blocks:
        held.features[held.done : held.done + len(block)] = block
        held.done += len(block)
        stop = stopped is not None and stopped.is_set()
        if stop or held.complete or time.monotonic() - saved > 60 * minutes:
            _write(held, cache, key)
            saved = time.monotonic()
        if stop:
            raise Stopped(
                f"stopped after the features of {held.done} of {len(held.features)} designs, all "
                "is saved; run the same command again to resume"
            )
