"""Leak-free splits: groups of near doubles go whole, and rare tags reach every part.

`fingerprint`, `near_doubles` and `merge_groups` make the groups; `split_groups` deals them out.
"""

import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hangtag.errors import ConfigError
from hangtag.library.fingerprints import fingerprint
from hangtag.library.near_duplicates import merge_groups, near_doubles

__all__ = ["fingerprint", "merge_groups", "near_doubles", "split_groups"]

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.integer]
Parts = npt.NDArray[np.int8]

_PARTS = 3
_TRIED = 64  # groups weighed against each other when a part lacks a tag


def split_groups(
    labels: Bools,
    groups: Ints,
    *,
    fractions: tuple[float, float, float],
    fixed: Ints,
    seed: int,
) -> Parts:
    """Return the part of every design: int8 (n,), 0 train, 1 validation, 2 test.

    `labels` is bool (n, tags), `groups` int (n,), `fixed` int (n,): a part, or -1 for a free one.
    `fractions` are shares of the designs, of any sum. A group goes whole, to the part that wants
    its rarest tag most: iterative stratification (Sechidis, Tsoumakas, Vlahavas 2011) over groups.
    Before that, every tag that has a group for each part is put into each, as far as groups that
    hold several rare tags allow. Fixed designs stay and count as dealt; free ones of their group
    follow the majority, or the earlier part on a tie. The same seed gives the same split. Raises
    ConfigError when a fraction is negative or all are zero.
    """
    shares = np.array(fractions, np.float64)
    if not (np.isfinite(shares).all() and (shares >= 0).all() and shares.any()):
        raise ConfigError(f"split {fractions}: give three shares of zero or more, as in 80/10/10")
    parts = fixed.astype(np.int8)
    _, group = np.unique(groups, return_inverse=True)
    _follow_fixed(parts, group)
    deal = _Deal(labels, group, parts, shares / shares.sum(), np.random.default_rng(seed))
    deal.spread_tags()
    deal.stratify()
    deal.fill_up()
    free = parts < 0
    parts[free] = np.array(deal.part, np.int8)[group[free]]
    return parts


def _follow_fixed(parts: Parts, group: Ints) -> None:
    """Put free designs where most of the fixed ones of their group are."""
    fixed = parts >= 0
    votes = np.zeros((group.max(initial=-1) + 1, _PARTS), np.int64)
    np.add.at(votes, (group[fixed], parts[fixed]), 1)
    follow = ~fixed & (votes.sum(axis=1) > 0)[group]
    parts[follow] = votes.argmax(axis=1)[group[follow]]


class _Deal:
    """Groups on one side, what each part still wants on the other. Lists: read item by item."""

    def __init__(
        self, labels: Bools, group: Ints, parts: Parts, shares: Floats, rng: np.random.Generator
    ) -> None:
        self.rng = rng
        self.open = [int(part) for part in np.argsort(shares, kind="stable") if shares[part] > 0]
        free = parts < 0
        self.size: list[int] = np.bincount(
            group[free], minlength=group.max(initial=-1) + 1
        ).tolist()
        self.part = [-1 if size else 0 for size in self.size]
        self.room: list[float] = (
            len(parts) * shares - np.bincount(parts[~free], minlength=_PARTS)
        ).tolist()

        row, tag = np.nonzero(labels)
        dealt = ~free[row]
        given = np.zeros((labels.shape[1], _PARTS), np.int64)
        np.add.at(given, (tag[dealt], parts[row[dealt]]), 1)
        total = np.bincount(tag, minlength=labels.shape[1])
        self.wants: list[list[float]] = (total[:, None] * shares - given).tolist()
        self.lacks: list[list[bool]] = (given == 0).tolist()
        self._index(group[row[~dealt]], tag[~dealt], labels.shape[1])

    def _index(self, group: Ints, tag: Ints, tags: int) -> None:
        """List the tags of each group, and the groups of each tag, the largest first."""
        pair, count = np.unique(group.astype(np.int64) * max(tags, 1) + tag, return_counts=True)
        group, tag = np.divmod(pair, max(tags, 1))
        self.first: list[int] = np.searchsorted(group, np.arange(len(self.size) + 1)).tolist()
        self.tags: list[int] = tag.tolist()
        self.counts: list[int] = count.tolist()
        self.left = np.bincount(tag, count, tags)  # designs in waiting groups
        self.waiting: list[int] = np.bincount(tag, minlength=tags).tolist()  # groups
        shuffled = self.rng.permutation(len(self.size))
        self.order = shuffled[np.argsort(-np.array(self.size)[shuffled], kind="stable")]
        rank = np.empty_like(self.order)
        rank[self.order] = np.arange(len(rank))
        by_tag = np.lexsort((rank[group], tag))
        ends = np.cumsum(self.waiting)[:-1]
        self.holders: list[list[int]] = [part.tolist() for part in np.split(group[by_tag], ends)]

    def spread_tags(self) -> None:
        """Put each tag into every part that lacks it, where it has the groups; the rarest first."""
        enough = [t for t, lacks in enumerate(self.lacks) if self.waiting[t] >= self._missing(t)]
        for tag in sorted(enough, key=self.waiting.__getitem__):
            for part in self.open:
                if self.lacks[tag][part] and self.waiting[tag]:
                    self._give(self._best(tag, part), part)

    def stratify(self) -> None:
        """Deal all groups that hold tags: by their rarest tag, to the part that wants it most."""
        while self.left.any():
            tag = int(np.where(self.left > 0, self.left, np.inf).argmin())
            for group in self.holders[tag]:
                if self.part[group] < 0:
                    self._give(group, self._keenest(group, self.wants[tag]))

    def fill_up(self) -> None:
        """Deal the groups without tags, the largest first, to the part with most room."""
        for group in self.order.tolist():
            if self.part[group] < 0:
                self._give(group, self._keenest(group, self.room))

    def _keenest(self, group: int, wants: list[float]) -> int:
        """Return the part that wants most, of those with room: rare tags would overfill the small.

        Ties go to the part with most room, then to chance.
        """
        fitting = [part for part in self.open if self.size[group] <= self.room[part] + 0.5]
        chance = self.rng.random(_PARTS)
        return max(fitting or self.open, key=lambda p: (wants[p], self.room[p], chance[p]))

    def _missing(self, tag: int) -> int:
        return sum(self.lacks[tag][part] for part in self.open)

    def _best(self, tag: int, part: int) -> int:
        """Return the waiting group with `tag` that serves `part` best: fits, brings most a design.

        Small ones are looked at first: what is put here for a tag's sake upsets the shares least.
        """
        waiting = (group for group in reversed(self.holders[tag]) if self.part[group] < 0)
        few = itertools.islice(waiting, _TRIED)
        return max(few, key=lambda g: (self.size[g] <= self.room[part], self._use(g, part)))

    def _use(self, group: int, part: int) -> float:
        """Count the tags that `part` lacks, less those it has plenty of or others need more.

        In tags a design of the group.
        """
        use = 0
        for tag, designs in self._tags_of(group):
            if self.lacks[tag][part]:
                use += 1
            elif self.waiting[tag] <= self._missing(tag) or self.wants[tag][part] < designs:
                use -= 1
        return use / self.size[group]

    def _tags_of(self, group: int) -> Iterator[tuple[int, int]]:
        """Return (tag, designs) of a group."""
        held = slice(self.first[group], self.first[group + 1])
        return zip(self.tags[held], self.counts[held], strict=True)

    def _give(self, group: int, part: int) -> None:
        self.part[group] = part
        self.room[part] -= self.size[group]
        for tag, designs in self._tags_of(group):
            self.wants[tag][part] -= designs
            self.lacks[tag][part] = False
            self.left[tag] -= designs
            self.waiting[tag] -= 1
