"""Augmentation: changes that keep what tags say."""

import numpy as np
import pytest

from hangtag.dataset import augmentation as module
from hangtag.dataset.augmentation import Augmentation, augment, has_colour_tags, sided_designs

pytest.importorskip("cv2", reason="needs the train extra, which warps designs")

STRONG = Augmentation(
    flip=True, rotate=20, scale=0.3, aspect=0.2, shift=0.1, shear=0.1, hue=60, saturation=0.4,
    brightness=0.3, flatten=0.3, erase=0.3,
)  # fmt: skip


def test_lists_of_tags_do_not_depend_on_how_they_are_indented() -> None:
    assert module._names("left,\n\t\tarrow  left,right,\n  word art") == {
        "left", "arrow left", "right", "word art",
    }  # fmt: skip
    for names in (module.SIDED_TAGS, module.COLOUR_TAGS):
        assert all(name == " ".join(name.split()) and name for name in names)
    assert {"northwest", "words", "clock"} <= module.SIDED_TAGS


def input_with(colour: tuple[int, int, int], left: int, size: int = 64) -> np.ndarray:
    inputs = np.zeros((1, size, size, 4), np.uint8)
    inputs[0, 20:44, left : left + 16] = (*colour, 255)
    return inputs


def many(
    inputs: np.ndarray, how: Augmentation, sided: bool = False, count: int = 200
) -> np.ndarray:
    repeated = np.repeat(inputs, count, axis=0)
    return augment(repeated, how, np.full(count, sided), np.random.default_rng(0))


def test_the_default_changes_nothing() -> None:
    inputs = input_with((10, 200, 30), 4)
    assert (many(inputs, Augmentation(), count=3) == inputs).all()


def test_pixels_stay_premultiplied_and_transparency_stays_transparent() -> None:
    changed = many(input_with((250, 120, 0), 24), STRONG)
    assert (changed[..., :3] <= changed[..., 3:]).all()
    colour_only = Augmentation(hue=180, saturation=1, brightness=1)
    recoloured = many(input_with((250, 120, 0), 24), colour_only)
    assert (recoloured[..., 3] == input_with((0, 0, 0), 24)[..., 3]).all()
    assert (recoloured[:, :10] == 0).all()


def test_mirrors_half_of_the_designs_but_no_sided_one() -> None:
    inputs = input_with((9, 9, 9), 4)
    mirrored = many(inputs, Augmentation(flip=True))[:, 32, 55, 3] > 0
    assert 70 < mirrored.sum() < 130
    assert not (many(inputs, Augmentation(flip=True), sided=True)[:, 32, 55, 3] > 0).any()


def test_small_hue_rotations_keep_the_name_of_a_colour() -> None:
    """Red stays nearer to red than to any other colour of the rainbow."""
    names = np.array(
        [[255, 0, 0], [255, 165, 0], [255, 255, 0], [0, 128, 0], [0, 0, 255], [128, 0, 128]]
    )
    how = Augmentation(hue=8, saturation=0.3, brightness=0.2)
    shown = many(input_with((255, 0, 0), 24), how)[:, 32, 30, :3].astype(int)
    nearest = np.linalg.norm(shown[:, None] - names[None], axis=2).argmin(axis=1)
    assert (nearest == 0).all()


def test_black_stays_darker_than_white() -> None:
    how = Augmentation(saturation=0.5, brightness=0.5, hue=180)
    black = many(input_with((0, 0, 0), 24), how)[:, 32, 30, :3]
    white = many(input_with((255, 255, 255), 24), how)[:, 32, 30, :3]
    assert int(black.max()) < int(white.min())


def test_flatten_makes_the_background_opaque_and_keeps_the_design() -> None:
    flat = many(input_with((10, 200, 30), 24), Augmentation(flatten=1))
    assert (flat[..., 3] == 255).all()
    assert (flat[:, 32, 30, :3] == (10, 200, 30)).all()
    backgrounds = {tuple(colour) for colour in flat[:, 0, 0, :3].tolist()}
    assert (255, 255, 255) in backgrounds
    assert len(backgrounds) > 20


def test_sided_and_colour_tags_are_known_by_name() -> None:
    names = ["cat", "left", "word art"]
    labels = np.array([[1, 0, -1], [1, 1, 0], [0, -1, 1]], np.int8)
    assert sided_designs(labels, names).tolist() == [False, True, True]
    assert has_colour_tags(["cat", "teal"])
    assert not has_colour_tags(names)
