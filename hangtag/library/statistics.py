"""Statistics that several stages need."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Value = TypeVar("Value", float, NDArray[np.float64])


def wilson_bound(successes: Value, trials: Value, z: float) -> Value:
    """Return the one-sided lower confidence bound of a proportion, 0 to 1; `trials` above 0.

    `z` is the normal quantile of the confidence: 1.2816 for 90 %, 1.645 for 95 %. Wilson 1927,
    "Probable inference, the law of succession, and statistical inference".
    """
    share = successes / trials
    spread = z * (share * (1 - share) / trials + z**2 / (4 * trials**2)) ** 0.5
    bound: Value = (share + z**2 / (2 * trials) - spread) / (1 + z**2 / trials)
    return bound
