"""The inverse in place, beside LAPACK's, for matrices of several blocks and bad condition."""

import numpy as np
import pytest

from hangtag.training import inverse


@pytest.mark.parametrize("least", [0.2, 1e-7])
def test_a_matrix_becomes_its_inverse(monkeypatch: pytest.MonkeyPatch, least: float) -> None:
    monkeypatch.setattr(inverse, "SMALL", 8)
    rows = np.random.default_rng(0).normal(size=(61, 20))
    values = rows @ rows.T + least * np.eye(61)
    given = values.copy()
    assert inverse.inverted(values) is values
    np.testing.assert_allclose(values @ given, np.eye(61), atol=1e-13 / least)
    np.testing.assert_array_equal(values, values.T)
