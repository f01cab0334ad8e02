"""The nearest vectors: exactly those of a full comparison."""

import numpy as np
import pytest

from hangtag.index.nearest import Nearest


@pytest.mark.parametrize(("count", "width"), [(3000, 256), (500, 64), (7, 5)])
def test_it_finds_what_comparing_all_finds(count: int, width: int) -> None:
    rng = np.random.default_rng(count)
    rows = rng.standard_normal((count, width)) / np.arange(1, width + 1)
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    search = Nearest(rows)
    for query in rows[:5].astype(np.float32):
        products = rows.astype(np.float32) @ query
        found, values = search.find(query, 10)
        expected = np.argsort(-products, kind="stable")[:10]
        np.testing.assert_allclose(values, products[expected], atol=1e-5)
        assert set(found[:5]) == set(expected[:5])


def test_the_nearest_may_lie_together_or_apart() -> None:
    """In segments of many rows, of which some hold more than one of the nearest, or none."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((70_001, 80)) / np.arange(1, 81)
    rows[:, 70:] *= 30  # what the leading dimensions do not see
    rows[300:330] = rows[300] + 0.01 * rng.standard_normal((30, 80))
    rows[-1] = rows[300]  # in no whole segment
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    search = Nearest(rows)
    for number, count in ((300, 40), (5_000, 10), (5_000, 20_000), (5_000, 70_001)):
        query = rows[number].astype(np.float32)
        found, values = search.find(query, count)
        products = rows.astype(np.float32) @ query
        np.testing.assert_allclose(values, np.sort(products)[::-1][:count], atol=1e-5)
        assert len(set(found.tolist())) == count
    assert 70_000 in search.find(rows[300].astype(np.float32), 40)[0]


def test_equal_rows_come_in_their_order() -> None:
    rows = np.tile(np.eye(4, dtype=np.float16)[:1], (6, 1))
    found, _ = Nearest(rows).find(np.eye(4, dtype=np.float32)[0], 4)
    assert found.tolist() == [0, 1, 2, 3]


def test_no_rows() -> None:
    found, values = Nearest(np.empty((0, 4), np.float16)).find(np.ones(4, np.float32), 3)
    assert not len(found)
    assert not len(values)
