"""The designs of DATASET/ as network inputs, decoded once while memory allows."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from hangtag.console import note, track
from hangtag.cores import cores
from hangtag.dataset.images import Pixels, decode, fit
from hangtag.dataset.recordio import RecordReader
from hangtag.errors import ImageError


class PixelStore:
    """The designs of one split as network inputs, decoded once while memory allows.

    `kept` (int64 (n,)) lists the records whose images can be decoded; the others are left out and
    logged: one bad image must not stop a run.
    """

    def __init__(
        self,
        records: RecordReader,
        packed_size: int,
        size: int,
        cache_bytes: int,
        kept: NDArray[np.int64] | None = None,
    ) -> None:
        """`size`: side of an input in pixels. With `kept` given, designs are decoded on demand."""
        self.records = records
        self.packed_size = packed_size
        self.size = size
        self._cache: Pixels | None = None
        if kept is None and len(records) * size * size * 4 <= cache_bytes:
            self._cache = np.empty((len(records), size, size, 4), np.uint8)
        self.kept = self._decode_all() if kept is None else kept

    def __len__(self) -> int:
        return len(self.kept)

    @property
    def cached_bytes(self) -> int:
        """How much memory the decoded designs take; 0 when they are decoded anew each time."""
        return 0 if self._cache is None else self._cache.nbytes

    def inputs(self, positions: Sequence[int] | NDArray[np.integer]) -> Pixels:
        """Return uint8 (n, size, size, 4), premultiplied; `positions` count the kept records."""
        records = self.kept[np.asarray(positions)]
        if self._cache is not None:
            found: Pixels = self._cache[records]
            return found
        return np.stack([self._input(int(record)) for record in records])

    def _input(self, record: int) -> Pixels:
        return fit(decode(self.records[record].data, self.packed_size), self.size)

    def _decode_all(self) -> NDArray[np.int64]:
        with ThreadPoolExecutor(cores()) as pool:
            total = len(self.records)
            decoded = track(pool.map(self._decodes, range(total)), "decoding", total=total)
            bad = [record for record, good in enumerate(decoded) if not good]
        if bad:
            named = ", ".join(map(str, bad[:5])) + (", ..." if len(bad) > 5 else "")
            note(f"{self.records.path}: left out {len(bad)} unreadable images: {named}")
        return np.setdiff1d(np.arange(total), bad)

    def _decodes(self, record: int) -> bool:
        try:
            pixels = self._input(record)
        except ImageError:
            return False
        if self._cache is not None:
            self._cache[record] = pixels
        return True
