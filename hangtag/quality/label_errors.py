"""How likely a human tag is wrong, given a model's calibrated score."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hangtag.tagging.calibration import Floats

# The prior: the share of wrong tags expected of a tag of average frequency. Mistakes fall on all
# tags equally, so a rare tag has a larger share of them.
WRONG: Final = 0.05


def likely_wrong(
    scores: Floats,
    counts: NDArray[np.int64],
    designs: int,
    *,
    average: float | None = None,
) -> NDArray[np.float64]:
    """Return how likely a yes with each score, (..., T), is wrong, float64 in 0..1.

    `counts`, (T,): how many of the `designs` have each tag; `average`: how many have a tag on
    average, by default that of the T tags. By Bayes: the scores of a wrong tag are
    distributed like those of designs without it, of a right one like those of designs with it. The
    odds of the score, divided by the odds of the tag, are the likelihood ratio of the two.
    """
    values = np.clip(scores.astype(np.float64), 1e-6, 1 - 1e-6)
    frequency = np.clip(counts / designs, 1e-6, 1 - 1e-6)
    ratio = values / (1 - values) * (1 - frequency) / frequency
    usual = counts.mean() if average is None else average
    prior = np.minimum(WRONG * usual / np.maximum(counts, 1), 0.5)
    wrong: NDArray[np.float64] = prior / (prior + (1 - prior) * ratio)
    return wrong
