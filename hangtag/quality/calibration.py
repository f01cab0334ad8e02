"""Platt scaling, fitted per tag on validation designs and shrunk towards a map all tags share.

`labels` are (designs, tags) int8 with 1 yes, 0 no, -1 unknown (left out). Where people left tags
out, some of the "no" are wrong: then a calibrated score says how often a person *tagged*, which is
less than how often the tag is right.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hangtag.quality.metrics import Labels
from hangtag.tagging.calibration import Array, Calibration, Floats, expit

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

# Cells that are fitted at a time, which bounds the memory to some 200 MB.
BLOCK: Final = 1 << 22


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
