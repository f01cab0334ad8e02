"""Short vectors of designs: what they show (content) and how they are drawn (style). Numpy only.

A vector is the projection of standardised features onto the main axes of a library, brought to
length one; the product of two vectors is a similarity of -1 to 1. Content is what the last stage of
the backbone sees, style the means of its first two stages, which know textures and colours but no
things (benchmarks/similar.py).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from hangtag.index.parts import LEAST, NOISE, Floats, has_all, part_slices, standardised
from hangtag.storage.files import atomic_path

By = Literal["content", "style"]

# Designs, drawn at random, by which a library's axes are chosen.
FITTED: Final = 4096
DIMENSIONS: Final[dict[By, int]] = {"content": 256, "style": 64}
# The parts of hangtag-base that each kind of vector is made of.
PARTS: Final[dict[By, tuple[int, ...]]] = {"content": (0, 4), "style": (1, 2)}


@dataclass(frozen=True, eq=False)
class Projection:
    """From (n, F) features in parts of `widths` to vectors."""

    widths: tuple[int, ...]
    mean: Floats
    """(F,)."""
    scale: Floats
    """(F,), one over the standard deviation."""
    axes: dict[By, Floats]
    """(columns of the parts, D)."""

    @classmethod
    def fit(cls, sample: Floats, widths: tuple[int, ...]) -> "Projection":
        """Choose the axes by a sample, (n, F): those of most energy, at most n."""
        deviation = sample.std(axis=0, dtype=np.float64)
        mean = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
        scale = (1 / (deviation + NOISE)).astype(np.float32)
        rows = standardised(sample, mean, scale, widths)
        axes: dict[By, Floats] = {}
        for by, count in DIMENSIONS.items():
            chosen = rows[:, _columns(widths, by)].astype(np.float64)
            _, vectors = np.linalg.eigh(chosen.T @ chosen)
            most = min(count, len(sample), vectors.shape[1])
            axes[by] = np.ascontiguousarray(vectors[:, ::-1][:, :most], np.float32)
        return cls(tuple(widths), mean, scale, axes)

    def vectors(self, features: Floats) -> dict[By, Floats]:
        """Return the vectors of (n, F) features, (n, D) of length one for each kind."""
        rows = standardised(features, self.mean, self.scale, self.widths)
        return {
            by: _of_length_one(rows[:, _columns(self.widths, by)] @ axes)
            for by, axes in self.axes.items()
        }

    def write(self, path: Path) -> None:
        """Write a .safetensors file."""
        values: dict[str, NDArray[np.generic]] = {
            "widths": np.array(self.widths, np.int64), "mean": self.mean, "scale": self.scale,
            **{str(by): axes for by, axes in self.axes.items()},
        }  # fmt: skip
        with atomic_path(path) as temporary:
            save_file(values, temporary)

    @classmethod
    def read(cls, path: Path) -> "Projection":
        """Read what `write` has written."""
        values = load_file(path)
        axes: dict[By, Floats] = {by: values[by] for by in DIMENSIONS}
        return cls(tuple(values["widths"].tolist()), values["mean"], values["scale"], axes)


def _columns(widths: tuple[int, ...], by: By) -> NDArray[np.int64]:
    """Return the columns of the parts that a kind of vector is made of; all of a short list."""
    slices = part_slices(widths)
    parts = PARTS[by] if has_all(widths) else range(len(widths))
    return np.concatenate([np.arange(slices[n].start, slices[n].stop) for n in parts])


def _of_length_one(rows: Floats) -> Floats:
    found: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), LEAST)
    return found
