"""A tag's column of a kernel head from a few examples: weighted kernel ridge regression.

The background is a part of the head's own landmarks, designs of the library that are not known to
have the tag. Beside the kernel of the features there is a linear one on what the head says of its
other tags, as scores of 0 to 1: who has shown a few cats finds cats among what looks like an
animal. Of a design that the head was fitted to, that is what it says without the design and its
group. What the column says of each example without that example has a closed form, and is what the
calibration is fitted on.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hangtag.index.parts import Floats, standardised
from hangtag.tagging.calibration import expit
from hangtag.training.inverse import inverted
from hangtag.training.kernel import KernelSettings, kernel, kernel_sums, to_logits

# Landmarks, drawn at random, that serve as the background.
BACKGROUND: Final = 600
# The ridge, how much more an example counts than a design of the background, how much the kernel of
# the other tags' scores counts beside that of the features, and to which power of its spread each
# of these scores is divided by it: 1 would make all tags equal, 0 let the frequent ones decide. The
# best compromise for 20 examples on three libraries (benchmarks/teach.py).
LAMBDA: Final = 2.0
WEIGHT: Final = 16.0
OTHERS: Final = 0.3
EVENNESS: Final = 0.4
# Kernel values from which an example is a design that the head was fitted to, rounded to bytes.
SAME: Final = 0.99
# Standard deviations of a score below which it counts less.
STILL: Final = 5e-3


@dataclass(frozen=True, eq=False)
class Fitted:
    """Designs that a head was fitted to: its landmarks."""

    landmarks: Floats
    """(M, F), standardised."""
    settings: KernelSettings
    """The kernel; lambda and the weights of the parts are the column's."""
    left_out: Floats | None = None
    """(M, T), the head's logits of them without their groups; NaN rows, or None, if unknown."""


class Fit(NamedTuple):
    """A column, and what it says of the designs that it was fitted to."""

    shared: Floats
    """(M,)."""
    own: Floats
    """(k,)."""
    scores: Floats
    """(T,), weights of the scores of the head's tags; none where those are not known."""
    bias: float
    logits: Floats
    """(k + b,), of the examples, then of the background, each without itself."""


def fit_column(
    fitted: Fitted,
    examples: Floats,
    logits: Floats,
    labels: NDArray[np.int8],
    *,
    weight: float = WEIGHT,
    background: int = BACKGROUND,
) -> Fit:
    """Fit a tag to its examples.

    `examples`: (k, F), standardised; `logits`: (k, T), what the head says of them; `labels`: (k,),
    1 yes, 0 no. Takes half a second. Landmarks that are examples themselves are no background.
    Deterministic.
    """
    settings, left_out = fitted.settings, fitted.left_out
    same = kernel(fitted.landmarks, examples, settings) > SAME
    free = ~same.any(axis=1)
    if left_out is not None:
        free &= np.isfinite(left_out).all(axis=1)
    some = np.sort(np.random.default_rng(0).permutation(np.flatnonzero(free))[:background])
    points = np.concatenate([examples, fitted.landmarks[some]])
    system = kernel(points, points, settings).astype(np.float64)
    linear = None
    if left_out is not None:
        linear = _Linear.of(left_out)
        rows = linear.standardised(
            np.concatenate([_honest(logits, same, left_out), left_out[some]])
        )
        system += rows @ rows.T
    targets = np.zeros(len(points))
    targets[: len(labels)] = labels
    counts = np.ones(len(points))
    counts[: len(labels)] = weight
    bias = float(targets.mean())
    system[np.diag_indices_from(system)] += settings.lam / counts
    inverse = inverted(system)
    weights = inverse @ (targets - bias)
    outputs = targets - weights / np.diag(inverse)
    shared = np.zeros(len(fitted.landmarks), np.float32)
    shared[some] = weights[len(labels) :]
    scores = np.empty(0, np.float32)
    if linear is not None:
        scores, constant = linear.weights(weights @ rows)
        bias += constant
    own = weights[: len(labels)].astype(np.float32)
    return Fit(shared, own, scores, bias, to_logits(outputs).astype(np.float32))


class _Linear(NamedTuple):
    """The linear kernel of scores, evened out by what the landmarks have."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def of(cls, left_out: Floats) -> "_Linear":
        known = expit(left_out[np.isfinite(left_out).all(axis=1)].astype(np.float64))
        spread = known.std(axis=0) + STILL
        scale = spread**-EVENNESS
        return cls(known.mean(axis=0), scale * np.sqrt(OTHERS / np.square(spread * scale).sum()))

    def standardised(self, logits: Floats) -> NDArray[np.float64]:
        """Return rows, (n, T), whose products are the kernel."""
        found: NDArray[np.float64] = (expit(logits.astype(np.float64)) - self.mean) * self.scale
        return found

    def weights(self, weights: NDArray[np.float64]) -> tuple[Floats, float]:
        """Return the weights of scores as they are, from those of rows, (T,), and the constant."""
        found = weights * self.scale
        return found.astype(np.float32), -float(found @ self.mean)


def _honest(logits: Floats, same: NDArray[np.bool_], left_out: Floats) -> Floats:
    """Return the logits of examples, (k, T), of landmarks those without their groups."""
    found = logits.copy()
    for example in np.flatnonzero(same.any(axis=0)).tolist():
        known = left_out[same[:, example]]
        known = known[np.isfinite(known).all(axis=1)]
        if len(known):
            found[example] = known[0]
    return found


@dataclass(frozen=True, eq=False)
class ColumnOutputs:
    """A fitted column as a function of designs."""

    fitted: Fitted
    mean: Floats
    scale: Floats
    examples: Floats
    """As in `fit_column`."""
    shared: Floats
    own: Floats
    scores: Floats
    bias: float
    """As in `Fit`."""
    others: Floats
    """(T,), weights of the head's logits, of tags that were taught before; else none."""

    def logits(self, features: Floats, logits: Floats) -> Floats:
        """Return the column's logits, (n,), of (n, F) features and (n, T) logits of the head.

        The head's are those of designs that it has not seen (hangtag.index.unseen).
        """
        settings = self.fitted.settings
        rows = standardised(features, self.mean, self.scale, settings.widths)
        outputs = kernel_sums(rows, *self._points)
        if len(self.scores):
            outputs += expit(logits.astype(np.float64)).astype(np.float32) @ self.scores
        if len(self.others):
            outputs += logits @ self.others
        found: Floats = to_logits(outputs + np.float32(self.bias)).astype(np.float32)
        return found

    @cached_property
    def _points(self) -> tuple[Floats, KernelSettings, Floats]:
        """The landmarks that count and the examples, as `kernel_sums` takes them."""
        used, settings = np.flatnonzero(self.shared), self.fitted.settings
        points = np.concatenate([self.fitted.landmarks[used], self.examples])
        weights = np.concatenate([self.shared[used], self.own])
        return points * np.float32(2 * settings.gamma), settings, weights
