"""A tag's column of a kernel head from a few examples: weighted kernel ridge regression.

The background is a part of the head's own landmarks, designs of the library that are not known to
have the tag. Beside the kernel of the features there is a linear one on what the head says of its
other tags: who has shown a few cats finds cats among what looks like an animal. Of a design that
the head was fitted to, that is what it says without the design and its group. What the column says
of each example without that example has a closed form, and is what the calibration is fitted on.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hangtag.index.parts import Floats, part_slices, standardised
from hangtag.training.inverse import inverted
from hangtag.training.kernel import KernelSettings, kernel, to_logits

# Landmarks, drawn at random, that serve as the background.
BACKGROUND: Final = 1_500
# The ridge, how much more an example counts than a design of the background, and how much the
# kernel of the other tags' logits counts beside that of the features. The best compromise for
# 20 examples on three libraries (benchmarks/teach.py).
LAMBDA: Final = 2.0
WEIGHT: Final = 16.0
OTHERS: Final = 0.2
# Kernel values from which an example is a design that the head was fitted to, rounded to bytes.
SAME: Final = 0.99
# Cosines, in the mean of the parts, from which a design is one that the head was fitted to, or
# nearly: in an index, features are rounded to a byte.
ALIKE: Final = 0.99
# Standard deviations of a logit below which it counts less.
STILL: Final = 5e-3


@dataclass(frozen=True, eq=False)
class Fitted:
    """Designs that a head was fitted to: its landmarks."""

    landmarks: Floats
    """(M, F), standardised."""
    settings: KernelSettings
    """The kernel; lambda is the column's."""
    left_out: Floats | None = None
    """(M, T), the head's logits of them without their groups; NaN rows, or None, if unknown."""


class Fit(NamedTuple):
    """A column, and what it says of the designs that it was fitted to."""

    shared: Floats
    """(M,)."""
    own: Floats
    """(k,)."""
    others: Floats
    """(T,), weights of the logits of the head's tags; none where those are not known."""
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
    others = np.empty(0, np.float32)
    if linear is not None:
        others, constant = linear.weights(weights @ rows)
        bias += constant
    own = weights[: len(labels)].astype(np.float32)
    return Fit(shared, own, others, bias, to_logits(outputs).astype(np.float32))


class _Linear(NamedTuple):
    """The linear kernel of logits, each standardised by the landmarks."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def of(cls, left_out: Floats) -> "_Linear":
        known = left_out[np.isfinite(left_out).all(axis=1)].astype(np.float64)
        spread = known.std(axis=0) + STILL
        return cls(known.mean(axis=0), np.sqrt(OTHERS / known.shape[1]) / spread)

    def standardised(self, logits: Floats) -> NDArray[np.float64]:
        """Return rows, (n, T), whose products are the kernel."""
        found: NDArray[np.float64] = (logits - self.mean) * self.scale
        return found

    def weights(self, weights: NDArray[np.float64]) -> tuple[Floats, float]:
        """Return the weights of logits as they are, from those of rows, (T,), and the constant."""
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


def without_groups(fitted: Fitted, rows: Floats, logits: Floats) -> Floats:
    """Return logits of designs, (n, T), those of landmarks as the head says without their groups.

    `rows`: (n, F), standardised. Near-duplicates of a landmark are taken for it: they are of its
    group.
    """
    if fitted.left_out is None or not len(rows):
        return logits
    parts = part_slices(fitted.settings.widths)
    # One part of middle width finds the landmark that each design may be; all parts confirm it.
    some = sorted(parts, key=lambda part: part.stop - part.start)[len(parts) // 2]
    nearest = (rows[:, some] @ fitted.landmarks[:, some].T).argmax(axis=1)
    cosines = [
        np.einsum("nf,nf->n", rows[:, part], fitted.landmarks[nearest, part]) for part in parts
    ]
    left_out = fitted.left_out[nearest]
    same = (np.mean(cosines, axis=0) > ALIKE) & np.isfinite(left_out).all(axis=1)
    found: Floats = np.where(same[:, None], left_out, logits)
    return found


@dataclass(frozen=True, eq=False)
class ColumnOutputs:
    """A fitted column as a function of designs."""

    fitted: Fitted
    mean: Floats
    scale: Floats
    examples: Floats
    """As in `fit_column`."""
    fit: Fit

    def logits(self, features: Floats, logits: Floats) -> Floats:
        """Return the column's logits, (n,), of (n, F) features and (n, T) logits of the head.

        Of designs that the head was fitted to, what it says without their groups counts.
        """
        settings, fit = self.fitted.settings, self.fit
        rows = standardised(features, self.mean, self.scale, settings.widths)
        used = np.flatnonzero(fit.shared)
        outputs = kernel(rows, self.fitted.landmarks[used], settings) @ fit.shared[used]
        outputs += kernel(rows, self.examples, settings) @ fit.own
        if len(fit.others):
            outputs += without_groups(self.fitted, rows, logits) @ fit.others
        found: Floats = to_logits(outputs + np.float32(fit.bias)).astype(np.float32)
        return found
