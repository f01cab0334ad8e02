"""Calibrated scores from a network's logits, and implied tags. Numpy only."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Floats = NDArray[np.floating[Any]]
Cell = TypeVar("Cell", bound=np.generic)


class Calibrated(Protocol):
    """A tag of tags.json."""

    @property
    def calibration(self) -> tuple[float, float] | None:
        """Slope and intercept, or None before a calibration was fitted."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """The map from a tag's logit to its score, expit(slope * logit + intercept)."""

    slope: Array
    """(tags,) float64, above 0."""

    intercept: Array
    """(tags,) float64."""

    @classmethod
    def identity(cls, tags: int) -> "Calibration":
        """Return the map that keeps the network's own probabilities."""
        return cls(np.ones(tags), np.zeros(tags))

    @classmethod
    def of(cls, tags: Iterable[Calibrated]) -> "Calibration":
        """Return the map of a vocabulary's tags; identity for those without a calibration."""
        pairs = [tag.calibration or (1.0, 0.0) for tag in tags]
        slope, intercept = np.array(pairs, np.float64).reshape(-1, 2).T
        return cls(slope, intercept)

    def apply(self, logits: Floats) -> Floats:
        """Return scores in 0..1 for (n, tags) logits, in the dtype of the logits."""
        scores = expit(logits.astype(np.float64) * self.slope + self.intercept)
        return scores.astype(logits.dtype)


def with_implied(cells: NDArray[Cell], implied: Sequence[Sequence[int]]) -> NDArray[Cell]:
    """Return (n, tags) scores in which a tag scores at least as high as every tag implying it.

    In a bool array, a tag is true where a tag that implies it is. `implied` lists, for every
    column, the columns that it implies.
    """
    raised = cells.copy()
    for column, others in enumerate(implied):
        for other in others:
            raised[:, other] = np.maximum(raised[:, other], cells[:, column])
    return raised


def logit(scores: Floats, least: float = 1e-6) -> Array:
    """Return log odds, float64, of scores in 0..1, which are clipped to `least`..1 - `least`."""
    kept = np.clip(scores.astype(np.float64), least, 1 - least)
    odds: Array = np.log(kept / (1 - kept))
    return odds


def expit(logits: Array) -> Array:
    """Return 1 / (1 + exp(-logits)), the inverse of `logit`."""
    # A logit under -709 overflows to inf, and 1 / inf is the intended 0.
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-logits))
