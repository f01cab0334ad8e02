"""The features of a split's records by a fixed backbone, computed here or on other machines."""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hangtag.cores import cores
from hangtag.dataset.dataset_folder import Dataset
from hangtag.dataset.elsewhere import is_elsewhere
from hangtag.dataset.images import Pixels, decode, fit
from hangtag.dataset.workers import applied, map_designs
from hangtag.errors import ImageError
from hangtag.index.backbone import Backbone, opened, saved
from hangtag.training.pixels import Stores

Records = Sequence[int]
Found = list[NDArray[Any] | ImageError]
"""Features, (F,), of each record; an error for one that cannot be decoded."""


class Inputs:
    """The inputs of a split's records, decoded or from a store of a run that decoded them."""

    def __init__(self, folder: Dataset, split: str, size: int, stores: Stores | None) -> None:
        self.split, self.size, self.packed = split, size, folder.info.size
        self._records = folder.records(split)
        self._store = (stores or {}).get((split, size))
        if self._store is not None and not self._store.cached_bytes:
            self._store = None

    def close(self) -> None:
        self._records.close()

    def encoded(self, record: int) -> bytes:
        """Return a record's image as it is packed."""
        return self._records[record].data

    def decoded(self, record: int) -> Pixels | ImageError:
        """Return a record's input, or why it cannot be decoded."""
        if self._store is not None:
            position = int(np.searchsorted(self._store.kept, record))
            if self._store.kept[position : position + 1] != record:
                return ImageError("unreadable", "cannot be decoded")
            found: Pixels = self._store.inputs([position])[0]
            return found
        try:
            return _decoded(self.encoded(record), self.packed, self.size)
        except ImageError as cause:
            return cause


def features_of_blocks(
    backbone: Backbone, blocks: Sequence[Records], inputs: Inputs
) -> Generator[tuple[Records, Found]]:
    """Yield every block of records with its features, in order; close it to stop early.

    Where `map_designs` works on other machines, they compute the same features. The records are
    here alone, so that their images travel.
    """
    return (_elsewhere if is_elsewhere() else _here)(backbone, blocks, inputs)


def _here(
    backbone: Backbone, blocks: Sequence[Records], inputs: Inputs
) -> Generator[tuple[Records, Found]]:
    """Decode in threads while the backbone computes."""
    for chosen, decoded in _ahead(blocks, inputs):
        yield chosen, _features(backbone, decoded)


def _elsewhere(
    backbone: Backbone, blocks: Sequence[Records], inputs: Inputs
) -> Generator[tuple[Records, Found]]:
    decode_one = partial(_decoded, packed=inputs.packed, size=inputs.size)
    with saved(backbone) as folder:
        images = map(inputs.encoded, chain.from_iterable(blocks))
        computed = map_designs(decode_one, images, then=_Features(folder))
        for chosen in blocks:
            found: Found = list(islice(computed, len(chosen)))
            # There the memory or the time may have been short: what is unreadable here too is.
            failed = [n for n, one in enumerate(found) if isinstance(one, ImageError)]
            again = _features(backbone, [inputs.decoded(chosen[n]) for n in failed])
            for n, one in zip(failed, again, strict=True):
                found[n] = one
            yield chosen, found


@dataclass(frozen=True)
class _Features:
    """Inputs of a backbone -> their features: what the nodes of a cluster get."""

    folder: Path
    """With the backbone in a file."""

    def at(self, folder: Path) -> "_Features":
        """Return the same with a copy of the backbone."""
        return _Features(folder)

    def __call__(self, inputs: Sequence[Pixels]) -> list[NDArray[np.float16]]:
        """Return features in half precision, as they are stored: half as many bytes travel."""
        return list(opened(self.folder).features(np.stack(inputs)).astype(np.float16))


def _decoded(data: bytes, packed: int, size: int) -> Pixels:
    return fit(decode(data, packed), size)


def _features(backbone: Backbone, inputs: Sequence[Pixels | ImageError]) -> Found:
    """Return the features of inputs, which do not depend on how many there are."""
    return applied(lambda some: backbone.features(np.stack(some)), inputs)


def _ahead(
    blocks: Sequence[Records], inputs: Inputs
) -> Iterator[tuple[Records, list[Pixels | ImageError]]]:
    """Yield blocks of records with their inputs, decoded a few blocks ahead in threads."""
    with ThreadPoolExecutor(cores()) as pool:
        waiting: deque[tuple[Records, list[Future[Pixels | ImageError]]]] = deque()
        try:
            for block in blocks:
                waiting.append((block, [pool.submit(inputs.decoded, record) for record in block]))
                if len(waiting) > 2:
                    chosen, futures = waiting.popleft()
                    yield chosen, [future.result() for future in futures]
            while waiting:
                chosen, futures = waiting.popleft()
                yield chosen, [future.result() for future in futures]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
