"""Linear filters: each does what its name says on small planes, and what OpenCV does."""

import numpy as np
import pytest
from numpy.typing import NDArray

from hangtag.library import filters

RNG = np.random.default_rng(0)


def planes(height: int, width: int) -> NDArray[np.float32]:
    return RNG.integers(0, 256, (4, height, width)).astype(np.float32)


def test_areas_average_what_they_cover() -> None:
    at, weights = filters.areas(5, 2)
    values = np.array([10.0, 20, 30, 40, 50])
    assert (values[at] * weights).sum(axis=1) == pytest.approx([(10 + 20 + 15) / 2.5, 42])


@pytest.mark.parametrize("length", [1, 7, 128])
def test_as_many_areas_as_pixels_change_nothing(length: int) -> None:
    drawing = planes(length, length)
    same = filters.areas(length, length)
    assert (filters.resampled(drawing, same, same).swapaxes(1, 2) == drawing).all()


def test_points_are_interpolated_and_0_outside() -> None:
    at, weights = filters.points(-1, 3, 2, 4)
    assert (np.array([10.0, 20])[at] * weights).sum(axis=1).tolist() == [0, 10, 20, 0]
    at, weights = filters.points(0.5, 1.5, 2, 1)
    assert (np.array([10.0, 20])[at] * weights).sum(axis=1).tolist() == [15]


def test_halves_round_up() -> None:
    drawing = np.array([[[1, 2], [3, 4]]], np.float32)
    assert filters.halved(drawing).tolist() == [[[3]]]


def test_what_is_beyond_the_ends() -> None:
    values = np.array([1.0, 2, 3])
    for border, expected in (("constant", [2, 4, 2]), ("edge", [3, 4, 5]), ("reflect", [4, 4, 4])):
        assert (filters.neighbours(3, (1, 0, 1), border) @ values).tolist() == expected


def test_a_blur_keeps_the_sum() -> None:
    assert sum(filters.gaussian(1.5)) == pytest.approx(1)
    assert len(filters.gaussian(1.5)) == 13


def test_enlarged_means_of_a_flat_plane_are_flat() -> None:
    matrix = filters.enlarging(4, 16) @ filters.means(16, 4)
    assert matrix.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("shape", [(256, 256), (200, 131), (129, 300)])
def test_they_do_what_opencv_does(shape: tuple[int, int]) -> None:
    cv2 = pytest.importorskip("cv2")
    drawing = planes(*shape)
    size = min(shape[0], 128), min(shape[1], 128)
    found = filters.resampled(
        drawing, filters.areas(shape[0], size[0]), filters.areas(shape[1], size[1])
    )
    pixels = np.ascontiguousarray(drawing.transpose(1, 2, 0)).astype(np.uint8)
    expected = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(found.transpose(2, 1, 0) - expected).max() <= 1
    assert (found.transpose(2, 1, 0) == expected).mean() > 0.999

    small = drawing[:3, :64, :64] / np.float32(255)
    blur = filters.neighbours(64, filters.gaussian(1.0), "edge")
    for plane in small:
        expected = cv2.GaussianBlur(plane, (0, 0), 1.0, borderType=cv2.BORDER_REPLICATE)
        assert blur @ plane @ blur.T == pytest.approx(expected, abs=1e-5)
        expected = cv2.resize(plane, (16, 16), interpolation=cv2.INTER_AREA)
        means = filters.means(64, 16)
        assert means @ plane @ means.T == pytest.approx(expected, abs=1e-5)
        enlarging = filters.enlarging(64, 256)
        expected = cv2.resize(plane, (256, 256))
        assert enlarging @ plane @ enlarging.T == pytest.approx(expected, abs=1e-5)
