"""Heads whose labels change: closed forms against heads that are fitted from scratch."""

import numpy as np
import pytest
from numpy.typing import NDArray

from hangtag.review.kernel_head import ExactHead
from hangtag.review.landmark_head import LandmarkHead
from hangtag.training import kernel
from hangtag.training.kernel import KernelSettings, solved, standardised, to_logits

WIDTHS = (12, 8)
SETTINGS = KernelSettings(WIDTHS, gamma=0.7, lam=0.2)
Floats = NDArray[np.float32]
Drawn = tuple[Floats, Floats, NDArray[np.int64]]


@pytest.fixture
def drawn() -> Drawn:
    """Features of 150 designs in 60 groups that tell something of their four tags."""
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 60, 150)
    targets = (rng.random((60, 4)) < 0.3).astype(np.float32)[groups]
    features = rng.normal(size=(150, 20)) + targets @ rng.normal(size=(4, 20)) * 2
    return features.astype(np.float32), targets, groups


def test_its_predictions_are_those_of_training(drawn: Drawn) -> None:
    features, targets, groups = drawn
    head = ExactHead(features, targets, groups, WIDTHS, SETTINGS)
    designs = standardised(
        features, features.mean(axis=0), 1 / (features.std(axis=0) + kernel.NOISE), WIDTHS
    )
    values = kernel.kernel(designs, designs, SETTINGS)
    weights, residuals, _ = solved(values, targets - targets.mean(axis=0), groups, SETTINGS.lam)
    assert np.allclose(head.weights, weights, atol=1e-4)
    assert np.allclose(head.logits([0, 1, 2, 3]), to_logits(targets - residuals), atol=1e-3)


def test_an_answer_changes_it_as_fitting_from_scratch_would(drawn: Drawn) -> None:
    features, targets, groups = drawn
    head = ExactHead(features, targets, groups, WIDTHS, SETTINGS)
    before = head.logits([0, 1, 2, 3])
    rows, rng = np.array([3, 70, 71]), np.random.default_rng(1)
    later = targets.copy()
    for column in (1, 3):
        later[rows, column] = 1 - later[rows, column]
        head.change(rows, column, later[rows, column])
    scratch = ExactHead(features, later, groups, WIDTHS, SETTINGS)
    assert np.allclose(head.weights, scratch.weights, atol=1e-4)
    assert np.allclose(head.bias, scratch.bias, atol=1e-6)
    assert np.allclose(head.logits([0, 1, 2, 3]), scratch.logits([0, 1, 2, 3]), atol=1e-3)
    assert np.abs(head.logits([1]) - before[:, [1]]).max() > 0.1
    for column in (1, 3):  # and back
        head.change(rows, column, targets[rows, column])
    assert np.allclose(head.logits([0, 1, 2, 3]), before, atol=1e-3)
    new = (rng.random(150) < 0.1).astype(np.float32)
    head.add(new)
    both = ExactHead(features, np.column_stack([targets, new]), groups, WIDTHS, SETTINGS)
    assert np.allclose(head.logits([4]), both.logits([4]), atol=1e-3)


def test_influence_is_the_change_of_all_predictions_of_other_groups(drawn: Drawn) -> None:
    features, targets, _ = drawn
    alone = np.arange(150)
    head = ExactHead(features, targets, alone, WIDTHS, SETTINGS)
    doubt = np.random.default_rng(2).random((150, 1)).astype(np.float32)
    found = head.influence(np.array([5, 90]), doubt)
    for design, influence in zip((5, 90), found[:, 0], strict=True):
        before = head.logits([2])[:, 0]
        value = head.targets[design, 2]
        head.change(np.array([design]), 2, np.array([1 - value], np.float32))
        change = np.abs(head.logits([2])[:, 0] - before) / kernel.SLOPE
        head.change(np.array([design]), 2, np.array([value], np.float32))
        others = alone != design
        expected = (change[others] * doubt[others, 0]).sum()
        assert influence == pytest.approx(expected, rel=0.1)  # the mean of the tag changes as well


def test_near_duplicates_have_no_influence_on_each_other(drawn: Drawn) -> None:
    features, targets, groups = drawn
    head = ExactHead(features, targets, groups, WIDTHS, SETTINGS)
    own = (groups == groups[0]).astype(np.float32)[:, None]
    assert head.influence(np.array([0]), own)[0, 0] == 0


def test_beyond_so_many_designs_predictions_change_with_the_next_fit(
    drawn: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "EXACT", 100)
    monkeypatch.setattr(kernel, "LANDMARKS", 90)
    features, targets, groups = drawn
    head = LandmarkHead(features, targets, groups, WIDTHS)
    before = head.logits([1]).copy()
    assert not head.stale
    rows = np.array([3, 70])
    head.change(rows, 1, 1 - targets[rows, 1])
    head.add(targets[:, 0])
    assert head.stale
    assert np.array_equal(head.logits([1]), before)
    assert np.isnan(head.logits([4])).all()
    head.refit()
    assert not head.stale
    assert not np.array_equal(head.logits([1]), before)
    assert np.allclose(head.logits([4]), head.logits([0]))
    assert (head.influence(rows, before) == 1).all()
