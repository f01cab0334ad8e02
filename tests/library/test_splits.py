"""Splits: groups stay whole, rare tags are in every split, shares and fixed rows are kept."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hangtag.errors import ConfigError
from hangtag.library.splits import split_groups

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
SHARES = (0.8, 0.1, 0.1)


def library(designs: int, tags: int, seed: int = 0) -> tuple[Bools, Ints]:
    """Draw labels with a long tail of rare tags, and groups of one to a few designs."""
    rng = np.random.default_rng(seed)
    odds = 1 / np.arange(1, tags + 1)
    labels = np.zeros((designs, tags), bool)
    row = np.repeat(np.arange(designs), rng.poisson(4, designs))
    labels[row, rng.choice(tags, len(row), p=odds / odds.sum())] = True
    return labels, rng.integers(0, designs * 2 // 3, designs)


def free(designs: int) -> Ints:
    return np.full(designs, -1)


def straddling(groups: Ints, splits: NDArray[np.int8]) -> int:
    """Count groups that are in several splits."""
    pairs = np.unique(np.stack([groups, splits.astype(np.int64)]), axis=1)
    return int((np.unique(pairs[0], return_counts=True)[1] > 1).sum())


def test_groups_stay_whole_and_the_shares_are_met() -> None:
    labels, groups = library(5000, 300)
    splits = split_groups(labels, groups, fractions=SHARES, fixed=free(5000), seed=0)
    assert splits.dtype == np.int8
    assert straddling(groups, splits) == 0
    assert np.bincount(splits) / 5000 == pytest.approx(SHARES, abs=0.01)


def test_every_tag_with_three_groups_is_in_every_split() -> None:
    labels, groups = library(5000, 300)
    splits = split_groups(labels, groups, fractions=SHARES, fixed=free(5000), seed=0)
    enough = [tag for tag in range(300) if len(np.unique(groups[labels[:, tag]])) >= 3]
    rare = [tag for tag in enough if len(np.unique(groups[labels[:, tag]])) < 20]
    assert len(rare) > 20
    for tag in enough:
        assert set(splits[labels[:, tag]]) == {0, 1, 2}


def test_a_tag_with_exactly_three_groups_is_in_every_split_beside_common_tags() -> None:
    labels, groups = library(600, 5, seed=3)
    for tag in range(20):
        rare = np.zeros(600, bool)
        rare[np.isin(groups, np.unique(groups)[3 * tag : 3 * tag + 3])] = True
        labels = np.column_stack([labels, rare])
    splits = split_groups(labels, groups, fractions=SHARES, fixed=free(600), seed=1)
    for tag in range(5, 25):
        assert set(splits[labels[:, tag]]) == {0, 1, 2}


def test_frequent_tags_keep_their_shares_better_than_by_chance() -> None:
    labels, groups = library(4000, 60)
    frequent = labels.sum(axis=0) >= 100

    def error(splits: NDArray[np.int8]) -> float:
        counts = np.stack([labels[splits == split].sum(axis=0) for split in range(3)])
        shares = counts[:, frequent] / labels[:, frequent].sum(axis=0)
        return float(np.abs(shares - np.array(SHARES)[:, None]).mean())

    by_chance = np.random.default_rng(0).choice(3, groups.max() + 1, p=SHARES)[groups]
    dealt = split_groups(labels, groups, fractions=SHARES, fixed=free(4000), seed=0)
    assert error(dealt) < error(by_chance.astype(np.int8)) / 2


def test_the_seed_decides() -> None:
    labels, groups = library(800, 40)
    first, again, other = (
        split_groups(labels, groups, fractions=SHARES, fixed=free(800), seed=seed)
        for seed in (7, 7, 8)
    )
    assert (first == again).all()
    assert (first != other).any()


def test_untagged_designs_are_spread_by_size() -> None:
    labels = np.zeros((1000, 3), bool)
    groups = np.arange(1000) // 2
    splits = split_groups(labels, groups, fractions=(60, 20, 20), fixed=free(1000), seed=0)
    assert np.bincount(splits).tolist() == [600, 200, 200]
    no_tags = np.zeros((1000, 0), bool)
    splits = split_groups(no_tags, groups, fractions=(60, 20, 20), fixed=free(1000), seed=0)
    assert np.bincount(splits).tolist() == [600, 200, 200]


def test_untagged_designs_make_up_for_what_rare_tags_took() -> None:
    labels = np.zeros((400, 40), bool)
    labels[np.arange(120), np.arange(120) // 3] = True  # 40 tags, three designs each
    splits = split_groups(labels, np.arange(400), fractions=SHARES, fixed=free(400), seed=0)
    assert np.bincount(splits[:120]).tolist() == [40, 40, 40]
    assert np.bincount(splits).tolist() == [320, 40, 40]


def test_a_part_without_a_share_stays_empty() -> None:
    labels, groups = library(1000, 30)
    splits = split_groups(labels, groups, fractions=(0.9, 0.1, 0), fixed=free(1000), seed=0)
    assert np.bincount(splits, minlength=3) / 1000 == pytest.approx((0.9, 0.1, 0), abs=0.01)
    for tag in range(30):
        if len(np.unique(groups[labels[:, tag]])) >= 2:
            assert set(splits[labels[:, tag]]) == {0, 1}


def test_fixed_designs_stay_and_their_group_follows() -> None:
    labels = np.zeros((10, 1), bool)
    groups = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 3])
    fixed = np.array([1, -1, -1, 2, 2, -1, 0, 1, -1, -1])
    splits = split_groups(labels, groups, fractions=SHARES, fixed=fixed, seed=0)
    assert splits[:9].tolist() == [1, 1, 1, 2, 2, 2, 0, 1, 0]


def test_fixed_designs_count_as_dealt() -> None:
    labels, _ = library(1000, 20)
    fixed = free(1000)
    fixed[:100] = 1  # validation has its share already
    splits = split_groups(labels, np.arange(1000), fractions=SHARES, fixed=fixed, seed=0)
    assert (splits[:100] == 1).all()
    assert np.bincount(splits).tolist() == [800, 100, 100]


def test_a_catalog_that_is_split_already_is_left_as_it_is() -> None:
    labels, groups = library(300, 10)
    fixed = np.arange(300) % 2
    splits = split_groups(labels, groups, fractions=SHARES, fixed=fixed, seed=0)
    assert (splits == fixed).all()


def test_a_group_larger_than_a_part_goes_to_train() -> None:
    labels = np.ones((1000, 1), bool)
    groups = np.maximum(np.arange(1000) - 400, 0)
    splits = split_groups(labels, groups, fractions=SHARES, fixed=free(1000), seed=0)
    assert (splits[groups == 0] == 0).all()
    assert np.bincount(splits).tolist() == [800, 100, 100]


@pytest.mark.parametrize("fractions", [(0, 0, 0), (1, -1, 1), (float("nan"), 1, 1)])
def test_impossible_shares_are_named(fractions: tuple[float, float, float]) -> None:
    with pytest.raises(ConfigError, match="80/10/10"):
        split_groups(
            np.zeros((2, 1), bool), np.arange(2), fractions=fractions, fixed=free(2), seed=0
        )


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_comes_groups_stay_whole_and_fixed_designs_stay(data: st.DataObject) -> None:
    designs = data.draw(st.integers(0, 40))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    labels = rng.random((designs, data.draw(st.integers(0, 6)))) < 0.3
    groups = rng.integers(0, 12, designs)
    part_of_group = rng.integers(-1, 3, 12)
    fixed = np.where(rng.random(designs) < 0.3, part_of_group[groups], -1)
    splits = split_groups(labels, groups, fractions=(3, 1, 1), fixed=fixed, seed=0)
    assert splits.shape == (designs,)
    assert ((splits >= 0) & (splits < 3)).all()
    assert (splits[fixed >= 0] == fixed[fixed >= 0]).all()
    assert straddling(groups, splits) == 0
