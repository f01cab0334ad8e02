"""A design of an index in one row of bytes: features, fingerprint and colours. Numpy only.

A feature takes one byte: where its value lies between the least and the greatest of its part of
the row, in 255 steps. benchmarks/feature_bytes.py compares this with other ways.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hangtag.index.parts import LEAST, Floats, part_slices
from hangtag.library.colours import NAMES
from hangtag.library.fingerprints import FINGERPRINT_BYTES

Bytes = NDArray[np.uint8]

STEPS: Final = 255
_HALF: Final = 2  # bytes of a float16


class PackedRows:
    """Where what lies in rows of bytes, for features in parts of `widths`."""

    def __init__(self, widths: Sequence[int]) -> None:
        self.widths = tuple(widths)
        self._parts = part_slices(self.widths)
        ends = np.cumsum([
            sum(self.widths), 2 * _HALF * len(self.widths), FINGERPRINT_BYTES, _HALF * len(NAMES),
        ]).tolist()  # fmt: skip
        starts = [0, *ends[:-1]]
        self._codes, self._bounds, self._prints, self._colours = map(slice, starts, ends)
        self.size: int = ends[-1]
        """Bytes of a row."""

    def packed(self, features: Floats, prints: Bytes, colours: Floats) -> Bytes:
        """Return rows, (n, size), of features, (n, F), fingerprints and colours.

        Features that are NaN mark a design that cannot be read.
        """
        rows = np.zeros((len(features), self.size), np.uint8)
        good = np.isfinite(features[:, 0])
        bounds = np.full((len(features), 2, len(self.widths)), np.nan, np.float16)
        for n, part in enumerate(self._parts):
            values = features[good, part]
            least, most = (of(values, axis=1).astype(np.float16) for of in (np.min, np.max))
            bounds[good, 0, n], bounds[good, 1, n] = least, most
            span = np.maximum((most - least).astype(np.float32), LEAST)[:, None]
            places = np.clip((values - least.astype(np.float32)[:, None]) / span, 0, 1)
            rows[good, part] = np.rint(places * STEPS)
        rows[:, self._bounds] = _bytes(bounds.reshape(len(bounds), 2 * len(self.widths)))
        rows[:, self._prints] = prints
        rows[:, self._colours] = _bytes(colours.astype(np.float16))
        return rows

    def features(self, rows: Bytes) -> Floats:
        """Return the features in rows, float32 (n, F); NaN for a design that cannot be read."""
        found = rows[:, self._codes].astype(np.float32)
        bounds = self._halves(rows, self._bounds).reshape(len(rows), 2, len(self.widths))
        for n, part in enumerate(self._parts):
            least, most = bounds[:, 0, n, None], bounds[:, 1, n, None]
            found[:, part] *= (most - least) / STEPS
            found[:, part] += least
        return found

    def readable(self, rows: Bytes) -> NDArray[np.bool_]:
        """Return which designs can be read, (n,)."""
        return np.isfinite(self._halves(rows, self._bounds)[:, 0])

    def prints(self, rows: Bytes) -> Bytes:
        """Return the fingerprints in rows, (n, FINGERPRINT_BYTES)."""
        return np.ascontiguousarray(rows[:, self._prints])

    def colours(self, rows: Bytes) -> Floats:
        """Return the shares of colours in rows, (n, 12)."""
        return self._halves(rows, self._colours)

    def _halves(self, rows: Bytes, columns: slice) -> Floats:
        found: Floats = np.ascontiguousarray(rows[:, columns]).view(np.float16).astype(np.float32)
        return found


class PackedFeatures:
    """Features in rows of a store, unpacked when they are asked for: like a float32 array."""

    def __init__(self, stored: Bytes, positions: NDArray[np.int64], widths: Sequence[int]) -> None:
        """`stored`: (N, size), may be memory-mapped; `positions`: (n,), rows of it."""
        self._stored, self._positions, self._layout = stored, positions, PackedRows(widths)

    def __len__(self) -> int:
        return len(self._positions)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, F)."""
        return len(self), sum(self._layout.widths)

    def __getitem__(self, chosen: Any) -> Floats:
        return self._layout.features(self._stored[self._positions[chosen]])


def _bytes(values: NDArray[np.float16]) -> Bytes:
    return np.ascontiguousarray(values).view(np.uint8)
