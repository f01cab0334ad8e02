"""A tag's column of a kernel head from a few examples: weighted kernel ridge regression.

The background is a part of the head's own landmarks, designs of the library that are not known to
have the tag. What the column says of each example without that example has a closed form, and is
what the calibration is fitted on.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hangtag.index.parts import Floats, standardised
from hangtag.training.kernel import KernelSettings, kernel, to_logits

# Landmarks, drawn at random, that serve as the background.
BACKGROUND: Final = 1_500
# The ridge, and how much more an example counts than a design of the background. Of nine pairs the
# best for 20 examples on emoji (benchmarks/teach.py).
LAMBDA: Final = 1.0
WEIGHT: Final = 16.0


class Fit(NamedTuple):
    """A column, and what it says of the designs that it was fitted to."""

    shared: Floats
    """(M,)."""
    own: Floats
    """(k,)."""
    bias: float
    logits: Floats
    """(k + b,), of the examples, then of the background, each without itself."""


def fit_column(
    landmarks: Floats,
    examples: Floats,
    labels: NDArray[np.int8],
    settings: KernelSettings,
    *,
    weight: float = WEIGHT,
    background: int = BACKGROUND,
) -> Fit:
    """Fit a tag to its examples.

    `landmarks`: (M, F), those of the head, standardised; `examples`: (k, F), standardised;
    `labels`: (k,), 1 yes, 0 no. Takes half a second. Landmarks that are examples themselves are no
    background. Deterministic.
    """
    same = (kernel(landmarks, examples, settings) > 1 - 1e-3).any(axis=1)
    free = np.flatnonzero(~same)
    some = np.sort(np.random.default_rng(0).permutation(free)[:background])
    points = np.concatenate([examples, landmarks[some]])
    targets = np.zeros(len(points))
    targets[: len(labels)] = labels
    counts = np.ones(len(points))
    counts[: len(labels)] = weight
    bias = float(targets.mean())
    system = kernel(points, points, settings).astype(np.float64)
    system[np.diag_indices_from(system)] += settings.lam / counts
    inverse = np.linalg.inv(system)
    weights = inverse @ (targets - bias)
    left_out = targets - weights / np.diag(inverse)
    shared = np.zeros(len(landmarks), np.float32)
    shared[some] = weights[len(labels) :]
    own = weights[: len(labels)].astype(np.float32)
    return Fit(shared, own, bias, to_logits(left_out).astype(np.float32))


def column_logits(
    features: Floats, mean: Floats, scale: Floats, landmarks: Floats, examples: Floats, fit: Fit,
    settings: KernelSettings,
) -> Floats:  # fmt: skip
    """Return a column's logits, (n,), of (n, F) features; `examples` as in `fit_column`."""
    rows = standardised(features, mean, scale, settings.widths)
    used = np.flatnonzero(fit.shared)
    outputs = kernel(rows, landmarks[used], settings) @ fit.shared[used]
    outputs += kernel(rows, examples, settings) @ fit.own
    found: Floats = to_logits(outputs + np.float32(fit.bias)).astype(np.float32)
    return found
