"""How likely a tag that somebody gave is wrong, by a model's calibrated score."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hangtag.tagging.calibration import Floats

# The share of wrong tags that is expected of a tag of average frequency before anything is looked
# at; mistakes fall on all tags equally, so a rare tag has a larger share of them.
WRONG: Final = 0.05


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
