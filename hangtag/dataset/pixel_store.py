"""The designs of DATASET/ as network inputs, decoded once."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hangtag import __version__
from hangtag.console import note, track
from hangtag.cores import cores
from hangtag.dataset.images import Pixels, decode, fit
from hangtag.dataset.pixel_file import BLOCK, PixelFile
from hangtag.dataset.record_set import Records
from hangtag.errors import ImageError


class PixelStore:
    """The designs of one split as network inputs, decoded once: in memory, or in a file.

    `kept` (int64 (n,)) lists the records whose images can be decoded; the others are left out and
    logged: one bad image must not stop a run.
    """

    def __init__(
        self,
        records: Records,
        packed_size: int,
        size: int,
        cache_bytes: int,
        kept: NDArray[np.int64] | None = None,
        folder: Path | None = None,
    ) -> None:
        """`size`: side of an input in pixels. With `kept` given, designs are decoded on demand.

        Where they would take more than `cache_bytes` of memory, they are kept in a file in
        `folder`, from one run to the next; without a folder, or without room on its disk, they are
        decoded anew each time.
        """
        self.records = records
        self.packed_size = packed_size
        self.size = size
        self._memory: Pixels | None = None
        self._file: PixelFile | None = None
        if kept is not None:
            self.kept = kept
            return
        if len(records) * size * size * 4 <= cache_bytes:
            self._memory = np.empty((len(records), size, size, 4), np.uint8)
        elif folder is not None:
            self._file = self._file_in(folder)
        self.kept = self._decode_all()

    def __len__(self) -> int:
        return len(self.kept)

    @property
    def cached_bytes(self) -> int:
        """How much memory the decoded designs take; 0 when they are not kept in it."""
        return 0 if self._memory is None else self._memory.nbytes

    def inputs(self, positions: Sequence[int] | NDArray[np.integer]) -> Pixels:
        """Return uint8 (n, size, size, 4), premultiplied; `positions` count the kept records."""
        records = self.kept[np.asarray(positions)]
        if self._memory is not None:
            found: Pixels = self._memory[records]
            return found
        if self._file is not None:
            return self._file.read(records)
        return np.stack([self._input(int(record)) for record in records])

    def _input(self, record: int) -> Pixels:
        return fit(decode(self.records[record].data, self.packed_size), self.size)

    def _file_in(self, folder: Path) -> PixelFile | None:
        path = self.records.path
        key = f"trim {self.packed_size} {self.size} {self.records.stamp} {__version__}"
        name = f"{path.stem}-{self.size}.pixels"
        file = PixelFile(folder / name, len(self.records), self.size, key)
        if file.has_room():
            return file
        gib = len(self.records) * self.size**2 * 4 / 2**30
        note(f"{folder} has too little space for {gib:.1f} GiB of pixels: training will be slower")
        return None

    def _decode_all(self) -> NDArray[np.int64]:
        if self._file is not None:
            bad = self._file.fill(self._decoded)
        else:
            bad = []
            for record, pixels in enumerate(self._decoded(0)):
                if pixels is None:
                    bad.append(record)
                elif self._memory is not None:
                    self._memory[record] = pixels
        if bad:
            named = ", ".join(map(str, bad[:5])) + (", ..." if len(bad) > 5 else "")
            note(f"{self.records.path}: left out {len(bad)} unreadable images: {named}")
        return np.setdiff1d(np.arange(len(self.records)), bad)

    def _decoded(self, first: int) -> Iterator[Pixels | None]:
        """Yield the inputs of the records from `first` on; None for one that cannot be decoded."""
        total = len(self.records)
        if first < total:
            yield from track(self._decoded_ahead(first), "decoding", total=total, done=first)

    def _decoded_ahead(self, first: int) -> Iterator[Pixels | None]:
        total = len(self.records)
        with ThreadPoolExecutor(cores()) as pool:
            for start in range(first, total, BLOCK):
                yield from pool.map(self._if_readable, range(start, min(total, start + BLOCK)))

    def _if_readable(self, record: int) -> Pixels | None:
        try:
            return self._input(record)
        except ImageError:
            return None
