"""What drawings have taught about the parts of hangtag-base's features, kept in its file.

Two things serve every library. Features of a part go together: a few directions in which all
drawings differ, such as how dark they are, would decide distances alone. So each part is partly
decorrelated (its covariance to the power -0.3, symmetric, as ZCA does to the power -0.5;
doi:10.1016/S0042-6989(97)00121-1), by what is usual among drawings, not among those of a library,
which has too few. And one part more says which of the commonest tags of freely licensed icons a
linear model sees in all others: the square roots of their probabilities, projected onto random
signs. `benchmarks/quality/pretrain.py` computes all of it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from hangtag.index.parts import LEAST
from hangtag.training.pooled import SignProjection, normalised

# Features that are kept of the tags.
SHOWN: Final = 256


class LearnedParts(nn.Module):
    """Maps parts of `PooledParts` to decorrelated ones and one part more, of `widths`."""

    def __init__(self, widths: Sequence[int], constants: Mapping[str, NDArray[Any]]) -> None:
        """`widths`: of the P parts that are given, which sum to F.

        `constants`: `mean` (F,); `map0` to `map{P - 1}`, a square matrix for each part, which bring
        drawings to mean 0 and deviation 1; `weight` (F, T) and `bias` (T,) of the linear model, on
        parts of length one. They are no weights: whoever trains the network keeps them.
        """
        super().__init__()
        self._given = list(widths)
        for name, values in constants.items():
            self.register_buffer(name, torch.from_numpy(values).float(), persistent=False)
        self.shown = SignProjection(len(constants["bias"]), SHOWN)
        self.widths: tuple[int, ...] = (*widths, self.shown.width)

    def forward(self, features: Tensor) -> Tensor:
        """Map float (n, F) to (n, sum of `widths`)."""
        given = torch.split(features - self.get_buffer("mean"), self._given, dim=1)
        parts = [part @ self.get_buffer(f"map{number}") for number, part in enumerate(given)]
        directions = torch.cat([F.normalize(part, eps=LEAST) for part in parts], dim=1)
        logits = directions @ self.get_buffer("weight") + self.get_buffer("bias")
        return torch.cat([*parts, self.shown(normalised(logits.sigmoid().sqrt()))], dim=1)
