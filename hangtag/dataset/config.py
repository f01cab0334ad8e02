"""The configuration of packing: one dataclass, whose field texts `hangtag pack --help` shows.

Light imports only, so that help is quick.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal

from hangtag.errors import ConfigError

MAX_MEGAPIXELS: Final = 100.0  # up to 1.8 GB in a worker for WebP (benchmarks/image_memory.py)


@dataclass(frozen=True)
class PackConfig:
    """How a catalog is packed."""

    size: int = 256
    """Longest side of a packed design, in pixels. Smaller designs stay as they are."""

    min_count: int | None = None
    """Leave out tags that fewer designs carry. By default one in 200 designs, but 5 to 20."""

    split: str = "80/10/10"
    """Shares of training, validation and test; two numbers make no test split."""

    seed: int = 0
    """Seed of the split."""

    flatten: Literal["none", "white", "black"] = "none"
    """Background colour to put designs on, stored as JPEG: for SageMaker's built-in algorithm."""

    three_valued: bool = False
    """Store -1 where a tag was not reviewed. SageMaker's built-in algorithm reads only 0 and 1."""

    max_megapixels: float = MAX_MEGAPIXELS
    """Reject designs with more pixels. One worker needs up to 7 MB of memory per megapixel, for
    WebP and AVIF 18 MB."""

    def __post_init__(self) -> None:
        if not 16 <= self.size <= 4096:
            raise ConfigError(f"--size {self.size}: choose 16 to 4096 pixels")
        if self.min_count is not None and self.min_count < 1:
            raise ConfigError(f"--min-count {self.min_count}: must be 1 or more")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"--seed {self.seed}: must be 0 or more")
        if not self.max_megapixels > 0:
            raise ConfigError(f"--max-megapixels {self.max_megapixels:g}: must be over 0")
        self.fractions()

    def fractions(self) -> tuple[float, float, float]:
        """Return `split` as three shares that sum to 1. Raises ConfigError."""
        try:
            shares = [float(share) for share in self.split.split("/")]
        except ValueError:
            shares = []
        if (
            not 2 <= len(shares) <= 3
            or not all(0 <= share < math.inf for share in shares)
            or shares[0] == 0
            or shares[1] == 0
        ):
            raise ConfigError(f"--split {self.split}: write three shares, such as 80/10/10")
        train, validation, test = [*shares, 0.0][:3]
        total = sum(shares)
        return train / total, validation / total, test / total
