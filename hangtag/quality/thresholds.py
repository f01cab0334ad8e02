"""Calibrated scores and per-tag thresholds, fitted on validation. Pure numpy: training and tagging
share this module.

`labels` are (designs, tags) int8 with 1 yes, 0 no, -1 unknown (left out). Where people left tags
out, some of the "no" are wrong: then a calibrated score says how often a person *tagged*, which is
less than how often the tag is right, and thresholds let fewer suggestions through than complete
labels would.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from hangtag.library.vocabulary import Vocabulary
from hangtag.quality.metrics import Floats, Labels, check

Array = NDArray[np.float64]
Cell = TypeVar("Cell", bound=np.generic)

# How far one tag's map may stray from the shared one: standard deviations of the Gaussian prior
# on its slope and on its intercept, on the shared map's logits, taken where the shared score is
# expit(CENTRE), 0.05. Of 21 settings one of six that lowered the held-out log loss of all of five
# models of three libraries below the shared map's; maps without a prior had a far higher one.
SLOPE_SPREAD: Final = 0.1
INTERCEPT_SPREAD: Final = 0.25
CENTRE: Final = -3.0

# Scores of a useful model rise with the logit, and a positive slope keeps every ranking as it is.
LOWEST_SLOPE: Final = 0.05

# From about 25 known yes on, a fitted map beat the raw scores in every one of 36 draws; below,
# some draws gave maps that were far worse.
FEWEST_CELLS: Final = 30

# A tag's own best threshold counts by its known yes, the shared one by this many. Of 10, 20, 50 and
# 100 the weight with the highest held-out macro and micro F1 together: 0.002 and 0.006 above the
# shared threshold's over five models of three libraries. Own ones alone cost 40 % of micro F1.
SHARED_WEIGHT: Final = 100

# Applied tags are right this often, with a one-sided confidence of 90 %.
APPLY_PRECISION: Final = 0.95
CONFIDENCE_Z: Final = 1.2816

# What all tags show at a score counts as this many designs of each tag: of 0 to 200 the weight with
# the most applied tags among those whose precision was well above 0.95 on every held-out part.
APPLY_WEIGHT: Final = 100
APPLY_FEWEST: Final = 3

# The share of wrong tags that is expected of a tag of average frequency before anything is looked
# at; mistakes fall on all tags alike, so a rare tag has a larger share of them.
WRONG: Final = 0.05

# Cells that are fitted at a time, which bounds the memory to some 200 MB.
BLOCK: Final = 1 << 22

# Candidates from 0.001 to 0.999, evenly spaced in logits.
LOGITS: Final = np.linspace(-7, 7, 281)


class Calibrated(Protocol):
    """A tag as it stands in tags.json."""

    @property
    def calibration(self) -> tuple[float, float] | None:
        """Slope and intercept, or None before anything was fitted."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """The map from a tag's logit to its score, expit(slope * logit + intercept)."""

    slope: Array
    """(tags,) float64, above 0."""

    intercept: Array
    """(tags,) float64."""

    @classmethod
    def identity(cls, tags: int) -> "Calibration":
        """Return the map that leaves the network's own probabilities as they are."""
        return cls(np.ones(tags), np.zeros(tags))

    @classmethod
    def of(cls, tags: Iterable[Calibrated]) -> "Calibration":
        """Return the map that the tags of a vocabulary carry; identity for those without."""
        pairs = [tag.calibration or (1.0, 0.0) for tag in tags]
        slope, intercept = np.array(pairs, np.float64).reshape(-1, 2).T
        return cls(slope, intercept)

    def apply(self, logits: Floats) -> Floats:
        """Return scores in 0..1 for (n, tags) logits, in the dtype of the logits."""
        scores = expit(logits.astype(np.float64) * self.slope + self.intercept)
        return scores.astype(logits.dtype)


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


def with_implied(cells: NDArray[Cell], implied: Sequence[Sequence[int]]) -> NDArray[Cell]:
    """Return (n, tags) scores in which a tag scores at least as high as all that imply it.

    Of yes and no, bool, a tag is yes where one is that implies it. `implied` names, for every
    column, the columns that follow from it.
    """
    raised = cells.copy()
    for column, others in enumerate(implied):
        for other in others:
            raised[:, other] = np.maximum(raised[:, other], cells[:, column])
    return raised


def fit_calibration(logits: Floats, labels: Labels) -> Calibration:
    """Fit Platt scaling per tag, each tag's map drawn towards one that all tags share.

    `logits` is (designs, tags) float, `labels` as above. First one slope and intercept for all
    tags (Platt 1999), then a deviation per tag with a Gaussian prior: a tag with few known yes
    keeps the shared map, one with hundreds gets its own. Slopes stay positive, so that no ranking
    and no average precision changes. Identity when fewer than 30 known yes or no are there.
    Raises ValueError on wrong shapes or logits that are not finite.
    """
    if logits.ndim != 2 or logits.shape != labels.shape or not np.isfinite(logits).all():
        raise ValueError(
            f"logits must be finite, (designs, tags) like the labels, got {logits.shape}, "
            f"{labels.shape}"
        )
    if min(np.count_nonzero(labels == 1), np.count_nonzero(labels == 0)) < FEWEST_CELLS:
        return Calibration.identity(logits.shape[1])
    # Two numbers need no more than a few million cells.
    some = slice(None, None, 1 + logits.size // BLOCK)
    column = logits[some].reshape(-1, 1), labels[some].reshape(-1, 1)
    shared = _fit_platt(*column, _Prior(slope_spread=1.0, intercept_spread=3.0, centre=0.0))
    prior = _Prior(SLOPE_SPREAD, INTERCEPT_SPREAD, CENTRE)
    width = max(1, BLOCK // len(logits))
    own = []
    for start in range(0, logits.shape[1], width):
        tags = slice(start, start + width)
        mapped = logits[:, tags] * shared.slope + shared.intercept
        own.append(_fit_platt(mapped, labels[:, tags], prior))
    slope = np.concatenate([part.slope for part in own])
    intercept = np.concatenate([part.intercept for part in own])
    return Calibration(slope * shared.slope, slope * shared.intercept + intercept)


def fit_thresholds(scores: Floats, labels: Labels) -> Array:
    """Return the score from which each tag is suggested: (tags,) float64, in 0.001..0.999.

    `scores` is (designs, tags) float in 0..1, `labels` as above. A tag's own threshold is the one
    of best F1; it is averaged, in logits, with the one threshold of best macro F1 that all tags
    could share: weights are the tag's known yes and 100. Of equals, the own threshold nearest to
    the shared one counts. A tag without a known yes gets the shared threshold; when no tag has
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
    """Return the score from which each tag can be applied unasked: (tags,) float64, NaN for none.

    `scores` is (designs, tags) float in 0..1, calibrated, `labels` as above, `suggest` (tags,) the
    scores from which they are suggested. It is the lowest candidate from `suggest` on from which on
    the tag is right at least 95 times in 100, with 90 % confidence: the lower Wilson bound (Wilson
    1927) of the share of yes among the known designs at or above it. A tag's own designs alone
    could hardly ever show that (it takes 31 without one mistake), so they count together with
    APPLY_WEIGHT designs of all tags at the same score or above. A tag of which fewer than
    APPLY_FEWEST known yes lie there has no threshold. Raises ValueError on wrong shapes or ranges.
    """
    check(scores, labels)
    suggested, right = _counts_above(scores, labels)
    shared = right.sum(axis=0) / np.maximum(suggested.sum(axis=0), 1)
    bound = _wilson_bound(right + APPLY_WEIGHT * shared, suggested + APPLY_WEIGHT)
    # From this candidate on, and not only at it: a stroke of luck at one score is no threshold.
    holds = np.logical_and.accumulate(((bound >= APPLY_PRECISION) | (suggested == 0))[:, ::-1], 1)
    # A bound is about all that lies above it: of an easy tag, sure hits would carry it down to
    # scores at which nothing is right any more, and which are not even suggested.
    least = np.searchsorted(expit(LOGITS), suggest)
    first = np.maximum(LOGITS.size - holds.sum(axis=1), least)
    inside = np.minimum(first, LOGITS.size - 1)
    enough = np.take_along_axis(right, inside[:, None], 1)[:, 0] >= APPLY_FEWEST
    return np.where((first < LOGITS.size) & enough, expit(LOGITS)[inside], np.nan)


def _wilson_bound(right: Array, shown: Array) -> Array:
    """Return the one-sided lower confidence bound of right / shown; `shown` above 0."""
    share, z2 = right / shown, CONFIDENCE_Z**2
    spread = CONFIDENCE_Z * np.sqrt(share * (1 - share) / shown + z2 / (4 * shown**2))
    bound: Array = (share + z2 / (2 * shown) - spread) / (1 + z2 / shown)
    return bound


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


class _Prior(NamedTuple):
    """A map is probably near the identity: its slope is 1, and it takes `centre` to `centre`."""

    slope_spread: float
    intercept_spread: float
    centre: float


def _fit_platt(logits: Floats, labels: Labels, prior: _Prior) -> Calibration:
    """Fit slope and intercept of every column at once: Newton, steps halved that overshoot."""
    x = logits.astype(np.float64) - prior.centre
    known, yes = labels >= 0, labels == 1
    expected = np.array([[1.0], [prior.centre]])
    tightness = np.array([[prior.slope_spread], [prior.intercept_spread]]) ** -2.0

    def loss(maps: Array) -> Array:
        z = maps[0] * x + maps[1]
        misfit = np.where(known, np.logaddexp(0, z) - yes * z, 0).sum(axis=0)
        total: Array = misfit + (tightness * (maps - expected) ** 2).sum(axis=0) / 2
        return total

    maps = np.repeat(expected, x.shape[1], axis=1)
    reach, now = np.ones(x.shape[1]), loss(maps)
    for _ in range(100):
        scores = expit(maps[0] * x + maps[1])
        residual, weight = (scores - yes) * known, scores * (1 - scores) * known
        rise = np.stack([(residual * x).sum(axis=0), residual.sum(axis=0)])
        rise += tightness * (maps - expected)
        bend = np.stack([(weight * x * x).sum(axis=0), weight.sum(axis=0)]) + tightness
        step = _newton_step(rise, bend, (weight * x).sum(axis=0), maps[0] <= LOWEST_SLOPE)
        moved = maps - reach * step
        moved[0] = np.maximum(moved[0], LOWEST_SLOPE)
        then = loss(moved)
        better = then < now
        maps, now = np.where(better, moved, maps), np.where(better, then, now)
        if np.abs(reach * step).max() < 1e-7:
            break
        reach = np.where(better, 1.0, reach / 2)
    return Calibration(maps[0], maps[1] - prior.centre * maps[0])


def _newton_step(rise: Array, bend: Array, twist: Array, at_bound: NDArray[np.bool_]) -> Array:
    """Solve [[bend 0, twist], [twist, bend 1]] step = rise for every column; all (2, tags)."""
    # A slope that stands on its bound and would go lower stays; the intercept moves alone.
    held = at_bound & (rise[0] > 0)
    first, twist = np.where(held, 0, rise[0]), np.where(held, 0, twist)
    steps = np.stack([bend[1] * first - twist * rise[1], bend[0] * rise[1] - twist * first])
    steps /= bend[0] * bend[1] - twist**2
    return steps


def likely_wrong(scores: Floats, counts: NDArray[np.int64], designs: int) -> NDArray[np.float64]:
    """Return how likely a yes with each score, (..., T), is wrong, float64 in 0..1, where
    `counts`, (T,), of so many `designs` have the tags.

    By Bayes: a wrong tag's scores are spread like those of designs without the tag, a right one's
    like those of designs with it. The odds of the score against the odds of the tag are the ratio
    of the two.
    """
    values = np.clip(scores.astype(np.float64), 1e-6, 1 - 1e-6)
    usual = np.clip(counts / designs, 1e-6, 1 - 1e-6)
    ratio = values / (1 - values) * (1 - usual) / usual
    share = np.minimum(WRONG * counts.mean() / np.maximum(counts, 1), 0.5)
    wrong: NDArray[np.float64] = share / (share + (1 - share) * ratio)
    return wrong


def logit(scores: Floats, least: float = 1e-6) -> Array:
    """Return log odds, float64, of scores in 0..1 that are kept `least` away from both ends."""
    kept = np.clip(scores.astype(np.float64), least, 1 - least)
    odds: Array = np.log(kept / (1 - kept))
    return odds


def expit(logits: Array) -> Array:
    """Return 1 / (1 + exp(-logits)), the inverse of `logit`."""
    # A logit under -709 overflows to inf, and 1 / inf is the 0 that is meant.
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-logits))
