"""Rows of bytes: what comes out of them is what went in, within half a step."""

import numpy as np
import pytest

from hangtag.index.packed_rows import PackedFeatures, PackedRows
from hangtag.library.colours import NAMES
from hangtag.library.fingerprints import FINGERPRINT_BYTES

WIDTHS = (40, 8)
LAYOUT = PackedRows(WIDTHS)
rng = np.random.default_rng(0)
# Parts of different scales, as those of a backbone.
FEATURES = (rng.standard_exponential((6, 48)) * np.repeat([9, 0.2], WIDTHS) - 1).astype(np.float32)
PRINTS = rng.integers(0, 256, (6, FINGERPRINT_BYTES)).astype(np.uint8)
COLOURS = rng.dirichlet(np.ones(len(NAMES)), 6).astype(np.float32)


def test_features_are_those_of_before_within_half_a_step_of_their_part() -> None:
    found = LAYOUT.features(LAYOUT.packed(FEATURES, PRINTS, COLOURS))
    for part in (slice(0, 40), slice(40, 48)):
        values = FEATURES[:, part]
        least = values.min(axis=1, keepdims=True)
        span = values.max(axis=1, keepdims=True) - least
        # Half a step, and the rounding of the bounds to half precision.
        allowed = span * (0.5 / 255 + 1e-3) + 1e-3 * np.abs(values).max()
        assert (np.abs(found[:, part] - values) <= allowed).all()


def test_fingerprints_are_kept_and_colours_in_half_precision() -> None:
    rows = LAYOUT.packed(FEATURES, PRINTS, COLOURS)
    assert rows.shape == (6, LAYOUT.size)
    np.testing.assert_array_equal(LAYOUT.prints(rows), PRINTS)
    np.testing.assert_array_equal(LAYOUT.colours(rows), COLOURS.astype(np.float16))


def test_a_design_that_cannot_be_read_stays_so() -> None:
    features = FEATURES.copy()
    features[2] = np.nan
    rows = LAYOUT.packed(features, PRINTS, COLOURS)
    assert LAYOUT.readable(rows).tolist() == [True, True, False, True, True, True]
    found = LAYOUT.features(rows)
    assert np.isnan(found[2]).all()
    assert np.isfinite(found[[0, 1, 3, 4, 5]]).all()


def test_a_part_of_one_value_and_no_rows() -> None:
    flat = np.full((1, 48), 0.25, np.float32)
    np.testing.assert_array_equal(
        LAYOUT.features(LAYOUT.packed(flat, PRINTS[:1], COLOURS[:1])), flat
    )
    assert LAYOUT.features(LAYOUT.packed(FEATURES[:0], PRINTS[:0], COLOURS[:0])).shape == (0, 48)


@pytest.mark.parametrize("chosen", [slice(None), slice(1, 3), np.array([2, 0])])
def test_features_are_read_when_they_are_asked_for(chosen: slice) -> None:
    stored = LAYOUT.packed(FEATURES, PRINTS, COLOURS)
    rows = PackedFeatures(stored, np.array([5, 0, 3]), WIDTHS)
    assert rows.shape == (3, 48)
    assert len(rows) == 3
    np.testing.assert_array_equal(rows[chosen], LAYOUT.features(stored[[5, 0, 3]])[chosen])
