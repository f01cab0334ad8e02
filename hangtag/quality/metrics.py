"""Metrics of multi-label scores. Pure numpy.

Everywhere `scores` is a (designs, tags) float array in 0..1 and `labels` a (designs, tags) int8
array with 1 yes, 0 no, -1 unknown. Unknown cells are left out of every metric. A metric without
data (no known yes, no known cell) is NaN. Arrays of the wrong shape or range raise ValueError.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Labels = NDArray[np.int8]


def average_precision(scores: Floats, labels: Labels) -> NDArray[np.float64]:
    """Return each tag's average precision: (tags,) float64, NaN for a tag without a known yes.

    The step-wise area under the precision-recall curve, with equal scores as one step, which is
    what scikit-learn's `average_precision_score` computes. It equals the mean, over the designs
    that have the tag, of the precision among all designs that score at least as high.
    """
    check(scores, labels)
    columns = zip(np.ascontiguousarray(scores.T), np.ascontiguousarray(labels.T), strict=True)
    return np.array([_average_precision(*column) for column in columns], np.float64)


def macro_map(scores: Floats, labels: Labels) -> float:
    """Return the mean of the tags' average precisions, over the tags that have a known yes."""
    return _mean(average_precision(scores, labels))


def micro_map(scores: Floats, labels: Labels) -> float:
    """Return the average precision over all known cells pooled as one tag."""
    check(scores, labels)
    return _average_precision(scores.ravel(), labels.ravel())


def precision_at(scores: Floats, labels: Labels, k: int) -> float:
    """Return the mean, over designs with a known yes, of (yes among their top k tags) / k.

    The ranking skips tags with an unknown label; among equal scores the tag that comes first in
    the vocabulary wins. A design with fewer than k yes cannot reach 1.
    """
    check(scores, labels)
    if k < 1:
        raise ValueError(f"precision_at needs k of at least 1, got {k}")
    counted = (labels == 1).any(axis=1)
    labels, left = labels[counted], np.where(labels[counted] >= 0, scores[counted], -1)
    rows, hits = np.arange(len(left)), np.zeros(len(left))
    # k passes of argmax: several times faster than sorting, and ties go to the first tag.
    for _ in range(min(k, scores.shape[1])):
        top = left.argmax(axis=1)
        hits += (labels[rows, top] == 1) & (left[rows, top] >= 0)
        left[rows, top] = -1
    return _mean(hits / k)


class Counts(NamedTuple):
    """Known cells per tag, each (tags,) int64."""

    right: NDArray[np.int64]
    """Suggested, and a yes."""

    suggested: NDArray[np.int64]
    yes: NDArray[np.int64]


def count(scores: Floats, labels: Labels, thresholds: Floats | float) -> Counts:
    """Count each tag's suggestions at `thresholds` (one, or one per tag: (tags,))."""
    check(scores, labels)
    return count_chosen(scores >= thresholds, labels)


def count_chosen(chosen: NDArray[np.bool_], labels: Labels) -> Counts:
    """Count each tag's suggestions, given as a mask `chosen`, (designs, tags)."""
    suggested, yes = chosen & (labels >= 0), labels == 1
    cells = (suggested & yes, suggested, yes)
    return Counts(*(np.count_nonzero(cell, axis=0).astype(np.int64) for cell in cells))


def precision(counts: Counts) -> float:
    """Return the share of all suggestions that are right."""
    return _ratio(int(counts.right.sum()), int(counts.suggested.sum()))


def recall(counts: Counts) -> float:
    """Return the share of all known yes that were suggested."""
    return _ratio(int(counts.right.sum()), int(counts.yes.sum()))


def f1_per_tag(counts: Counts) -> NDArray[np.float64]:
    """Return each tag's F1, (tags,) float64, NaN for a tag without a known yes."""
    right, suggested, yes = counts
    return np.where(yes > 0, 2 * right / np.maximum(suggested + yes, 1), np.nan)


def macro_f1(scores: Floats, labels: Labels, thresholds: Floats | float) -> float:
    """Return the mean of the tags' F1, over the tags that have a known yes."""
    return _mean(f1_per_tag(count(scores, labels, thresholds)))


def micro_f1(scores: Floats, labels: Labels, thresholds: Floats | float) -> float:
    """Return the F1 over all known cells pooled as one tag."""
    right, suggested, yes = (int(cells.sum()) for cells in count(scores, labels, thresholds))
    return _ratio(2 * right, suggested + yes)


def element_accuracy(scores: Floats, labels: Labels, threshold: float = 0.5) -> float:
    """Return the share of known cells on the correct side of `threshold`.

    This is the accuracy that SageMaker's image classification reports. It means little without
    `tag_nothing_accuracy` beside it.
    """
    check(scores, labels)
    right = ((scores >= threshold) == labels) & (labels >= 0)
    return _ratio(int(np.count_nonzero(right)), int(np.count_nonzero(labels >= 0)))


def tag_nothing_accuracy(labels: Labels) -> float:
    """Return the share of known cells that are a no: the accuracy of suggesting nothing."""
    return _ratio(int(np.count_nonzero(labels == 0)), int(np.count_nonzero(labels >= 0)))


def expected_calibration_error(
    scores: Floats, labels: Labels, bins: int = 15, above: float = 0.0
) -> float:
    """Return the mean distance between score and share of yes, over known cells >= `above`.

    Cells fall into `bins` bins of equal width over 0..1; each bin's |mean score - share of yes|
    is weighted by its cells (Naeini et al. 2015, Guo et al. 2017).
    """
    check(scores, labels)
    chosen = (labels >= 0) & (scores >= above)
    values = scores[chosen].astype(np.float64)
    bin_of = np.minimum((values * bins).astype(np.intp), bins - 1)
    gaps = np.bincount(bin_of, values - labels[chosen], bins)
    return _ratio(float(np.abs(gaps).sum()), len(values))


def summary(
    scores: Floats, labels: Labels, chosen: NDArray[np.bool_]
) -> Iterator[tuple[str, float]]:
    """Yield (name, value) of every metric that summarises a model, macro mAP first.

    `chosen`, (designs, tags), is what the model suggests. Takes about a second for 20,000 designs
    and 334 tags; the bootstrap is not part of it.
    """
    yield "macro_map", macro_map(scores, labels)
    yield "micro_map", micro_map(scores, labels)
    for k in (1, 3, 5):
        yield f"precision_at_{k}", precision_at(scores, labels, k)
    counts = count_chosen(chosen, labels)
    right, suggested, yes = (int(values.sum()) for values in counts)
    yield "macro_f1", _mean(f1_per_tag(counts))
    yield "micro_f1", _ratio(2 * right, suggested + yes)
    yield "micro_precision", precision(counts)
    yield "micro_recall", recall(counts)
    yield "accuracy", element_accuracy(scores, labels)
    yield "tag_nothing_accuracy", tag_nothing_accuracy(labels)
    yield "calibration_error", expected_calibration_error(scores, labels)
    yield "calibration_error_above_0.1", expected_calibration_error(scores, labels, above=0.1)
    yield "designs", scores.shape[0]
    yield "tags", scores.shape[1]
    yield "tags_with_yes", int(np.count_nonzero(counts.yes))


def check(scores: Floats, labels: Labels) -> None:
    """Raise ValueError unless both are (designs, tags), scores in 0..1 and labels in -1..1."""
    if scores.ndim != 2 or scores.shape != labels.shape:
        raise ValueError(
            f"scores and labels must both be (designs, tags), got {scores.shape}, {labels.shape}"
        )
    # NaN fails this comparison too.
    if scores.size and not (scores.min() >= 0 and scores.max() <= 1):
        raise ValueError("scores must be in 0..1 (are these logits, or NaN?)")
    if labels.size and not (labels.min() >= -1 and labels.max() <= 1):
        raise ValueError("labels must be 1 (yes), 0 (no) or -1 (unknown)")


def _average_precision(scores: Floats, labels: Labels) -> float:
    yes = np.sort(scores[labels == 1])
    known = np.sort(scores[labels >= 0])
    hits = len(yes) - np.searchsorted(yes, yes)
    shown = len(known) - np.searchsorted(known, yes)
    return _mean(hits / shown)


def _mean(values: NDArray[np.float64]) -> float:
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
