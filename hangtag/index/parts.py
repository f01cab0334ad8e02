"""Features in parts: standardised by a library, every part of length one. Numpy only."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

LEAST: Final = 1e-6
# Lengths of standardised parts below which a design has nothing to say by that part: the colours of
# a library that is black throughout are rounding, which must not be brought to length one.
SHORT: Final = 1e-2
# Standard deviations below which a feature counts less: what is left of it is rounding.
NOISE: Final = 0.02

# The last layer, and the tags that are seen in all (`training.learned`), say most of what a design
# shows; the means of the first two maps little.
WEIGHTS: Final = (2.0, 0.3, 0.5, 1.0, 1.3, 0.7, 0.7, 1.0, 1.3, 0.5, 1.5, 2.0)


def part_slices(widths: Sequence[int]) -> list[slice]:
    """Return the columns of each part, for parts of `widths`."""
    ends = np.cumsum(widths).tolist()
    return [slice(end - width, end) for end, width in zip(ends, widths, strict=True)]


def weights_of_parts(widths: Sequence[int]) -> tuple[float, ...]:
    """Return how much each part counts in a kernel; they sum to one.

    Those of hangtag-base, and of other networks with four maps, by what they brought on three
    libraries (`WEIGHTS`); otherwise all count alike.
    """
    weights = WEIGHTS[: len(widths)] if has_all(widths) else (1.0,) * len(widths)
    return tuple(weight / sum(weights) for weight in weights)


def has_all(widths: Sequence[int]) -> bool:
    """Return whether these are the parts of hangtag-base, the last of which others do not have."""
    return len(widths) in (len(WEIGHTS) - 1, len(WEIGHTS))


def standardised(features: Floats, mean: Floats, scale: Floats, widths: Sequence[int]) -> Floats:
    """Return (n, F) standardised features, every part of length one."""
    found = features - mean
    found *= scale
    for part in part_slices(widths):
        values = found[:, part]
        length = np.sqrt(np.einsum("nf,nf->n", values, values))  # a third of the time of norm
        values /= np.maximum(length, SHORT)[:, None]
    return found
