"""A kernel head for more designs than can all be landmarks: fitted anew after answers."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hangtag.training.kernel import Floats, Rows, fit


class LandmarkHead:
    """As ExactHead, but predictions stay the earlier ones until `refit`, which takes minutes."""

    def __init__(
        self, rows: Rows, targets: Floats, groups: NDArray[np.int64], widths: Sequence[int]
    ) -> None:
        """As ExactHead; a target up to 0.5 counts as 0."""
        self._rows, self._groups, self._widths = rows, groups, tuple(widths)
        self.targets = targets.copy()
        self._logits: Floats = self._predicted()
        self.stale = False
        """Whether predictions lag behind the labels."""

    def change(self, designs: NDArray[np.int64], column: int, targets: Floats) -> None:
        """Set a tag's targets, (k,), of distinct designs, (k,)."""
        self.targets[designs, column] = targets
        self.stale = True

    def add(self, targets: Floats) -> None:
        """Add a tag with its targets, (n,), as the last column; NaN are its logits for now."""
        self.targets = np.column_stack([self.targets, targets])
        unknown = np.full(len(targets), np.nan, np.float32)
        self._logits = np.column_stack([self._logits, unknown])
        self.stale = True

    def refit(self) -> None:
        """Fit the head to the targets as they are now."""
        self._logits, self.stale = self._predicted(), False

    def logits(self, columns: Sequence[int]) -> Floats:
        """Return what the other groups predicted for every design, (n, len(columns))."""
        return self._logits[:, columns]

    def influence(self, designs: NDArray[np.int64], doubt: Floats) -> Floats:
        """Return 1 for each design and tag, (k, T): it takes the inverse over all designs."""
        return np.ones((len(designs), doubt.shape[1]), np.float32)

    def _predicted(self) -> Floats:
        labels = (self.targets > 0.5).astype(np.int8)
        return fit(self._rows, labels, self._groups, self._widths).logits
