"""The nearest of many vectors, exactly, by bounds that leave few to compare. Numpy only.

The leading dimensions hold most of a vector's energy. Their product with a query, plus that of the
lengths of the two remainders, is at least the whole product (Cauchy-Schwarz): only rows whose bound
reaches the k-th best product need be read whole.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hangtag.index.parts import Floats

LEADING: Final = 64
# What rounding to half precision and the order of a sum may change in a product.
ROUNDING: Final = 1e-3
BLOCK: Final = 1 << 14
SEGMENT: Final = 256


class Nearest:
    """Searches n vectors of length one. Thread-safe."""

    def __init__(self, vectors: NDArray[np.float16]) -> None:
        """`vectors`: (n, D), may be memory-mapped; 4 * min(D, 64) bytes of each are kept."""
        self._vectors = vectors
        count, width = vectors.shape
        self._leading = np.empty((count, min(width, LEADING)), np.float32)
        self._rest = np.empty(count, np.float32)
        for start in range(0, count, BLOCK):
            block = slice(start, start + BLOCK)
            self._leading[block] = vectors[block, :LEADING]
            # The rest is not read: with the leading part it has a length of one.
            squares = np.square(self._leading[block]).sum(axis=1)
            self._rest[block] = np.sqrt(np.maximum(1 - squares, 0) + 2 * ROUNDING)

    def __len__(self) -> int:
        return len(self._rest)

    def find(self, query: Floats, count: int) -> tuple[NDArray[np.int64], Floats]:
        """Return the `count` rows with the largest product with a query, (D,), and the products.

        The best comes first; of equal ones that with the smaller row.
        """
        count = min(count, len(self))
        if not count:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        bounds = self._leading @ query[:LEADING]
        bounds += self._rest * np.float32(np.linalg.norm(query[LEADING:]))
        first = _largest(bounds, count)
        least = self._products(first, query).min() - ROUNDING
        rows = np.flatnonzero(bounds >= least)
        products = self._products(rows, query)
        best = np.lexsort((rows, -products))[:count]
        return rows[best], products[best]

    def _products(self, rows: NDArray[np.int64], query: Floats) -> Floats:
        found = np.empty(len(rows), np.float32)
        for start in range(0, len(rows), BLOCK):
            block = slice(start, start + BLOCK)
            found[block] = self._vectors[rows[block]].astype(np.float32) @ query
        return found


def _largest(values: Floats, count: int) -> NDArray[np.int64]:
    """Return `count` positions, nearly those of the largest of (n,) values.

    They only set a bar, so they need not be the very largest: of many values those in the segments
    with the largest maxima are looked at, in a tenth of the time of a partition of all.
    """
    size = min(SEGMENT, len(values) // (2 * count))
    if size > 1:
        whole = len(values) // size * size
        maxima = values[:whole].reshape(-1, size).max(axis=1)
        some = np.argpartition(maxima, len(maxima) - count)[len(maxima) - count :]
        near = (some[:, None] * size + np.arange(size)).ravel()
    else:
        near = np.arange(len(values))
    best: NDArray[np.int64] = near[np.argpartition(values[near], len(near) - count)[-count:]]
    return best
