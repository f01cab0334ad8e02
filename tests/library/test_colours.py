"""Colours of a design by name."""

import numpy as np
import pytest
from PIL import ImageColor

from hangtag.library.colours import NAMES, SHADES, colour_shares, main_colours, oklab


def filled(*colours: str) -> np.ndarray:
    """Columns of equal width, one for each colour."""
    rows = [ImageColor.getcolor(one, "RGBA") for one in colours]
    return np.repeat(np.array([rows], np.uint8), 30, axis=0).repeat(12, axis=1)


@pytest.mark.parametrize(
    ("colour", "name"),
    [
        ("#000", "black"), ("#fff", "white"), ("crimson", "red"), ("gold", "yellow"),
        ("darkorange", "orange"), ("forestgreen", "green"), ("teal", "turquoise"),
        ("royalblue", "blue"), ("darkviolet", "purple"), ("hotpink", "pink"),
        ("saddlebrown", "brown"), ("gray", "grey"), ("navy", "blue"), ("skyblue", "blue"),
    ],
)  # fmt: skip
def test_colours_that_people_name(colour: str, name: str) -> None:
    assert main_colours(colour_shares(filled(colour))) == [name]


def test_shares_are_weighted_by_alpha() -> None:
    pixels = filled("red", "blue")
    pixels[:, :12, 3] = 51  # a fifth as opaque
    shares = dict(zip(NAMES, colour_shares(pixels).tolist(), strict=True))
    assert shares["red"] == pytest.approx(1 / 6, abs=0.02)
    assert shares["blue"] == pytest.approx(5 / 6, abs=0.02)
    assert main_colours(colour_shares(pixels)) == ["blue", "red"]


def test_nothing_visible_has_no_colour() -> None:
    assert not colour_shares(np.zeros((4, 4, 4), np.uint8)).any()


def test_oklab_is_that_of_its_author() -> None:
    """White, and red as in the CSS Color 4 samples."""
    found = oklab(np.array([[255, 255, 255], [255, 0, 0]], np.uint8))
    np.testing.assert_allclose(found, [[1, 0, 0], [0.628, 0.225, 0.126]], atol=1e-3)
    assert len(SHADES) == 12
