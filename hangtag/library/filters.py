"""Linear filters of images in numpy: resampling of whole planes, and filters of small ones.

A filter of a small plane is a pair of matrices: `rows @ plane @ columns.T`.
"""

import functools
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]
Samples = tuple[npt.NDArray[np.intp], Float]
"""What is summed along one axis: indices and their weights, both (n, terms)."""


@functools.lru_cache(64)
def areas(length: int, cells: int) -> Samples:
    """Return the samples that average `length` pixels into `cells`, pixels at edges in part."""
    step = length / cells
    edges = np.arange(cells + 1) * step
    at = np.floor(edges[:-1, None]).astype(np.intp) + np.arange(int(np.ceil(step)) + 1)
    covered = np.minimum(at + 1, edges[1:, None]) - np.maximum(at, edges[:-1, None])
    weights = np.maximum(covered, 0) / step
    used = weights.any(axis=0)
    return np.minimum(at[:, used], length - 1), weights[:, used].astype(np.float32)


def points(first: float, last: float, length: int, count: int) -> Samples:
    """Return the samples that interpolate `length` pixels at the centres of `count` equal parts.

    The parts are those of `first` to `last`; beyond the pixels is 0.
    """
    centres = first - 0.5 + (np.arange(count) + 0.5) * ((last - first) / count)
    at = np.floor(centres).astype(np.intp)[:, None] + np.arange(2)
    weights = (1 - np.abs(centres[:, None] - at)) * ((at >= 0) & (at < length))
    return np.minimum(np.maximum(at, 0), length - 1), weights.astype(np.float32)


def resampled(planes: Float, rows: Samples, columns: Samples) -> Float:
    """Return `planes` (n, height, width), rounded, with rows and columns swapped: (n, w, h).

    Whole rows are summed faster than single pixels, so columns become rows in between.
    """
    swapped = np.ascontiguousarray(_summed(planes, *rows).swapaxes(1, 2))
    return rounded(_summed(swapped, *columns))


def _summed(planes: Float, at: npt.NDArray[np.intp], weights: Float) -> Float:
    total = planes.take(at[:, 0], axis=1)
    total *= weights[:, :1]
    for term in range(1, at.shape[1]):
        part = planes.take(at[:, term], axis=1)
        part *= weights[:, term : term + 1]
        total += part
    return total


def halved(planes: Float) -> Float:
    """Return the rounded means of 2 x 2 pixels: (n, height / 2, width / 2)."""
    pairs = planes[:, ::2] + planes[:, 1::2]
    return rounded((pairs[..., ::2] + pairs[..., 1::2]) * np.float32(0.25))


def rounded(planes: Float) -> Float:
    """Round `planes` in place, halves up, and return them."""
    planes += np.float32(0.5)
    return np.floor(planes, out=planes)


def neighbours(
    size: int, weights: Sequence[float], border: Literal["constant", "edge", "reflect"]
) -> Float:
    """Return the matrix (size, size) that sums the neighbours of each value.

    `border` says what is beyond the ends: 0, the last value, or the values before it.
    """
    reach = len(weights) // 2
    beyond = np.pad(np.eye(size), ((reach, reach), (0, 0)), border)
    shifted = np.stack([beyond[start : start + size] for start in range(len(weights))])
    matrix: npt.NDArray[np.float64] = np.tensordot(np.array(weights), shifted, 1)
    return matrix.astype(np.float32)


def gaussian(sigma: float) -> list[float]:
    """Return the weights of a Gaussian blur, to 4 standard deviations."""
    reach = round(4 * sigma)
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    return [float(weight) for weight in weights / weights.sum()]


def means(size: int, cells: int) -> Float:
    """Return the matrix (cells, size) that averages values into cells."""
    each = size // cells
    return np.repeat(np.eye(cells, dtype=np.float32), each, axis=1) / np.float32(each)


def enlarging(cells: int, size: int) -> Float:
    """Return the matrix (size, cells) that interpolates between the centres of cells."""
    centres = (np.arange(size) + 0.5) * (cells / size) - 0.5
    apart = np.abs(np.clip(centres, 0, cells - 1)[:, None] - np.arange(cells))
    return np.asarray(np.maximum(1 - apart, 0), np.float32)
