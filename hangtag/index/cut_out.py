"""A design on white, cut out: its background becomes transparent. Numpy only."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hangtag.dataset.images import Pixels

# A channel from here on is white; JPEG leaves a few steps.
WHITE: Final = 236
OPAQUE: Final = 250
# Share of the border that may be something else: a drawing that touches it.
TOUCHES: Final = 0.25


def cut_out(pixels: Pixels) -> Pixels | None:
    """Return a design without its white background, uint8 (h, w, 4), straight alpha.

    The background is the white that is connected with the border. None for a design that is not
    opaque, whose border is not white, or of which nothing else is left.
    """
    if (pixels[..., 3] < OPAQUE).any():
        return None
    white: NDArray[np.bool_] = np.all(pixels[..., :3] >= WHITE, axis=-1)
    border = np.concatenate([white[0], white[-1], white[:, 0], white[:, -1]])
    if np.count_nonzero(~border) > TOUCHES * len(border):
        return None
    background = _connected(white)
    if background.all() or not background.any():
        return None
    found = pixels.copy()
    found[background] = 0
    return found


def _connected(white: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the white pixels that are connected with the border."""
    found = np.zeros_like(white)
    for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        found[edge] = white[edge]
    runs = _runs(white), _runs(white.T)
    while True:
        before = np.count_nonzero(found)
        found = _spread(found, white, runs[0])
        found = _spread(found.T, white.T, runs[1]).T
        if np.count_nonzero(found) == before:
            return found


def _runs(white: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return a number for every pixel; white ones without a break in a row share theirs."""
    starts: NDArray[np.bool_] = ~white
    starts[:, 0] = True
    after: NDArray[np.bool_] = np.zeros(white.shape, np.bool_)
    after[:, 1:] = ~white[:, :-1]
    numbers: NDArray[np.int64] = np.cumsum(starts | after, dtype=np.int64).reshape(*white.shape)
    return numbers


def _spread(
    found: NDArray[np.bool_], white: NDArray[np.bool_], runs: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return the white runs with a pixel that was found."""
    has = np.zeros(int(runs[-1, -1]) + 1, np.bool_)
    has[runs[found]] = True
    return white & has[runs]
