"""A kernel head that one answer changes in closed form: every design is a landmark. Numpy only.

It is linear in the labels. With A = K + lambda I, a label that changes by d at design i changes a
tag's weights by d (A^-1 e_i - A^-1 1 / n), the second term by the tag's mean; what the other groups
then predict for every design follows from the weights and the blocks of A^-1 alone
(hangtag/training/kernel.py). Memory: n^2 float32, 144 MB for 6,000 designs.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hangtag.training.kernel import (
    Floats,
    KernelSettings,
    Rows,
    Standardised,
    choose_settings,
    grouped,
    kernel,
    ridge_inverse,
    to_logits,
)


class _Blocks(NamedTuple):
    """All groups of one size s: G of them."""

    members: NDArray[np.int64]
    """(G, s), positions of their designs."""

    blocks: Floats
    """(G, s, s), the inverses of their blocks of A^-1."""


class ExactHead:
    """A kernel ridge regression of T tags on n designs, each of which is a landmark."""

    stale: bool = False
    """Whether predictions lag behind the labels."""

    def __init__(
        self,
        rows: Rows,
        targets: Floats,
        groups: NDArray[np.int64],
        widths: Sequence[int],
        settings: KernelSettings | None = None,
    ) -> None:
        """`rows`: (n, F) features, in parts of `widths`; `targets`: (n, T), 1 yes, 0 no; `groups`:
        (n,), near-duplicates share a number.

        gamma and lambda are chosen as in training, unless `settings` are given. Takes seconds for
        6,000 designs.
        """
        parts, rng = tuple(widths), np.random.default_rng(0)
        judges = (targets > 0.5).astype(np.int8)
        designs = Standardised(rows, parts)
        self.settings = settings or choose_settings(designs, judges, groups, parts, rng)
        landmarks = designs[:]
        values = kernel(landmarks, landmarks, self.settings)
        self.inverse = ridge_inverse(values, self.settings.lam)
        del values
        self._diagonal = np.diag(self.inverse).copy()
        self._of_mean: Floats = self.inverse.sum(axis=1) / np.float32(len(targets))
        self._members = _members(groups)
        self._blocks = _blocks(self.inverse, self._members)
        self.targets = targets.copy()
        self.bias: Floats = targets.mean(axis=0, dtype=np.float64).astype(np.float32)
        self.weights: Floats = self.inverse @ (targets - self.bias)

    def change(self, designs: NDArray[np.int64], column: int, targets: Floats) -> None:
        """Set a tag's targets, (k,), of distinct designs, (k,)."""
        deltas = targets - self.targets[designs, column]
        self.targets[designs, column] = targets
        self.weights[:, column] += self.inverse[:, designs] @ deltas
        self.weights[:, column] -= self._of_mean * deltas.sum()
        self.bias[column] += deltas.sum() / len(self.targets)

    def add(self, targets: Floats) -> None:
        """Add a tag with its targets, (n,), as the last column."""
        centred = targets - targets.mean()
        self.targets = np.column_stack([self.targets, targets])
        self.weights = np.column_stack([self.weights, self.inverse @ centred])
        self.bias = np.append(self.bias, targets.mean())

    def refit(self) -> None:
        """Do nothing: every change is exact."""

    def logits(self, columns: Sequence[int]) -> Floats:
        """Return what the other groups predict for every design, (n, len(columns))."""
        weights = self.weights[:, columns]
        residuals: Floats = weights / self._diagonal[:, None]
        for members, blocks in self._blocks:
            residuals[members] = np.einsum("gij,gjt->git", blocks, weights[members])
        found: Floats = to_logits(self.targets[:, columns] - residuals)
        return found

    def influence(self, designs: NDArray[np.int64], doubt: Floats) -> Floats:
        """Return how much a label of each design changes what is in doubt, (k, T).

        `doubt`: (n, T), how much a change of a prediction counts. The change of every other group's
        prediction, by the weights alone (near-duplicates share theirs), is summed up.
        """
        counted = doubt / self._diagonal[:, None]
        rows = np.abs(self.inverse[designs])
        for row, design in zip(rows, designs.tolist(), strict=True):
            row[self._members[design]] = 0
        found: Floats = rows @ counted
        return found


def _members(groups: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return, for every design, the designs of its group."""
    found = [np.empty(0, np.int64)] * len(groups)
    for members in grouped(groups):
        for design in members.tolist():
            found[design] = members
    return found


def _blocks(inverse: Floats, members_of: list[NDArray[np.int64]]) -> list[_Blocks]:
    """Return the groups of more than one design, by their size."""
    by_size: dict[int, list[NDArray[np.int64]]] = {}
    for design, members in enumerate(members_of):
        if len(members) > 1 and members[0] == design:
            by_size.setdefault(len(members), []).append(members)
    found = []
    for same in by_size.values():
        members = np.stack(same)
        blocks = inverse[members[:, :, None], members[:, None, :]].astype(np.float64)
        found.append(_Blocks(members, np.linalg.inv(blocks).astype(np.float32)))
    return found
