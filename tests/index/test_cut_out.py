"""Cutting a design out of its white background."""

import numpy as np

from hangtag.index.cut_out import cut_out


def on_white() -> np.ndarray:
    pixels = np.full((40, 50, 4), 255, np.uint8)
    pixels[10:30, 10:40, :3] = (200, 30, 40)
    pixels[15:25, 20:30, :3] = 255  # white inside the drawing
    return pixels


def test_the_background_goes_and_white_inside_stays() -> None:
    found = cut_out(on_white())
    assert found is not None
    assert not found[0, 0].any()
    assert (found[..., 3] > 0).sum() == 20 * 30
    assert (found[20, 25] == 255).all()


def test_a_background_around_corners_is_connected() -> None:
    pixels = on_white()
    pixels[18:22, 0:20, :3] = 255  # a channel to the white inside
    found = cut_out(pixels)
    assert found is not None
    assert not found[20, 25].any()


def test_designs_without_a_white_background() -> None:
    transparent = on_white()
    transparent[0, 0, 3] = 0
    assert cut_out(transparent) is None
    assert cut_out(np.full((9, 9, 4), 255, np.uint8)) is None
    assert cut_out(np.full((9, 9, 4), (10, 20, 30, 255), np.uint8)) is None
