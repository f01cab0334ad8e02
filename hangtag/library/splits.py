"""Splits without leaks: groups of near-duplicates stay whole, and rare tags are in every split."""

import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hangtag.errors import ConfigError

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.integer]
Splits = npt.NDArray[np.int8]

_SPLITS = 3  # train, validation, test
_TRIED = 64  # groups compared when a split lacks a tag


def split_groups(
    labels: Bools,
    groups: Ints,
    *,
    fractions: tuple[float, float, float],
    fixed: Ints,
    seed: int,
) -> Splits:
    """Return the split of every design: int8 (n,), 0 train, 1 validation, 2 test.

    `labels` is bool (n, tags), `groups` int (n,), `fixed` int (n,): a split, or -1 for a free
    design. `fractions` are shares of the designs, of any sum. A group stays whole and goes to the
    split that lacks most of its rarest tag: iterative stratification (Sechidis, Tsoumakas, Vlahavas
    2011) over groups. Before that, every tag that has a group for each split is put into each, as
    far as groups with several rare tags allow. Fixed designs stay where they are and are counted;
    free ones of their group follow the majority, or the earlier split on a tie. The same seed gives
    the same result. Raises ConfigError when a fraction is negative or all are zero.
    """
    shares = np.array(fractions, np.float64)
    if not (np.isfinite(shares).all() and (shares >= 0).all() and shares.any()):
        raise ConfigError(f"split {fractions}: give three shares of zero or more, as in 80/10/10")
    splits = fixed.astype(np.int8)
    _, group = np.unique(groups, return_inverse=True)
    _follow_fixed(splits, group)
    state = _Assignment(labels, group, splits, shares / shares.sum(), np.random.default_rng(seed))
    state.spread_tags()
    state.stratify()
    state.fill_up()
    free = splits < 0
    splits[free] = np.array(state.split_of, np.int8)[group[free]]
    return splits


def _follow_fixed(splits: Splits, group: Ints) -> None:
    """Put free designs into the split of most fixed ones of their group."""
    fixed = splits >= 0
    votes = np.zeros((group.max(initial=-1) + 1, _SPLITS), np.int64)
    np.add.at(votes, (group[fixed], splits[fixed]), 1)
    follow = ~fixed & (votes.sum(axis=1) > 0)[group]
    splits[follow] = votes.argmax(axis=1)[group[follow]]


class _Assignment:
    """Groups still to assign, and what each split still lacks. Lists, as single items are read."""

    def __init__(
        self, labels: Bools, group: Ints, splits: Splits, shares: Floats, rng: np.random.Generator
    ) -> None:
        self.rng = rng
        self.open = [int(split) for split in np.argsort(shares, kind="stable") if shares[split] > 0]
        free = splits < 0
        self.size: list[int] = np.bincount(
            group[free], minlength=group.max(initial=-1) + 1
        ).tolist()
        self.split_of = [-1 if size else 0 for size in self.size]
        self.room: list[float] = (
            len(splits) * shares - np.bincount(splits[~free], minlength=_SPLITS)
        ).tolist()

        row, tag = np.nonzero(labels)
        assigned = ~free[row]
        counts = np.zeros((labels.shape[1], _SPLITS), np.int64)
        np.add.at(counts, (tag[assigned], splits[row[assigned]]), 1)
        total = np.bincount(tag, minlength=labels.shape[1])
        self.wants: list[list[float]] = (total[:, None] * shares - counts).tolist()
        self.lacks: list[list[bool]] = (counts == 0).tolist()
        self._index(group[row[~assigned]], tag[~assigned], labels.shape[1])

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
        self.holders: list[list[int]] = [some.tolist() for some in np.split(group[by_tag], ends)]

    def spread_tags(self) -> None:
        """Put each tag with enough groups into every split that lacks it; the rarest first."""
        enough = [t for t, lacks in enumerate(self.lacks) if self.waiting[t] >= self._missing(t)]
        for tag in sorted(enough, key=self.waiting.__getitem__):
            for split in self.open:
                if self.lacks[tag][split] and self.waiting[tag]:
                    self._give(self._best(tag, split), split)

    def stratify(self) -> None:
        """Assign all groups with tags: by their rarest tag, to the split that lacks most of it."""
        while self.left.any():
            tag = int(np.where(self.left > 0, self.left, np.inf).argmin())
            for group in self.holders[tag]:
                if self.split_of[group] < 0:
                    self._give(group, self._keenest(group, self.wants[tag]))

    def fill_up(self) -> None:
        """Assign the groups without tags, the largest first, to the split with most room."""
        for group in self.order.tolist():
            if self.split_of[group] < 0:
                self._give(group, self._keenest(group, self.room))

    def _keenest(self, group: int, wants: list[float]) -> int:
        """Return the split with room that lacks most; else rare tags would overfill small splits.

        Ties go to the split with most room, then to a random one.
        """
        fitting = [split for split in self.open if self.size[group] <= self.room[split] + 0.5]
        chance = self.rng.random(_SPLITS)
        return max(fitting or self.open, key=lambda p: (wants[p], self.room[p], chance[p]))

    def _missing(self, tag: int) -> int:
        return sum(self.lacks[tag][split] for split in self.open)

    def _best(self, tag: int, split: int) -> int:
        """Return the waiting group with `tag` that is best for `split`: it fits and adds most tags
        per design.

        Small groups are compared first: they disturb the shares least.
        """
        waiting = (group for group in reversed(self.holders[tag]) if self.split_of[group] < 0)
        few = itertools.islice(waiting, _TRIED)
        return max(few, key=lambda g: (self.size[g] <= self.room[split], self._use(g, split)))

    def _use(self, group: int, split: int) -> float:
        """Return the tags that `split` lacks, less those it has enough of or others need more.

        In tags per design of the group.
        """
        use = 0
        for tag, designs in self._tags_of(group):
            if self.lacks[tag][split]:
                use += 1
            elif self.waiting[tag] <= self._missing(tag) or self.wants[tag][split] < designs:
                use -= 1
        return use / self.size[group]

    def _tags_of(self, group: int) -> Iterator[tuple[int, int]]:
        """Return (tag, designs) of a group."""
        held = slice(self.first[group], self.first[group + 1])
        return zip(self.tags[held], self.counts[held], strict=True)

    def _give(self, group: int, split: int) -> None:
        self.split_of[group] = split
        self.room[split] -= self.size[group]
        for tag, designs in self._tags_of(group):
            self.wants[tag][split] -= designs
            self.lacks[tag][split] = False
            self.left[tag] -= designs
            self.waiting[tag] -= 1
