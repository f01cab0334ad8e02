"""Colours of a design by name."""

from pathlib import Path

import numpy as np
import pytest
from PIL import ImageColor

from hangtag.errors import ConfigError
from hangtag.library.colours import (
    NAMES,
    SHADES,
    Palette,
    colour_shares,
    main_colours,
    oklab,
)


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


def test_a_palette_of_one_s_own(tmp_path: Path) -> None:
    file = tmp_path / "colours.txt"
    file.write_text("# of the brand\nCoral  #ff7f50 #FF6F61\n\nnight sky #0b1d3a\n")
    palette = Palette.read(file)
    assert palette.names == ("coral", "night sky")
    shares = colour_shares(filled("coral", "tomato", "navy"), palette)
    np.testing.assert_allclose(shares, [2 / 3, 1 / 3], atol=0.02)
    assert main_colours(shares, names=palette.names) == ["coral", "night sky"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("coral\n", "line 1: write a name and its shades"),
        ("coral #ff7f5\n", "line 1: write a name"),
        ("a #000000\nA #ffffff\n", "line 2: 'a' is there twice"),
        ("# nothing\n", "has no colours"),
    ],
)
def test_mistakes_in_a_palette(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "colours.txt").write_text(text)
    with pytest.raises(ConfigError, match=message):
        Palette.read(tmp_path / "colours.txt")
