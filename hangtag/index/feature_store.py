"""Features of designs on disk, found again by the content of the design.

A store is a folder of two files that only grow: a row of features for each design, and the digest
of the design's bytes. Whatever is packed anew, a design that was seen before is not computed again.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hangtag.storage.files import atomic_path, write_text
from hangtag.storage.locks import one_at_a_time
from hangtag.storage.mapping import release

DIGEST_BYTES: Final = 16
_DIGESTS, _ABOUT = "digests.bin", "about.json"
_ROWS: Final = {np.dtype(np.float16): "features.f16", np.dtype(np.uint8): "features.u8"}

# What a store holds: features in half precision, or rows of bytes (packed_rows).
Stored = np.float16 | np.uint8


def digest_of(data: bytes) -> bytes:
    """Return what identifies the bytes of a design, DIGEST_BYTES long."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()


class Rows:
    """Rows of a store, read when they are asked for: like a float32 array (n, F)."""

    def __init__(self, stored: NDArray[np.float16], positions: NDArray[np.int64]) -> None:
        self._stored, self._positions = stored, positions

    def __len__(self) -> int:
        return len(self._positions)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, F)."""
        return len(self), self._stored.shape[1]

    def __getitem__(self, chosen: Any) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self._stored[self._positions[chosen]].astype(np.float32)
        release(self._stored)  # or all rows would be in memory after one pass
        return found


class FeatureStore:
    """One backbone's features at one input size. One process writes at a time: lock the folder."""

    def __init__(
        self, folder: Path, width: int, about: dict[str, Any], dtype: type[Stored] = np.float16
    ) -> None:
        """Open or make the store. `about` says, for people, what the features were made with.

        Its rows are `width` wide, of float16 or uint8.
        """
        self.folder, self.width, self._dtype = folder, width, np.dtype(dtype)
        self._rows = folder / _ROWS[self._dtype]
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / _ABOUT).exists():
            write_text(folder / _ABOUT, json.dumps(about, indent=2) + "\n")
        for path in (self._rows, folder / _DIGESTS):
            if not path.exists():
                path.touch()
        self._digests = self._whole()
        self._row = {digest: row for row, digest in enumerate(self._digests)}

    def __len__(self) -> int:
        return len(self._digests)

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._row

    def positions(self, digests: Sequence[bytes]) -> NDArray[np.int64]:
        """Return the row of each digest, (n,). Raises KeyError for one that is not stored."""
        return np.array([self._row[digest] for digest in digests], np.int64)

    def stored(self) -> NDArray[Any]:
        """Return all rows, (N, width), memory-mapped; NaN for a design that is unreadable."""
        if not len(self):
            return np.zeros((0, self.width), self._dtype)
        return np.memmap(self._rows, self._dtype, "r", shape=(len(self), self.width))

    def append(self, digests: Sequence[bytes], rows: NDArray[Any]) -> None:
        """Add designs, rows (n, width); they are on disk when this returns."""
        _append(self._rows, rows.astype(self._dtype).tobytes())
        _append(self.folder / _DIGESTS, b"".join(digests))
        for digest in digests:
            self._row[digest] = len(self._digests)
            self._digests.append(digest)

    def drop_unused(self, used: set[bytes]) -> None:
        """Write the store anew without designs that are not in `used`, if they are the most."""
        kept = [digest for digest in self._digests if digest in used]
        if 2 * len(kept) >= len(self):
            return
        rows = self.stored()[self.positions(kept)]
        # Without digests the rows say nothing: a kill in between costs the features, no more.
        (self.folder / _DIGESTS).unlink()
        digests = self.folder / _DIGESTS
        for path, data in ((self._rows, rows.tobytes()), (digests, b"".join(kept))):
            with atomic_path(path) as temporary:
                temporary.write_bytes(data)
        self._digests, self._row = kept, {digest: row for row, digest in enumerate(kept)}

    def _whole(self) -> list[bytes]:
        """Return the digests of the rows that are whole; cut off what a kill left behind them."""
        rows, digests = self._rows, self.folder / _DIGESTS
        size = self._dtype.itemsize * self.width
        count = min(rows.stat().st_size // size, digests.stat().st_size // DIGEST_BYTES)
        for path, length in ((rows, count * size), (digests, count * DIGEST_BYTES)):
            if path.stat().st_size != length:
                os.truncate(path, length)
        data = digests.read_bytes()
        return [data[n : n + DIGEST_BYTES] for n in range(0, len(data), DIGEST_BYTES)]


@contextmanager
def opened_store(
    kept: Path, width: int, about: dict[str, Any], dtype: type[Stored] = np.float16
) -> Iterator[FeatureStore]:
    """Open the store in the folder `kept` whose features are made as `about` says.

    Others that want the same store wait until the block ends.
    """
    name = hashlib.sha256(repr(about).encode()).hexdigest()[:16]
    kept.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(kept / f".{name}.lock", kept / name):
        yield FeatureStore(kept / name, width, about, dtype)


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
