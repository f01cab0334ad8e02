"""What a head gets of a backbone's feature maps and of the design itself.

The mean of a map says what a design shows somewhere. What it does not say, and what a tag may hang
on: which features stand at the same place (the texture of a style), whether they stand above, below
or in the middle, how alike the left and the right half are, the outline, the colours. Each of these
is a part of the features of its own; together they cost a twentieth of the network. Wide parts are
projected onto random signs (doi:10.1016/S0022-0000(03)00025-4), which keeps the distances that a
kernel asks for.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

# Features that are kept of the last layer, of the maxima of the last map, of each map whose pairs
# are taken, and of the two maps whose layout is.
LAST, MAXIMA, PAIRED, ROWS, QUARTERS = 448, 160, 18, 24, 48
# Cells to a side of a layout, of an outline; levels of a colour channel.
CELLS: Final = 5
OUTLINE: Final = 8
LEVELS: Final = 5
# Input pixels to a side of what counts as one for colours and outline.
STEP: Final = 4


class SignProjection(nn.Module):
    """Projects features, or the channels of maps, onto `kept` random signs where there are more."""

    def __init__(self, width: int, kept: int) -> None:
        super().__init__()
        self.width = min(width, kept)
        signs = torch.from_numpy(random_signs(width, kept)) if kept < width else None
        self.register_buffer("signs", signs, persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        """Map float (n, C) to (n, width), or (n, C, h, w) to (n, width, h, w)."""
        if self.signs is None:
            return values
        scaled: Tensor = self.get_buffer("signs").to(values.dtype) / self.width**0.5
        if values.ndim == 2:
            return values @ scaled
        return F.conv2d(values, scaled.t()[:, :, None, None])


class PooledParts(nn.Module):
    """The parts of a design's features, of `widths`, from the maps of a backbone.

    In this order: the last layer; the mean of each map but the last; the maximum of the last; the
    covariances of the two maps before it; the layout of the map before it and of the last; outline;
    colours.
    """

    def __init__(self, last: int, maps: Sequence[int]) -> None:
        """`last`: the width of the last layer; `maps`: the channels of each map, at least one."""
        super().__init__()
        self.last, self.maxima = SignProjection(last, LAST), SignProjection(maps[-1], MAXIMA)
        paired, below = [SignProjection(width, PAIRED) for width in maps[-3:-1]], maps[-2:][0]
        self.paired = nn.ModuleList(paired)
        self.rows, self.quarters = SignProjection(below, ROWS), SignProjection(maps[-1], QUARTERS)
        self.widths: tuple[int, ...] = (
            self.last.width,
            *maps[:-1],
            self.maxima.width,
            *(one.width * (one.width + 1) // 2 for one in paired),
            self.rows.width * (CELLS + (CELLS + 1) // 2) + below,
            4 * self.quarters.width,
            OUTLINE**2 + 1,
            LEVELS**3,
        )

    def forward(self, inputs: Tensor, last: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Return float (n, F).

        `inputs`: uint8 (n, s, s, 4), premultiplied; `last`: (n, L), pooled; `maps`: feature maps,
        each (n, C, h, w), from the largest to the smallest.
        """
        # On one scale: a maximum is many times a mean, and the head has one weight decay for all.
        parts = [
            self.last(normalised(last)),
            *(normalised(stage.mean((2, 3))) for stage in maps[:-1]),
            self.maxima(normalised(maps[-1].amax((2, 3)))),
        ]
        for stage, project in zip(maps[-3:-1], self.paired, strict=True):
            parts.append(normalised(_covariances(project(stage.float()))))
        parts.append(normalised(self._layout(_resized(maps[-2:][0].float(), CELLS))))
        cells = self.quarters(_resized(maps[-1].float(), CELLS))
        parts.append(normalised(_quarters(cells)))
        return torch.cat([*parts, *_drawn(inputs)], dim=1)

    def _layout(self, cells: Tensor) -> Tensor:
        """Return rows, columns with their mirror images, and how unlike the halves are."""
        halves = (cells - cells.flip(3)).abs().mean((2, 3))
        projected = self.rows(cells)
        columns = projected.mean(2)
        columns = (columns + columns.flip(2))[:, :, : (CELLS + 1) // 2]
        return torch.cat([projected.mean(3).flatten(1), columns.flatten(1), halves], dim=1)


def random_signs(width: int, kept: int) -> NDArray[np.int8]:
    """Return random signs, int8 (width, kept), the same on every machine and version of numpy."""
    raw = np.random.PCG64(width).random_raw(-(-width * kept // 64)).astype("<u8")
    bits = np.unpackbits(raw.view(np.uint8), count=width * kept).reshape(width, kept)
    return (2 * bits.astype(np.int8) - 1).astype(np.int8)


def normalised(values: Tensor) -> Tensor:
    """Bring each row of (n, F) to mean 0 and deviation 1."""
    return F.layer_norm(values.float(), values.shape[1:])


def _resized(maps: Tensor, side: int) -> Tensor:
    return F.interpolate(maps, (side, side), mode="bilinear", align_corners=False)


def _covariances(maps: Tensor) -> Tensor:
    """Return the covariances of the channels of (n, C, h, w) over their places, (n, C(C + 1)/2)."""
    centred = maps - maps.mean((2, 3), keepdim=True)
    first, second = np.triu_indices(maps.shape[1])
    return (_channels(centred, first) * _channels(centred, second)).mean((2, 3))


def _channels(maps: Tensor, numbers: NDArray[np.int64]) -> Tensor:
    return maps.index_select(1, torch.from_numpy(numbers).to(maps.device))


def _quarters(cells: Tensor) -> Tensor:
    """Return the means of (n, C, 5, 5) over its four corners, which share a row and a column."""
    near, far = slice(0, (CELLS + 1) // 2), slice(CELLS // 2, CELLS)
    corners = [(rows, columns) for rows in (near, far) for columns in (near, far)]
    return torch.cat([cells[:, :, rows, columns].mean((2, 3)) for rows, columns in corners], dim=1)


def _drawn(inputs: Tensor) -> list[Tensor]:
    """Return outline, (n, 65), and colours, (n, 125), of designs, uint8 (n, s, s, 4).

    The outline is how opaque it is in 8 x 8 places, and altogether. The colours are the square
    roots of the shares of 5 x 5 x 5 levels of red, green and blue in what is not transparent; a
    colour between two levels counts for both.
    """
    alpha = inputs[..., 3:].squeeze(3).unsqueeze(1).float() / 255
    outline = _resized(F.avg_pool2d(alpha, STEP), OUTLINE).flatten(1)
    pixels = inputs[:, ::STEP, ::STEP].float()
    opaque = pixels[..., 3:]
    levels = torch.arange(LEVELS, dtype=torch.float32, device=inputs.device)
    places = (pixels[..., :3] / opaque.clamp(1)).clamp(0, 1) * (LEVELS - 1)
    red = (1 - (places[..., :1].squeeze(3).unsqueeze(2) - levels.unsqueeze(1)).abs()).clamp(
        0
    )  # (n, h, 5, w)
    green, blue = (
        (1 - (places[..., n : n + 1] - levels).abs()).clamp(0) for n in (1, 2)
    )  # (n, h, w, 5)
    # A sum over pixels as one product of small matrices for each row of pixels: without reshaping
    # an exported graph takes designs of any size, and without transposing it is quick.
    weighted = red * opaque.squeeze(3).unsqueeze(2)
    shares = [(weighted @ (green[..., n : n + 1] * blue)).sum(1) for n in range(LEVELS)]
    counts = torch.stack(shares, dim=2).flatten(1)  # red, green, blue
    total = opaque.sum((1, 2))
    whole = opaque.mean((1, 2)) / 255
    return [torch.cat([outline, whole], dim=1), (counts / total.clamp(255) + 1e-6).sqrt()]
