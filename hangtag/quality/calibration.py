"""Platt scaling per tag, fitted on validation designs and shrunk towards a map all tags share.

`labels` are (designs, tags) int8 with 1 yes, 0 no, -1 unknown (left out). Where tags are missing,
some of the "no" are wrong: a calibrated score is then the share of such designs that were *tagged*,
which is less than the share that the tag fits.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hangtag.quality.metrics import Labels
from hangtag.tagging.calibration import Array, Calibration, Floats, expit

# How far one tag's map may differ from the shared one: standard deviations of the Gaussian prior on
# its slope and on its intercept, on the shared map's logits, taken where the shared score is
# expit(CENTRE), 0.05. Of 21 settings, this is one of six with a lower held-out log loss than the
# shared map's for all of five models of three libraries; without a prior it was far higher.
SLOPE_SPREAD: Final = 0.1
INTERCEPT_SPREAD: Final = 0.25
CENTRE: Final = -3.0
# The same of a tag that is taught from a few examples.
NEW_INTERCEPT_SPREAD: Final = 1.0

# A positive slope leaves every ranking unchanged.
LOWEST_SLOPE: Final = 0.05

# With about 25 known yes or more, a fitted map beat the raw scores in each of 36 draws; with fewer,
# some maps were far worse.
FEWEST_CELLS: Final = 30

# Cells that are fitted at a time, which bounds the memory to about 200 MB.
BLOCK: Final = 1 << 22


def fit_calibration(logits: Floats, labels: Labels) -> Calibration:
    """Fit Platt scaling per tag, each tag's map shrunk towards one that all tags share.

    `logits` is (designs, tags) float, `labels` as above. First one slope and intercept for all
    tags (Platt 1999), then a deviation per tag with a Gaussian prior: a tag with few known yes
    keeps the shared map, one with hundreds gets its own. Slopes are positive, so that no ranking
    and no average precision changes. Returns the identity with fewer than 30 known yes or no.
    Raises ValueError on wrong shapes or logits that are not finite.
    """
    if logits.ndim != 2 or logits.shape != labels.shape or not np.isfinite(logits).all():
        raise ValueError(
            f"logits must be finite, (designs, tags) like the labels, got {logits.shape}, "
            f"{labels.shape}"
        )
    if min(np.count_nonzero(labels == 1), np.count_nonzero(labels == 0)) < FEWEST_CELLS:
        return Calibration.identity(logits.shape[1])
    # A few million cells are enough for two numbers.
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


def fit_near(logits: Floats, labels: Labels, shared: Array) -> tuple[float, float]:
    """Return slope and intercept of one tag, fitted to few designs near a `shared` map, (2,).

    `logits` is (designs,) float, `labels` (designs,) as above. The intercept may differ as much as
    a tag's frequency does.
    """
    mapped = logits.astype(np.float64)[:, None] * shared[0] + shared[1]
    own = _fit_platt(mapped, labels[:, None], _Prior(SLOPE_SPREAD, NEW_INTERCEPT_SPREAD, CENTRE))
    slope = float(own.slope[0])
    return slope * float(shared[0]), slope * float(shared[1]) + float(own.intercept[0])


class _Prior(NamedTuple):
    """A Gaussian around the identity: slope 1, and `centre` mapped to `centre`."""

    slope_spread: float
    intercept_spread: float
    centre: float


def _fit_platt(logits: Floats, labels: Labels, prior: _Prior) -> Calibration:
    """Fit slope and intercept of every column at once, by Newton's method with step halving."""
    x = logits.astype(np.float64) - prior.centre
    known, yes = labels >= 0, labels == 1
    expected = np.array([[1.0], [prior.centre]])
    precision = np.array([[prior.slope_spread], [prior.intercept_spread]]) ** -2.0

    def loss(maps: Array) -> Array:
        z = maps[0] * x + maps[1]
        misfit = np.where(known, np.logaddexp(0, z) - yes * z, 0).sum(axis=0)
        total: Array = misfit + (precision * (maps - expected) ** 2).sum(axis=0) / 2
        return total

    maps = np.repeat(expected, x.shape[1], axis=1)
    rate, current = np.ones(x.shape[1]), loss(maps)
    for _ in range(100):
        scores = expit(maps[0] * x + maps[1])
        residual, weight = (scores - yes) * known, scores * (1 - scores) * known
        gradient = np.stack([(residual * x).sum(axis=0), residual.sum(axis=0)])
        gradient += precision * (maps - expected)
        curvature = np.stack([(weight * x * x).sum(axis=0), weight.sum(axis=0)]) + precision
        step = _newton_step(gradient, curvature, (weight * x).sum(axis=0), maps[0] <= LOWEST_SLOPE)
        tried = maps - rate * step
        tried[0] = np.maximum(tried[0], LOWEST_SLOPE)
        tried_loss = loss(tried)
        better = tried_loss < current
        maps, current = np.where(better, tried, maps), np.where(better, tried_loss, current)
        if np.abs(rate * step).max() < 1e-7:
            break
        rate = np.where(better, 1.0, rate / 2)
    return Calibration(maps[0], maps[1] - prior.centre * maps[0])


def _newton_step(
    gradient: Array, curvature: Array, mixed: Array, at_bound: NDArray[np.bool_]
) -> Array:
    """Solve [[curvature 0, mixed], [mixed, curvature 1]] step = gradient per column, (2, tags)."""
    # A slope at its bound that would go lower stays; only the intercept moves.
    held = at_bound & (gradient[0] > 0)
    first, mixed = np.where(held, 0, gradient[0]), np.where(held, 0, mixed)
    steps = np.stack(
        [curvature[1] * first - mixed * gradient[1], curvature[0] * gradient[1] - mixed * first]
    )
    steps /= curvature[0] * curvature[1] - mixed**2
    return steps
