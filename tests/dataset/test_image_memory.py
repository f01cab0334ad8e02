"""Pixels copied out of Pillow's memory: those that Pillow itself gives."""

import numpy as np
import pytest
from PIL import Image

from hangtag.dataset.raster.memory import _at_once, pixels_of


def image(mode: str, width: int, height: int) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (height, width, len(mode)), np.uint8)
    return Image.fromarray(values).copy()  # else it is mapped


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("size", [(1, 1), (7, 3), (64, 300), (2100, 2100)])
def test_they_are_the_images_own(mode: str, size: tuple[int, int]) -> None:
    """The largest takes over 16 MB, which Pillow does not keep in one piece."""
    found = image(mode, *size)
    rows = np.frombuffer(pixels_of(found), np.uint8).reshape(size[1], size[0], 4)
    np.testing.assert_array_equal(rows[..., : len(mode)], np.asarray(found))


def test_images_of_all_origins_have_them() -> None:
    whole = image("RGBA", 50, 40)
    assert _at_once(whole) == whole.tobytes()  # or Pillow has changed: nothing else would say so
    mapped = Image.frombuffer("RGBA", (2, 2), bytes(range(16)), "raw", "RGBA", 0, 1)
    for one in (whole.crop((5, 6, 30, 20)), whole.convert("RGBa").convert("RGBA"), mapped):
        assert pixels_of(one) == one.tobytes()
