"""What a model says of designs that it learned from, as if it had not seen them. Numpy only.

A head says of the designs that it was fitted to what it was told of them. A kernel head also keeps
what it says of each of its landmarks without that design: by its near-duplicates and all others. In
searches, suggestions, doubts and questions that stands in place of the other.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from hangtag.index.parts import Floats, part_slices, standardised

# The tensor in weights.safetensors; models of before, and those whose backbone was trained on their
# designs, do not have it.
UNSEEN: Final = "head.unseen"
# Cosines, in the mean of the parts, from which a design is one that the head was fitted to, or
# nearly: in an index, features are rounded to a byte.
ALIKE: Final = 0.99


def as_unseen(
    landmarks: Floats,
    unseen: NDArray[np.float16],
    widths: tuple[int, ...],
    rows: Floats,
    logits: Floats,
) -> Floats:
    """Return logits of designs, (n, T), those of landmarks as the head says without them.

    `landmarks`: (M, F), and `rows`: (n, F), standardised, in parts of `widths`; `unseen`: (M, T),
    NaN where unknown. A copy of a landmark is taken for it.
    """
    if not len(rows):
        return logits
    parts = part_slices(widths)
    # One part of middle width finds the landmark that each design may be; all parts confirm it.
    some = sorted(parts, key=lambda part: part.stop - part.start)[len(parts) // 2]
    nearest = (rows[:, some] @ landmarks[:, some].T).argmax(axis=1)
    cosines = [np.einsum("nf,nf->n", rows[:, part], landmarks[nearest, part]) for part in parts]
    known = unseen[nearest].astype(np.float32)
    same = (np.mean(cosines, axis=0) > ALIKE) & np.isfinite(known).all(axis=1)
    found: Floats = np.where(same[:, None], known, logits)
    return found


@dataclass(frozen=True, eq=False)
class Unseen:
    """The landmarks of a kernel head, and what it says of each without it."""

    landmarks: Floats
    """(M, F), standardised."""
    logits: NDArray[np.float16]
    """(M, T)."""
    mean: Floats
    """(F,), of the designs that the head was fitted to."""
    scale: Floats
    """(F,)."""
    widths: tuple[int, ...]

    @classmethod
    def read(cls, weights: Path, widths: tuple[int, ...]) -> "Unseen | None":
        """Read it from the weights of a model; None where they do not have it."""
        if not weights.exists():
            return None
        with safe_open(weights, "numpy") as file:
            if UNSEEN not in set(file.keys()):
                return None
            landmarks, mean, scale = (
                file.get_tensor(f"head.{name}") for name in ("landmarks", "mean", "scale")
            )
            logits = file.get_tensor(UNSEEN)
        return cls(landmarks.astype(np.float32), logits, mean, scale, widths)

    def applied(self, features: Floats, logits: Floats) -> Floats:
        """Return (n, T) logits of designs by their features, (n, F), as `as_unseen`."""
        rows = standardised(features, self.mean, self.scale, self.widths)
        return as_unseen(self.landmarks, self.logits, self.widths, rows, logits)
