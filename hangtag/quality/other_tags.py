"""How likely a tag is, given a model's score, the design's other tags and the tags of its group.

Arrays are (n, T): n designs, T tags. `scores` are in 0..1, of models that have not seen the
design; `labels` are int8 with 1 yes, 0 no, -1 unknown.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hangtag.quality.metrics import Floats, Labels
from hangtag.tagging.calibration import expit, logit

# Folds of whole groups, each predicted by the tags of the others. Of 3, 5, 10 and 20 none was
# clearly better on openclipart.
FOLDS: Final = 10
# Scores below count as this: what a kernel head says of most tags is noise around 0. Of 0.003 to
# 0.03 none was clearly better.
LEAST_SCORE: Final = 0.01
# A tag's mean score is averaged with that of all tags, as of so many designs.
SHARED_WEIGHT: Final = 5
# The ridge on the tags' covariance, which regularises the regression of a tag on the others. Of
# 0.003, 0.01 and 0.03 on openclipart none was clearly better.
RIDGE: Final = 0.01
# Designs that the final regression is fitted on and applied to at a time: five weights need no
# more, and all cells of a large library would not fit into memory.
BLOCK: Final = 10_000


def with_other_tags(
    scores: Floats, labels: Labels, groups: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the scores corrected by the design's other tags and its group's; NaN stays NaN.

    An image may leave open what its other tags settle: an icon of a theme whose every other icon
    is tagged `computer`. A logistic regression over all cells combines the logits of four
    probabilities: the score, the tag regressed on the design's other tags, the tag's share in the
    design's group, and the mean score of the designs that have the tag, as a low score means little
    for a tag that images hardly show. `groups`, (n,), numbers each design's group.
    """
    yes = (labels == 1).astype(np.float32)
    folds = _folds(groups)
    if len(np.unique(folds)) == 1:  # no other group to learn from
        return scores.astype(np.float64)
    expected = _by_other_tags(yes, folds)
    share = _by_group(np.clip(expected, 0, 1), yes, groups)
    cells = _Cells(scores, expected, share, _recognised(scores, yes))
    some = np.random.default_rng(0).permutation(len(yes))[:BLOCK]
    weights = _logistic_regression(cells.columns(some), yes[some][cells.known(some)])
    likely = np.full(scores.shape, np.nan)
    for rows in np.array_split(np.arange(len(yes)), -(-len(yes) // BLOCK)):
        block = likely[rows[0] : rows[-1] + 1]
        block[cells.known(rows)] = expit(cells.columns(rows) @ weights)
    return likely


def _folds(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a fold for every design, (n,): groups are dealt out at random."""
    numbers, inverse = np.unique(groups, return_inverse=True)
    dealt: NDArray[np.int64] = np.random.default_rng(0).permutation(len(numbers)) % FOLDS
    return dealt[inverse]


class _Cells:
    """Four probabilities of every cell, as the columns of a regression."""

    def __init__(
        self,
        scores: Floats,
        by_tags: NDArray[np.float32],
        by_group: NDArray[np.float32],
        recognised: NDArray[np.float64],
    ) -> None:
        self.scores, self.by_tags, self.by_group = scores, by_tags, by_group
        self.recognised = logit(recognised, LEAST_SCORE)

    def known(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return which cells of these rows have a score."""
        return ~np.isnan(self.scores[rows])

    def columns(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return an intercept and four logits of these rows' known cells, (cells, 5)."""
        known = self.known(rows)
        logits = [logit(self.scores[rows][known], LEAST_SCORE)]
        logits += [logit(p[rows][known], 1e-3) for p in (self.by_tags, self.by_group)]
        logits.append(np.broadcast_to(self.recognised, known.shape)[known])
        return np.stack((np.ones(len(logits[0])), *logits), axis=1)


def _recognised(scores: Floats, yes: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean score of the designs that have a tag, (T,), drawn to that of all tags."""
    known = ~np.isnan(scores).any(axis=1)
    total = np.einsum("nt,nt->t", scores[known], yes[known], dtype=np.float64)
    count = yes[known].sum(axis=0, dtype=np.float64)
    shared = total.sum() / max(count.sum(), 1)
    means: NDArray[np.float64] = (total + SHARED_WEIGHT * shared) / (count + SHARED_WEIGHT)
    return means


def _by_other_tags(yes: NDArray[np.float32], folds: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return each tag as its linear regression on the design's other tags predicts it.

    Fitted on the designs of the other folds, by the inverse of the tags' covariance: its row,
    divided by the diagonal, holds the coefficients of the regression of that tag on all others.
    """
    expected = np.empty_like(yes)
    # Of zeros and ones, and so exact up to 2^24 designs.
    counts, pairs = yes.sum(axis=0, dtype=np.float64), (yes.T @ yes).astype(np.float64)
    for fold in np.unique(folds):
        left_out = folds == fold
        own = yes[left_out]
        designs = len(yes) - len(own)
        mean = (counts - own.sum(axis=0)) / designs
        covariance = (pairs - own.T @ own) / designs - np.outer(mean, mean)
        inverse = np.linalg.inv(covariance + RIDGE * np.eye(len(mean)))
        coefficients = -inverse / np.diag(inverse)
        np.fill_diagonal(coefficients, 0)
        expected[left_out] = mean + (own - mean) @ coefficients
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
