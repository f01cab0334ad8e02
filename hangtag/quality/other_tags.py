"""How likely a tag is, given a model's score, the design's other tags and the tags of its group.

Arrays are (n, T): n designs, T tags. `scores` are calibrated, `labels` int8 with 1 yes, 0 no, -1
unknown.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hangtag.quality.metrics import Floats, Labels
from hangtag.tagging.calibration import expit, logit

# The ridge on the tags' covariance, which regularises the regression of a tag on the others. Of
# 0.003, 0.01 and 0.03 on openclipart none was clearly better.
RIDGE: Final = 0.01
# Designs that the final regression is fitted on and applied to at a time: four weights need no
# more, and all cells of a large library would not fit into memory.
BLOCK: Final = 10_000


def with_other_tags(
    scores: Floats, labels: Labels, folds: NDArray[np.int64], groups: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the scores corrected by the design's other tags and its group's; NaN stays NaN.

    An image may leave open what its other tags settle: an icon of a theme whose every other icon
    is tagged `computer`. A logistic regression over all cells combines the logits of three
    probabilities: the score, the tag regressed on the design's other tags, and the tag's share in
    the design's group. `folds` and `groups`, (n,), number each design's fold and group.
    """
    yes = (labels == 1).astype(np.float32)
    if len(np.unique(folds)) == 1:  # no other fold to learn from
        return scores.astype(np.float64)
    expected = _by_other_tags(yes, folds)
    share = _by_group(np.clip(expected, 0, 1), yes, groups)
    cells = _Cells(scores, expected, share)
    some = np.random.default_rng(0).permutation(len(yes))[:BLOCK]
    weights = _logistic_regression(cells.columns(some), yes[some][cells.known(some)])
    likely = np.full(scores.shape, np.nan)
    for rows in np.array_split(np.arange(len(yes)), -(-len(yes) // BLOCK)):
        block = likely[rows[0] : rows[-1] + 1]
        block[cells.known(rows)] = expit(cells.columns(rows) @ weights)
    return likely


class _Cells:
    """Three probabilities of every cell, as the columns of a regression."""

    def __init__(
        self, scores: Floats, by_tags: NDArray[np.float32], by_group: NDArray[np.float32]
    ) -> None:
        self.scores, self.by_tags, self.by_group = scores, by_tags, by_group

    def known(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return which cells of these rows have a score."""
        return ~np.isnan(self.scores[rows])

    def columns(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return an intercept and three logits of these rows' known cells, (cells, 4)."""
        known = self.known(rows)
        logits = [logit(self.scores[rows][known])]
        logits += [logit(p[rows][known], 1e-3) for p in (self.by_tags, self.by_group)]
        return np.stack((np.ones(len(logits[0])), *logits), axis=1)


def _by_other_tags(yes: NDArray[np.float32], folds: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return each tag as its linear regression on the design's other tags predicts it.

    Fitted on the designs of the other folds, by the inverse of the tags' covariance: its row,
    divided by the diagonal, holds the coefficients of the regression of that tag on all others.
    """
    expected = np.empty_like(yes)
    for fold in np.unique(folds):
        fitted = folds != fold
        mean = yes[fitted].mean(axis=0)
        centred = yes[fitted] - mean
        covariance = (centred.T @ centred / len(centred)).astype(np.float64)
        inverse = np.linalg.inv(covariance + RIDGE * np.eye(len(mean)))
        coefficients = -inverse / np.diag(inverse)
        np.fill_diagonal(coefficients, 0)
        expected[~fitted] = mean + (yes[~fitted] - mean) @ coefficients
    return expected


def _by_group(
    expected: NDArray[np.float32], yes: NDArray[np.float32], groups: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the share of a design's group, itself left out, that has each tag.

    `expected` counts as one more observation, and is all there is for a design without a group.
    """
    sums = np.zeros((groups.max() + 1, yes.shape[1]), np.float32)
    np.add.at(sums, groups, yes)
    size = np.bincount(groups)[groups][:, np.newaxis].astype(np.float32)
    return (sums[groups] - yes + expected) / size


def _logistic_regression(
    columns: NDArray[np.float64], yes: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Fit the weights of `columns`, (cells, k), by Newton's method with a slight ridge."""
    weights = np.zeros(columns.shape[1])
    for _ in range(50):
        expected = expit(columns @ weights)
        gradient = columns.T @ (expected - yes) + 1e-3 * weights
        hessian = (columns * (expected * (1 - expected))[:, np.newaxis]).T @ columns
        step = np.linalg.solve(hessian + 1e-3 * np.eye(len(weights)), gradient)
        weights -= step
        if np.abs(step).max() < 1e-8:
            break
    return weights
