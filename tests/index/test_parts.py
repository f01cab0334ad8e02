"""Parts of features: their weights in a kernel, and designs that have nothing to say by one."""

import numpy as np
import pytest

from hangtag.index.backbone import OnnxBackbone
from hangtag.index.parts import SHORT, part_slices, standardised, weights_of_parts


def test_the_parts_of_hangtag_base_count_by_what_they_brought() -> None:
    widths = OnnxBackbone().widths
    weights = weights_of_parts(widths)
    assert len(weights) == len(widths)
    assert sum(weights) == pytest.approx(1)
    assert weights[0] == weights[-1] == max(weights)  # the last layer, and the tags seen in all
    assert min(weights) == weights[1]  # edges


def test_any_other_parts_count_alike() -> None:
    assert weights_of_parts((5, 3, 2, 7)) == (0.25,) * 4
    assert weights_of_parts((1280,)) == (1,)


def test_every_part_has_length_one() -> None:
    widths, rng = (4, 3), np.random.default_rng(0)
    features = rng.normal(3, 2, (20, 7)).astype(np.float32)
    found = standardised(features, features.mean(0), 1 / features.std(0), widths)
    for part in part_slices(widths):
        np.testing.assert_allclose(np.linalg.norm(found[:, part], axis=1), 1, atol=1e-5)


def test_what_is_rounding_stays_short() -> None:
    """The colours of a library that is black throughout differ by rounding alone."""
    features = np.ones((20, 3), np.float32)
    features[::2, 0] += np.float32(1e-6)
    mean, scale = features.mean(0), np.full(3, 50, np.float32)  # as of a deviation of nothing
    found = standardised(features, mean, scale, (3,))
    assert np.abs(found).max() < 1e-4 / SHORT
