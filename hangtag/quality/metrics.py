"""How good scores are, as numbers. Pure numpy: training and tagging share this module.

Everywhere `scores` is a (designs, tags) float array in 0..1 and `labels` a (designs, tags) int8
array with 1 yes, 0 no, -1 unknown. Unknown cells are left out of every figure. A figure that
nothing speaks for (no known yes, no known cell) is NaN. Arrays of the wrong shape or range raise
ValueError.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Labels = NDArray[np.int8]

# The bootstrap weighs this many resamples and cells at a time. Both were the fastest of those
# tried (4 to 256; the cells' weights then fit a processor's cache), and they bound its memory.
RESAMPLES_AT_ONCE: Final = 32
CELLS_AT_ONCE: Final = 1 << 13


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
    """Return the average precision over all known cells as if they belonged to one tag."""
    check(scores, labels)
    return _average_precision(scores.ravel(), labels.ravel())


def bootstrap_interval(
    scores: Floats,
    labels: Labels,
    groups: Sequence[str] | NDArray[Any] | None = None,
    *,
    resamples: int = 500,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Return 95 % intervals (low, high) of `macro_map` and `micro_map`, by these names.

    Tags without a yes in a resample are left out of its mean. Cost and arguments: `resample`.
    """
    drawn = resample(scores, labels, groups, resamples=resamples, seed=seed)
    return {
        "macro_map": _within(interval(drawn.macro, macro_map(scores, labels))),
        "micro_map": _within(interval(drawn.micro, micro_map(scores, labels))),
    }


class Resampled(NamedTuple):
    """Average precisions of bootstrap resamples; NaN without a yes in a resample."""

    per_tag: NDArray[np.float64]  # (tags, resamples)
    micro: NDArray[np.float64]  # (resamples,)

    @property
    def macro(self) -> NDArray[np.float64]:
        """Each resample's mean over the tags that have a yes in it, (resamples,)."""
        return _column_means(self.per_tag)


def resample(
    scores: Floats,
    labels: Labels,
    groups: Sequence[str] | NDArray[Any] | None = None,
    *,
    resamples: int = 500,
    seed: int = 0,
) -> Resampled:
    """Draw designs again with replacement (Efron and Tibshirani 1993) and measure each draw.

    With `groups`, one name per design, whole groups are drawn, since the designs of a group are no
    independent witnesses. The same seed draws the same designs, so that two models measured with
    it can be compared draw by draw.

    Every tag is sorted once; a resample only changes the designs' weights. The cost is
    designs x tags x resamples, at some 5 ns each; the memory about 50 bytes per known cell.
    """
    check(scores, labels)
    known = labels >= 0
    rankings = {
        int(tag): _rank(scores[rows, tag], labels[rows, tag], rows)
        for tag in np.flatnonzero((labels == 1).any(axis=0))
        if (rows := np.flatnonzero(known[:, tag])).size
    }
    per_tag = np.full((labels.shape[1], resamples), np.nan)
    micro = np.full(resamples, np.nan)
    if not rankings:
        return Resampled(per_tag, micro)
    everything = _rank(scores[known], labels[known], np.nonzero(known)[0])
    place = 0
    for weights in _resampled_weights(len(scores), groups, resamples, seed):
        columns = slice(place, place + weights.shape[1])
        for tag, ranking in rankings.items():
            per_tag[tag, columns] = _weighted_ap(ranking, weights)
        micro[columns] = _weighted_ap(everything, weights)
        place = columns.stop
    return Resampled(per_tag, micro)


def interval(resampled: NDArray[np.float64], estimate: float) -> tuple[float, float]:
    """Return the 95 % interval (low, high) of an estimate from its resamples, NaN without any.

    The percentiles are moved so that the resamples' mean lies on the estimate: a design drawn
    twice ties with itself, which lifts the average precision of rare tags, and the unmoved
    interval of `macro_map` held the value that test sets of this size score on average in only 46
    to 82 % of simulated cases (moved: 89 to 96 %).
    """
    resampled = resampled[~np.isnan(resampled)]
    if not len(resampled):
        return np.nan, np.nan
    low, high = np.quantile(resampled, (0.025, 0.975)) + (estimate - resampled.mean())
    return float(low), float(high)


def precision_at(scores: Floats, labels: Labels, k: int) -> float:
    """Return the mean, over designs with a known yes, of (yes among their top k tags) / k.

    Tags with an unknown label are passed over in the ranking; of equal scores the tag that comes
    first in the vocabulary wins. A design with fewer than k yes cannot reach 1.
    """
    check(scores, labels)
    if k < 1:
        raise ValueError(f"precision_at needs k of at least 1, got {k}")
    asked = (labels == 1).any(axis=1)
    labels, left = labels[asked], np.where(labels[asked] >= 0, scores[asked], -1)
    rows, hits = np.arange(len(left)), np.zeros(len(left))
    # k passes of argmax: several times faster than sorting, and ties go to the first tag.
    for _ in range(min(k, scores.shape[1])):
        top = left.argmax(axis=1)
        hits += (labels[rows, top] == 1) & (left[rows, top] >= 0)
        left[rows, top] = -1
    return _mean(hits / k)


class Counts(NamedTuple):
    """Known cells per tag, each (tags,) int64."""

    right: NDArray[np.int64]  # suggested, and a yes
    suggested: NDArray[np.int64]  # and known
    yes: NDArray[np.int64]


def count(scores: Floats, labels: Labels, thresholds: Floats | float) -> Counts:
    """Count each tag's suggestions at `thresholds` (one, or one per tag: (tags,))."""
    check(scores, labels)
    return count_chosen(scores >= thresholds, labels)


def count_chosen(chosen: NDArray[np.bool_], labels: Labels) -> Counts:
    """Count each tag's suggestions where `chosen`, (designs, tags), says which those are."""
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
    """Return the F1 over all known cells as if they belonged to one tag."""
    right, suggested, yes = (int(cells.sum()) for cells in count(scores, labels, thresholds))
    return _ratio(2 * right, suggested + yes)


def element_accuracy(scores: Floats, labels: Labels, threshold: float = 0.5) -> float:
    """Return the share of known cells on the right side of `threshold`.

    The accuracy that SageMaker's image classification reports. Read it only beside
    `tag_nothing_accuracy`.
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

    Cells fall into `bins` bins of equal width over 0..1; a bin's |mean score - share of yes|
    counts by its cells (Naeini et al. 2015, Guo et al. 2017).
    """
    check(scores, labels)
    chosen = (labels >= 0) & (scores >= above)
    values = scores[chosen].astype(np.float64)
    place = np.minimum((values * bins).astype(np.intp), bins - 1)
    gaps = np.bincount(place, values - labels[chosen], bins)
    return _ratio(float(np.abs(gaps).sum()), len(values))


def summary(
    scores: Floats, labels: Labels, chosen: NDArray[np.bool_]
) -> Iterator[tuple[str, float]]:
    """Yield (name, value) of every figure that sums a model up, the leading one first.

    `chosen` is (designs, tags): what is suggested. Costs about a second for 20,000 designs x 334
    tags; `resample` is not part of it.
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
    # Written so that NaN fails too.
    if scores.size and not (scores.min() >= 0 and scores.max() <= 1):
        raise ValueError("scores must lie in 0..1 (are these logits, or NaN?)")
    if labels.size and not (labels.min() >= -1 and labels.max() <= 1):
        raise ValueError("labels must be 1 (yes), 0 (no) or -1 (unknown)")


def _average_precision(scores: Floats, labels: Labels) -> float:
    yes = np.sort(scores[labels == 1])
    known = np.sort(scores[labels >= 0])
    hits = len(yes) - np.searchsorted(yes, yes)
    shown = len(known) - np.searchsorted(known, yes)
    return _mean(hits / shown)


class _Ranking(NamedTuple):
    """The cells of one ranking, by rising score, and where each distinct score of a yes starts."""

    rows: NDArray[np.intp]  # (cells,) the design of each cell
    starts: NDArray[np.intp]  # (steps,) into rows
    yes_rows: NDArray[np.intp]
    yes_starts: NDArray[np.intp]  # (steps,) into yes_rows


def _rank(scores: Floats, labels: Labels, rows: NDArray[np.intp]) -> _Ranking:
    order = np.argsort(scores)
    yes = order[labels[order] == 1]
    steps, yes_starts = np.unique(scores[yes], return_index=True)
    starts = np.searchsorted(scores[order], steps)
    return _Ranking(rows[order], starts, rows[yes], yes_starts)


def _weighted_ap(ranking: _Ranking, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the average precision under each column of `weights` (designs, resamples)."""
    shown = _step_sums(weights, ranking.rows, ranking.starts)
    found = _step_sums(weights, ranking.yes_rows, ranking.yes_starts)
    shown_above = np.cumsum(shown[::-1], axis=0, dtype=np.float64)
    found_above = np.cumsum(found[::-1], axis=0, dtype=np.float64)
    # Where nothing is shown nothing is found, and the step weighs nothing.
    precision = found_above / np.maximum(shown_above, 1)
    total = found_above[-1]
    area = (found[::-1] * precision).sum(axis=0)
    return np.where(total > 0, area / np.maximum(total, 1), np.nan)


def _step_sums(
    weights: NDArray[np.float32], rows: NDArray[np.intp], starts: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Add up the weights of the rows of each step: (steps, resamples)."""
    edges = np.append(starts, len(rows))
    cuts = np.unique(np.searchsorted(starts, np.arange(starts[0], len(rows), CELLS_AT_ONCE)))
    parts = []
    for first, last in pairwise([*cuts, len(starts)]):
        some = rows[edges[first] : edges[last]]
        parts.append(np.add.reduceat(weights[some], starts[first:last] - edges[first], axis=0))
    return np.concatenate(parts)


def _resampled_weights(
    designs: int, groups: Sequence[str] | NDArray[Any] | None, resamples: int, seed: int
) -> Iterator[NDArray[np.float32]]:
    """Yield blocks (designs, some resamples) of how often each design was drawn."""
    if groups is not None and len(groups) != designs:
        raise ValueError(f"{len(groups)} groups for {designs} designs")
    member = np.unique(np.arange(designs) if groups is None else groups, return_inverse=True)[1]
    size = int(member.max()) + 1
    generator = np.random.default_rng(seed)
    for start in range(0, resamples, RESAMPLES_AT_ONCE):
        some = min(RESAMPLES_AT_ONCE, resamples - start)
        draws = generator.integers(size, size=(some, size))
        draws += np.arange(len(draws))[:, None] * size
        times = np.bincount(draws.ravel(), minlength=draws.size).reshape(draws.shape)
        # Whole numbers this small are exact in float32, which adds up twice as fast.
        yield np.ascontiguousarray(times.T.astype(np.float32)[member])


def _column_means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    there = np.count_nonzero(~np.isnan(values), axis=0)
    return np.where(there > 0, np.nansum(values, axis=0) / np.maximum(there, 1), np.nan)


def _within(bounds: tuple[float, float]) -> tuple[float, float]:
    # A moved interval may reach beyond what a score can be. Written so that NaN stays NaN.
    return min(max(bounds[0], 0.0), 1.0), min(max(bounds[1], 0.0), 1.0)


def _mean(values: NDArray[np.float64]) -> float:
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
