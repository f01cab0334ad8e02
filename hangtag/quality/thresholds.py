"""The score from which each tag is suggested, and from which it can be applied automatically, both
fitted on validation designs.

`labels` are (designs, tags) int8 with 1 yes, 0 no, -1 unknown (left out). Where tags are missing,
thresholds let fewer suggestions through than complete labels would.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from hangtag.library.statistics import wilson_bound
from hangtag.library.vocabulary import Vocabulary
from hangtag.quality.calibration import fit_calibration
from hangtag.quality.metrics import Labels, check
from hangtag.tagging.calibration import Array, Floats, expit, with_implied

# A tag's own best threshold is weighted by its known yes, the shared one by this many. Of 10, 20,
# 50 and 100 the weight with the highest held-out macro and micro F1 together: 0.002 and 0.006 above
# the shared threshold alone, over five models of three libraries. Own thresholds alone lost 40 % of
# micro F1.
SHARED_WEIGHT: Final = 100

# Applied tags are right this often, with a one-sided confidence of 90 %.
APPLY_PRECISION: Final = 0.95
CONFIDENCE_Z: Final = 1.2816

# The precision of all tags at a score counts as this many designs of each tag: of 0 to 200 the
# weight with the most applied tags among those with a precision well above 0.95 on every held-out
# set.
APPLY_WEIGHT: Final = 100
APPLY_FEWEST: Final = 3

# Candidates from 0.001 to 0.999, evenly spaced in logits.
LOGITS: Final = np.linspace(-7, 7, 281)


def fitted(vocabulary: Vocabulary, logits: Floats, labels: Labels) -> Vocabulary:
    """Return the vocabulary with calibration and both thresholds, fitted on held-out designs.

    `logits` is (designs, tags) float in the vocabulary's order, `labels` as above. Raises
    ValueError on wrong shapes or logits that are not finite.
    """
    calibration = fit_calibration(logits, labels)
    scores = with_implied(calibration.apply(logits), vocabulary.implied)
    suggest = fit_thresholds(scores, labels)
    apply = fit_apply_thresholds(scores, labels, suggest)
    return replace(
        vocabulary,
        tags=tuple(
            replace(
                tag,
                threshold=float(suggest[n]),
                apply_threshold=None if np.isnan(apply[n]) else float(apply[n]),
                calibration=(float(calibration.slope[n]), float(calibration.intercept[n])),
            )
            for n, tag in enumerate(vocabulary.tags)
        ),
    )


def fit_thresholds(scores: Floats, labels: Labels) -> Array:
    """Return the score from which each tag is suggested: (tags,) float64, in 0.001..0.999.

    `scores` is (designs, tags) float in 0..1, `labels` as above. A tag's own threshold is the one
    with the best F1 (of several, the one nearest to the shared one). It is averaged, in logits,
    with the shared threshold, the one with the best macro F1 for all tags: the weights are the
    tag's known yes and 100. A tag without a known yes gets the shared threshold; when no tag has
    one, all get 0.5. Raises ValueError on wrong shapes or ranges.
    """
    check(scores, labels)
    yes = np.count_nonzero(labels == 1, axis=0)
    if not yes.any():
        return np.full(scores.shape[1], 0.5)
    curves = _f1_curves(scores, labels)
    mean = curves[yes > 0].mean(axis=0)
    best = np.flatnonzero(mean == mean.max())
    shared = LOGITS[best[len(best) // 2]]
    near = np.where(curves == curves.max(axis=1, keepdims=True), -np.abs(LOGITS - shared), -np.inf)
    own = LOGITS[near.argmax(axis=1)]
    return expit((yes * own + SHARED_WEIGHT * shared) / (yes + SHARED_WEIGHT))


def fit_apply_thresholds(scores: Floats, labels: Labels, suggest: Array) -> Array:
    """Return the score from which each tag can be applied automatically, (tags,) float64.

    NaN where it cannot. `scores` is (designs, tags) float in 0..1, calibrated, `labels` as above,
    `suggest`, (tags,), the scores from which they are suggested. The threshold is the lowest
    candidate, not below `suggest`, from which the tag is right at least 95 times in 100 with 90 %
    confidence, by the lower Wilson bound (Wilson 1927) of the share of yes among the known designs
    at or above it. A tag's own designs alone could hardly ever show that (it takes 31 without one
    mistake), so they are pooled with APPLY_WEIGHT designs that have the precision of all tags at
    the same score. A tag with fewer than APPLY_FEWEST known yes there has no threshold. Raises
    ValueError on wrong shapes or ranges.
    """
    check(scores, labels)
    suggested, right = _counts_above(scores, labels)
    shared = right.sum(axis=0) / np.maximum(suggested.sum(axis=0), 1)
    bound = wilson_bound(right + APPLY_WEIGHT * shared, suggested + APPLY_WEIGHT, CONFIDENCE_Z)
    # The bound must hold at every higher candidate too: luck at one score is no threshold.
    holds = np.logical_and.accumulate(((bound >= APPLY_PRECISION) | (suggested == 0))[:, ::-1], 1)
    # The bound pools all scores above it: with an easy tag, confident hits would carry it down to
    # scores at which nothing is right any more, and which are not even suggested.
    least = np.searchsorted(expit(LOGITS), suggest)
    first = np.maximum(LOGITS.size - holds.sum(axis=1), least)
    index = np.minimum(first, LOGITS.size - 1)
    enough = np.take_along_axis(right, index[:, None], 1)[:, 0] >= APPLY_FEWEST
    return np.where((first < LOGITS.size) & enough, expit(LOGITS)[index], np.nan)


def _counts_above(scores: Floats, labels: Labels) -> tuple[Array, Array]:
    """Count the known cells, and the yes, at or above each candidate: (tags, candidates) each."""
    candidates, suggested, right = expit(LOGITS), [], []
    for values, answers in zip(scores.T, labels.T, strict=True):
        yes, known = np.sort(values[answers == 1]), np.sort(values[answers >= 0])
        right.append(len(yes) - np.searchsorted(yes, candidates))
        suggested.append(len(known) - np.searchsorted(known, candidates))
    shape = (len(suggested), LOGITS.size)
    return (
        np.array(suggested, np.float64).reshape(shape),
        np.array(right, np.float64).reshape(shape),
    )


def _f1_curves(scores: Floats, labels: Labels) -> Array:
    """Return each tag's F1 at each candidate threshold, (tags, candidates)."""
    suggested, right = _counts_above(scores, labels)
    yes = np.count_nonzero(labels == 1, axis=0)[:, None]
    curves: Array = 2 * right / np.maximum(suggested + yes, 1)
    return curves
